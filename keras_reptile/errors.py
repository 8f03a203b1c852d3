"""Errors that are no bugs; the programs in `bin/` show them as one line."""


class RunError(Exception):
    """A run cannot go on; the message says why and what to do, in one line."""
