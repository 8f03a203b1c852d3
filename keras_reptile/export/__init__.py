"""Exports: SavedModels with their endpoints, and directories for other programs.

No module here knows of runs or recipes.
"""
