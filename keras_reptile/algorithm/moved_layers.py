"""The layers that the inner loop moves, by `inner_trainable`."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_reptile.algorithm import shared_head
from keras_reptile.algorithm.network_checks import ends
from keras_reptile.checks import did_you_mean
from keras_reptile.keras_internals import all_layers

ALL, HEAD, BODY = "all", "head", "body"
GROUPS = (ALL, BODY, HEAD)


def checked(value: Any) -> str | tuple[str, ...]:
    """Returns one of the groups, or the names of layers as a tuple.

    Raises:
        ValueError: If it is neither.
    """
    names = tuple(value) if isinstance(value, list | tuple) else ()
    if names and all(isinstance(name, str) for name in names):
        return names
    if isinstance(value, str) and value in GROUPS:
        return value
    near = f"{did_you_mean(value, GROUPS)} Names are given as a list: [{value!r}]."
    raise ValueError(
        f"`inner_trainable` must be one of {GROUPS}, or a list of names of layers. Received: "
        f"inner_trainable={value!r}.{near if isinstance(value, str) else ''}"
    )


def positions_of_moved(
    network: keras.Model, inner_trainable: Any, head: str = "separate"
) -> tuple[int, ...] | None:
    """Returns the positions of the weights that the inner loop moves; `None` if it moves all.

    Args:
        network: A built `keras.Model`.
        inner_trainable: String `"all"`, `"head"` or `"body"`, or a sequence of names of layers.
        head: String. `"shared"`: the head must be among the layers. Defaults to `"separate"`.

    Raises:
        ValueError: If no layer has one of the names, or a named layer has no trainable weights, or
            a shared head would not be moved.

    Example:

    >>> layers = [keras.layers.Dense(4, name="features"), keras.layers.Dense(3, name="logits")]
    >>> network = keras.Sequential([keras.Input((2,)), *layers])
    >>> positions_of_moved(network, "head"), positions_of_moved(network, ["features"])
    ((2, 3), (0, 1))
    """
    inner_trainable = checked(inner_trainable)
    if inner_trainable == ALL:
        return None
    if inner_trainable in (HEAD, BODY):
        last = {id(v) for v in _head(network).trainable_variables}
        chosen = lambda v: (id(v) in last) == (inner_trainable == HEAD)  # noqa: E731
    else:
        moved = {id(v) for name in inner_trainable for v in _variables(network, name)}
        chosen = lambda v: id(v) in moved  # noqa: E731
    variables = network.trainable_variables
    moved_ones = tuple(i for i, v in enumerate(variables) if chosen(v))
    if not moved_ones and variables:
        raise ValueError(
            "The inner loop must move some weights. Received: "
            f"inner_trainable={inner_trainable!r}, where only the last layer has trainable weights."
        )
    if len(moved_ones) == len(variables):
        return None
    if head == "shared":
        shared_head.check_moved(network, moved_ones)
    return moved_ones


def freeze_others(network: keras.Model, fixed: Sequence) -> None:
    """Sets `trainable = False` on the layers of a network whose weights are all in `fixed`.

    Args:
        network: A built `keras.Model`.
        fixed: Sequence of variables, trainable ones of layers.
    """
    ids = {id(v) for v in fixed}
    for layer in all_layers(network):
        own = layer.trainable_variables
        if own and all(id(v) in ids for v in own):
            layer.trainable = False
    for variable in fixed:
        # These are the network's own weights, and weights that several layers share.
        variable.trainable = False


def _head(network) -> Any:
    """Returns the last layer with trainable weights, at any depth."""
    while layers := [x for x in getattr(network, "layers", ()) if x.trainable_variables]:
        if not isinstance(network, keras.Sequential) and not ends(network, "inputs"):
            raise ValueError(
                "inner_trainable='head' and 'body' need a functional or sequential network. "
                f"Received: {type(network).__name__}, whose layers are in no order. Use a list of "
                f"names of its layers: {_listed(network)}."
            )
        network = layers[-1]
    return network


def _variables(network, name) -> list:
    """Returns the trainable variables of the layers with a name, at any depth."""
    named = [layer for layer in all_layers(network, itself=True) if layer.name == name]
    found = [v for layer in named for v in layer.trainable_variables]
    if not named:
        names = [layer.name for layer in all_layers(network) if layer.trainable_variables]
        raise ValueError(
            f"`inner_trainable` must name layers of the network, {_listed(network)}. Received: "
            f"{name!r}.{did_you_mean(name, names)}"
        )
    if not found:
        raise ValueError(
            f"The inner loop moves trainable weights. Received: inner_trainable with {name!r}, a "
            "layer without them. Leave it out, or set its `trainable = True`."
        )
    return found


def _listed(network) -> str:
    names = [layer.name for layer in all_layers(network) if layer.trainable_variables]
    return ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
