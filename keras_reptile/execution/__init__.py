"""How the tasks of a meta-batch are computed: one by one, as one batch, or core by core.

The plan and the loops over tasks belong here. The equations are in `algorithm`.
"""
