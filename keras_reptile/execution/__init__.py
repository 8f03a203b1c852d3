"""How the tasks of a meta-batch are computed: one by one, as one batch, or core by core.

Here belong the choice and the loops over tasks. The equations that they run lie in `algorithm`.
"""
