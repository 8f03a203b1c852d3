"""The paper's figures and the study: each is many runs and one picture of their results.

The code of a single run belongs in `runs`.
"""
