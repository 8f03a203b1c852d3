"""The programs: their flags, their messages and their exit statuses.

Each program has a module for its work, which is imported after its flags were read. Flags are read
without TensorFlow. No other room imports from here.
"""
