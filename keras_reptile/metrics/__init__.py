"""Numbers about predictions: losses, accuracies and their confidence intervals.

Nothing here adapts a network or reads a file.
"""
