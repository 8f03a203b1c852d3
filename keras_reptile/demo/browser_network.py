"""A network and its inner loop as data for the page's JavaScript, or a sentence why not."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerAdam, InnerState, at_step
from keras_reptile.algorithm.partial_adaptation import Parts
from keras_reptile.demo.drawn_task import MOST_STEPS, drawing_scale, random_weights
from keras_reptile.demo.models import sizes
from keras_reptile.episodes.sampling import INNER_BATCH_SIZE
from keras_reptile.errors import RunError
from keras_reptile.reptile_model import ReptileModel

KNOWN = (
    "Conv2D, Dense, BatchNormalization, MaxPooling2D, ReLU, Activation and Flatten layers with "
    "ReLU or no activation, all of float32 and trainable"
)


class Step(NamedTuple):
    """One operation of the page's network.

    kind: String, a key of `LAYERS` in network.js.
    variables: Tuple of the network's variables that it uses.
    values: Dict, its other numbers.
    """

    kind: str
    variables: tuple = ()
    values: dict[str, Any] = {}  # noqa: RUF012


def browser_network(model: ReptileModel) -> dict[str, Any]:
    """Returns the data with which `adapt` in adaptation.js computes `model.adapt`, for JSON.

    Biases before a normalization are left out, because they do not change the outputs.

    Args:
        model: A compiled `ReptileModel` of a classifier of grey square images.

    Raises:
        RunError: If the page cannot compute its network, loss or inner optimizer.
    """
    side, outputs = sizes(model)
    steps = steps_of(model.network)
    variables = [variable for step in steps for variable in step.variables]
    all_variables = model.network.trainable_variables
    places = [_place(variable, all_variables) for variable in variables]
    start = model._initialization()
    loop = start.loop
    theta = [tf.convert_to_tensor(variable) for variable in all_variables]
    fresh = random_weights(model.network)
    return {
        "layers": _numbered(steps),
        "loss": reduction_of(loop.loss),
        "optimizer": optimizer_of(loop),
        "side": side,
        "outputs": outputs,
        "batch": INNER_BATCH_SIZE,
        "scale": drawing_scale(start),
        "moved": _moved(loop.parts, places),
        "sizes": [int(np.prod(variable.shape)) for variable in variables],
        "known": _start(theta, start.state, places),
        "fresh": _start(fresh, loop.optimizer.init(fresh), places),
    }


def steps_of(network: keras.Model) -> list[Step]:
    """Returns the operations of a network, one after another.

    Raises:
        RunError: If there is a layer that the page does not know.
    """
    if type(network) is not keras.Sequential:
        raise unknown(f"a {type(network).__name__}")
    layers = list(network.layers)
    followers = [*map(type, layers[1:]), None]
    steps = []
    for layer, follower in zip(layers, followers, strict=True):
        _check_layer(layer)
        own = LAYERS[type(layer)](layer)
        if follower is keras.layers.BatchNormalization and own and own[-1].kind == "bias":
            own.pop()
        steps += own
    return steps


def unknown(received: str) -> RunError:
    """Returns the error for a network that the page cannot compute."""
    return RunError(
        f"A static page computes a keras.Sequential of {KNOWN}. Received: {received}. Show this "
        "model without --static."
    )


def _check_layer(layer: keras.layers.Layer) -> None:
    if type(layer) not in LAYERS:
        raise unknown(f"a {type(layer).__name__} layer")
    name = f"{type(layer).__name__} layer {layer.name!r}"
    if not layer.trainable:
        raise unknown(f"{name}, which is frozen")
    if layer.compute_dtype != "float32" or layer.variable_dtype != "float32":
        raise unknown(f"{name} of {layer.dtype_policy.name}")
    config = layer.get_config()
    penalties = [key for key in config if key.endswith("_regularizer") and config[key]]
    _check(layer, not penalties, f"with a {', '.join(penalties)}")


def _check(layer: keras.layers.Layer, known: bool, received: str) -> None:
    if not known:
        raise unknown(f"{type(layer).__name__} layer {layer.name!r} {received}")


def _convolution(layer: keras.layers.Conv2D) -> list[Step]:
    _check_windows(layer)
    plain = layer.groups == 1 and set(layer.dilation_rate) == {1}
    _check(layer, plain, f"of groups={layer.groups}, dilation_rate={layer.dilation_rate}")
    window = _window(layer, layer.kernel_size)
    convolution = Step("convolution", (layer.kernel,), {**window, "filters": layer.filters})
    return [convolution, *_bias(layer), *_activation(layer)]


def _dense(layer: keras.layers.Dense) -> list[Step]:
    _check(layer, len(layer.input.shape) == 2, f"on inputs of shape {layer.input.shape}")
    return [
        Step("dense", (layer.kernel,), {"units": layer.units}),
        *_bias(layer),
        *_activation(layer),
    ]


def _normalization(layer: keras.layers.BatchNormalization) -> list[Step]:
    _check(layer, layer.axis in (-1, len(layer.input.shape) - 1), f"with axis={layer.axis}")
    _check(layer, layer.scale and layer.center, "without a scale or a center")
    return [Step("normalization", (layer.gamma, layer.beta), {"epsilon": layer.epsilon})]


def _pooling(layer: keras.layers.MaxPooling2D) -> list[Step]:
    _check_windows(layer)
    return [Step("pooling", (), _window(layer, layer.pool_size))]


def _relu(layer: keras.layers.ReLU) -> list[Step]:
    plain = layer.max_value is None and not layer.negative_slope and not layer.threshold
    _check(layer, plain, "with a max_value, a negative_slope or a threshold")
    return [Step("relu")]


def _flatten(layer: keras.layers.Flatten) -> list[Step]:
    _check(layer, layer.data_format == "channels_last", f"of {layer.data_format}")
    return [Step("flatten")]


# The operations of each layer that the page knows. A bias is the last one, if there is one.
LAYERS = {
    keras.layers.Conv2D: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.BatchNormalization: _normalization,
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.ReLU: _relu,
    keras.layers.Activation: lambda layer: _activation(layer),
    keras.layers.Flatten: _flatten,
}


def _check_windows(layer) -> None:
    known = layer.data_format == "channels_last" and layer.padding in ("same", "valid")
    _check(layer, known, f"of {layer.data_format} with padding={layer.padding!r}")


def _window(layer, size: Sequence[int]) -> dict[str, Any]:
    return {"window": list(size), "strides": list(layer.strides), "padding": layer.padding}


def _bias(layer) -> list[Step]:
    return [Step("bias", (layer.bias,))] if layer.use_bias else []


def _activation(layer) -> list[Step]:
    known = {None: [], keras.activations.linear: [], keras.activations.relu: [Step("relu")]}
    name = getattr(layer.activation, "__name__", layer.activation)
    _check(layer, layer.activation in known, f"with activation={name!r}")
    return known[layer.activation]


def _numbered(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Returns the operations with the numbers of their weights among all of the page."""
    layers, number = [], 0
    for step in steps:
        weights = list(range(number, number + len(step.variables)))
        layers.append({"kind": step.kind, "weights": weights, **step.values})
        number += len(weights)
    return layers


