"""The demo: a page on which a user draws characters and the network learns them.

No other module of the package imports it, except the program.
"""
