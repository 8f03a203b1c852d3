"""The programs: their flags, their messages and their exit statuses.

Here belong the bodies of the commands in `bin/`. Nothing imports them.
"""
