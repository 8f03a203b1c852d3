"""Exports: SavedModels with their endpoints, and directories that other programs load.

No module here knows of runs or recipes.
"""
