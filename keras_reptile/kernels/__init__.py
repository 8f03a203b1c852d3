"""Keras layers in forms that compute faster: the same numbers, no word of tasks.

Here belong operations on tensors and the switch that puts them in place of a layer's `call`.
Nothing here imports another part of the package.
"""
