"""The paper's algorithm as pure functions of tensors: inner loop, inner optimizers, meta-updates.

Here belong equations, and what an equation needs of a network and a loss. Nothing here knows of
devices, files, recipes or `tf.data`.
"""
