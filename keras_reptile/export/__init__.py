"""SavedModels and directories that others load, and what an exported model can do.

Nothing here knows of runs or recipes.
"""
