"""Faster forms of Keras layers, which compute the same numbers.

Operations on tensors, and the switch that puts them in place of a layer's `call`, belong here. No
module here knows of tasks. Of the package they import `keras_internals` only.
"""
