"""Recipes: their schema, the named recipes, and the functions that build their parts.

No module here trains, evaluates or writes files.
"""
