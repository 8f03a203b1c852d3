"""The page on which one draws characters and sees the network learn them.

Nothing else in the package imports it.
"""
