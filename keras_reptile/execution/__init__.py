"""How the tasks of a meta-batch are computed: one by one, as one batch, or core by core.

A model's settings, the plan that follows from them, and the loops over tasks belong here. The
equations are in `algorithm`.
"""
