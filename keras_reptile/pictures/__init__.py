"""Pictures of tasks, drawn by matplotlib from arrays.

Here belongs what a person looks at. Nothing here computes what it shows.
"""
