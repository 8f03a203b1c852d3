"""A check for layers that assign to variables in their `call`: inner loops would lose the values.

A task's inner loop is a function of weights, and keeps no other variable from step to step. Three
kinds of assignments are allowed. The states of random generators and the moving averages of batch
normalization are handled elsewhere. Metrics of layers do not change the network's outputs.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.known_layers import (
    is_batch_normalization,
    is_by_example,
    operations,
)
from keras_reptile.algorithm.network_function import SEED, mode, seeds_of
from keras_reptile.keras_internals import all_layers


def check_assignments(network: keras.Model, inputs: Any) -> None:
    """Raises `ValueError` for a network that assigns to its variables while it trains.

    Also for layers that draw random numbers without a generator of their own: Keras's global one
    would stay as it is, and each inner step of each task would draw the same numbers.

    Args:
        network: A built `keras.Model`.
        inputs: Structure of tensors, symbolic or not, or of their specs.
    """
    found = assigned(network, inputs)
    if any(path.endswith(SEED) for path in found):
        raise ValueError(
            "A layer that draws random numbers needs a generator of its own, from which each inner "
            "step draws others. Received: a network with a layer that draws without one, such as "
            "`keras.random.normal(shape)`. Set `self.generator = keras.random.SeedGenerator(seed)` "
            "in its `__init__`, and give `seed=self.generator`."
        )
    if found:
        raise ValueError(
            "Inner loops train a network that is a function of its weights: values that layers "
            "assign to variables in their `call` would be lost. Received: a network that assigns "
            f"to {found}. Leave out such layers (SpectralNormalization, stateful recurrent layers, "
            "custom counters and running averages)."
        )


def assigned(network: keras.Model, inputs: Any) -> list[str]:
    """Returns the paths of the variables that a call in training mode changes."""
    if all(is_by_example(o) or is_batch_normalization(o) for o in operations(network)):
        return []
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), inputs)
    scope = _Recording()

    def trace(x):
        with scope:
            network(x, **mode(network, True))

    graph = tf.function(trace, autograph=False).get_concrete_function(specs).graph
    legitimate = _accounted_for(network)
    paths = [v.path for v in scope.assigned if id(v) not in legitimate]
    return [*dict.fromkeys([*paths, *_assigned_tensorflow_variables(network, graph)])]


class _Recording(keras.StatelessScope):
    """A scope that records assignments to variables instead of making them."""

    def __init__(self):
        super().__init__(collect_losses=True)
        self.assigned: list[Any] = []

    def add_update(self, update: tuple) -> None:
        self.assigned.append(update[0])
        super().add_update(update)


def _accounted_for(network) -> set[int]:
    """Returns the ids of moving averages, of metrics' variables, and of seeds of the network."""
    layers = all_layers(network, itself=True)
    kind = keras.layers.BatchNormalization
    normalizations = [n for n in layers if isinstance(n, kind) and n.built]
    moving = [v for n in normalizations for v in (n.moving_mean, n.moving_variance)]
    return {id(v) for v in [*moving, *network.metrics_variables, *seeds_of(network)]}


def _assigned_tensorflow_variables(network, graph) -> list[str]:
    """Returns the names of assigned `tf.Variable`s, which Keras's scope does not record."""
    outer_handle = {id(inner): outer for outer, inner in graph.captures}
    written = [
        outer_handle.get(id(op.inputs[0]))
        for op in graph.get_operations()
        if op.type.startswith("Assign")
    ]
    found = [v for v in graph.variables if any(v.handle is handle for handle in written)]
    return [_name(network, v) for v in found]


def _name(network, variable) -> str:
    """Returns the name of a variable, after the name of the layer that has it as an attribute."""
    layers = all_layers(network, itself=True)
    owners = [n.name for n in layers if any(v is variable for v in vars(n).values())]
    return "/".join([*owners[:1], variable.name])