def _place(variable, all_variables) -> int:
    return next(i for i, each in enumerate(all_variables) if each is variable)


def _moved(parts: Parts, places: Sequence[int]) -> list[int]:
    """Returns the numbers of the page's weights that the inner loop moves."""
    return [n for n, place in enumerate(places) if parts.moved is None or place in parts.moved]


def reduction_of(loss: Any) -> str:
    """Returns the reduction of a minibatch's cross-entropies, "mean" or "sum".

    Raises:
        RunError: If it is another loss than the cross-entropy of integer labels and logits.
    """
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    if type(loss) is not keras.losses.SparseCategoricalCrossentropy or not config["from_logits"]:
        raise RunError(
            "A static page adapts by SparseCategoricalCrossentropy(from_logits=True). "
            f"Received: {loss!r}. Show this model without --static."
        )
    return "sum" if loss.reduction == "sum" else "mean"


def optimizer_of(loop: InnerLoop) -> dict[str, Any]:
    """Returns the inner optimizer: its kind, its numbers, and the rate of each step.

    Raises:
        RunError: If it clips gradients.
    """
    rule = loop.optimizer
    if not rule.elementwise:
        raise RunError(
            "A static page adapts without clipping. Received: an inner optimizer with "
            f"clipnorm={rule.clipnorm}, global_clipnorm={rule.global_clipnorm}. Show this model "
            "without --static."
        )
    names = (
        ("beta_1", "beta_2", "epsilon") if isinstance(rule, InnerAdam) else ("momentum", "nesterov")
    )
    changing = callable(rule.learning_rate)
    steps = range(MOST_STEPS if changing else 1)
    return {
        "kind": "adam" if isinstance(rule, InnerAdam) else "sgd",
        **{name: getattr(rule, name) for name in names},
        "rates": [float(at_step(rule.learning_rate, k, tf.float32)) for k in steps],
        "decay": float(loop.weight_decay_rate),
    }


def _start(weights: Sequence, state: InnerState, places: Sequence[int]) -> dict[str, Any]:
    """Returns where an adaptation starts: weights, moments and the number of their updates."""
    kept = [[slot[place] for place in places] for slot in state.slots]
    return {
        "weights": packed([weights[place] for place in places]),
        "step": int(state.step),
        "slots": [packed(slot) if any(np.any(each) for each in slot) else None for slot in kept],
    }


def packed(arrays: Iterable) -> str:
    """Returns arrays, one after another, as little-endian float32 in base64.

    Example:

    >>> packed([np.ones((1, 1)), np.zeros(1)])
    'AACAPwAAAAA='
    """
    values = np.concatenate([np.ravel(each) for each in arrays]).astype("<f4")
    return base64.b64encode(values.tobytes()).decode()
