"""Runs of a recipe: training, evaluation, export, and the run's directory.

The files of a run, its callbacks and its pictures belong here. Flags and exit statuses belong in
`programs`.
"""
