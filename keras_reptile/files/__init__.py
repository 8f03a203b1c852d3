"""Files that are complete or absent, locks, and the provenance of results.

No module here knows the content of the files.
"""
