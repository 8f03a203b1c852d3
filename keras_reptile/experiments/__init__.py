"""The paper's figures and the study: many runs, and one picture of them.

A single run lies in `runs`.
"""
