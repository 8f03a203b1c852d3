"""Metrics of predictions: losses, accuracies and their confidence intervals.

No module here adapts a network or reads a file.
"""
