"""Pictures of tasks, drawn by matplotlib from arrays.

No module here computes the predictions that it shows.
"""
