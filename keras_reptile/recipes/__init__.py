"""What to run: the schema of a recipe, the named recipes, and what is built from one.

Nothing here trains, evaluates or writes.
"""
