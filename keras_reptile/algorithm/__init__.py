"""The paper's algorithm as pure functions of tensors: inner loop, inner optimizers, meta-updates.

Equations belong here, and the functions of networks and losses that they need. No module here
knows of devices, files, recipes or `tf.data`.
"""
