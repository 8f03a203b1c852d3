"""Loss scaling for inner loops in float16, where small gradients would become zero.

    gradient = (1 / S) * d/dw (S * L(w)),    S = 2^10

S is a power of two, so that scaling does not round. It is a constant: an adjusted scale would be
one more state to carry from task to task. bfloat16 has float32's range and needs no scaling.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_reptile.algorithm.known_layers import is_keras_own
from keras_reptile.keras_internals import all_layers

SCALE = 1024.0


def computes_in_float16(network: keras.Model) -> bool:
    """Returns whether any layer, or the network's own `call`, computes in float16.

    They do under the policy "mixed_float16".
    """
    layers = all_layers(network, itself=True)
    return any(layer.compute_dtype == "float16" for layer in layers if _computes(layer))


def _computes(layer) -> bool:
    """Returns whether a layer computes itself. Keras's own models only call their layers."""
    is_model = isinstance(layer, keras.Model) and is_keras_own(type(layer))
    return not is_model and not isinstance(layer, keras.layers.InputLayer)


def check_outer(optimizer: keras.optimizers.Optimizer) -> None:
    """Raises `ValueError` for an outer optimizer that divides its gradients by a loss's scale."""
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    factor = getattr(optimizer, "loss_scale_factor", None)
    if scales or factor is not None:
        raise ValueError(
            "The outer optimizer gets a displacement, which is not scaled. Received: "
            f"{type(optimizer).__name__} with loss_scale_factor={factor}. Leave the scaling out: "
            "inner loops in float16 have their own scaling."
        )


def where_needed(adapt: Callable, network: keras.Model) -> Callable:
    """Returns the inner loop, on a scaled loss if the network computes in float16."""
    return scaled(adapt) if computes_in_float16(network) else adapt


def scaled(adapt: Callable, scale: float = SCALE) -> Callable:
    """Returns an inner loop, such as `adaptation.adapt`, with backward passes on a scaled loss.

    Args:
        adapt: Function `(loss_fn, optimizer, ...)` to an `Adaptation`.
        scale: Float, S. Defaults to `1024.0`.

    Returns:
        Function of the same arguments to the same `Adaptation`, but without lost small gradients.
    """

    def scaled_adapt(loss_fn, optimizer, *arguments):
        scaled_loss = lambda *given: scale * loss_fn(*given)  # noqa: E731
        result = adapt(scaled_loss, Unscaling(optimizer, scale), *arguments)
        return result._replace(
            first_loss=result.first_loss / scale,
            gradient=tuple(g / scale for g in result.gradient),
        )

    return scaled_adapt


class Unscaling(NamedTuple):
    """An inner optimizer for the gradients of a scaled loss."""

    rule: Any
    scale: float

    def clipped(self, gradients: Any, task_axes: int = 0) -> tuple:
        return self.rule.clipped(tuple(g / self.scale for g in gradients), task_axes)

    def update(self, weights: tuple, gradients: Any, state: Any, k: Any) -> tuple:
        return self.rule.update(weights, gradients, state, k)
