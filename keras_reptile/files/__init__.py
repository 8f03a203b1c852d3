"""Files that appear whole or not at all, locks, and the provenance of what is written.

Nothing here knows what is in the files.
"""
