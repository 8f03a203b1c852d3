"""The programs: their flags, their messages and their exit statuses.

A module for the work of each, which a program imports once its flags are right. `command_line`
reads the flags, for which TensorFlow need not be imported. Nothing else imports them.
"""
