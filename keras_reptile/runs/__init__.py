"""Doing what a recipe says: training, evaluation and export of a run, and its directory.

Here belong the files of a run, its callbacks and its pictures. Flags and exit statuses lie in
`programs`.
"""
