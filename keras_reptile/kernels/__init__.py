"""Faster forms of Keras layers, which compute the same numbers.

Operations on tensors, and the switch that puts them in place of a layer's `call`, belong here. No
module here knows of tasks or imports another part of the package.
"""
