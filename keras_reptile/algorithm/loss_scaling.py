"""Loss scaling for inner loops in float16, whose smallest numbers a gradient soon falls below.

    gradient = (1 / S) * d/dw (S * L(w)),    S = 2^10

S is a power of two, so that scaling rounds nothing by itself. It is a constant: the tasks of a
meta-batch have no common history by which to adjust it, and one that was adjusted would be one
more thing to carry. bfloat16 has float32's range, and needs none.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_reptile.keras_internals import all_layers

SCALE = 1024.0


def computes_in_float16(network: keras.Model) -> bool:
    """Whether any layer does, as under the policies "float16" and "mixed_float16"."""
    return any(layer.compute_dtype == "float16" for layer in all_layers(network))


def check_outer(optimizer: keras.optimizers.Optimizer) -> None:
    """Raises `ValueError` for an outer optimizer that divides its gradients by a loss's scale."""
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    factor = getattr(optimizer, "loss_scale_factor", None)
    if scales or factor is not None:
        raise ValueError(
            "The outer optimizer gets a displacement, which is not scaled. Received: "
            f"{type(optimizer).__name__} with loss_scale_factor={factor}. Leave the scaling out: "
            "inner loops in float16 have their own."
        )


def where_needed(adapt: Callable, network: keras.Model) -> Callable:
    """The inner loop, on a scaled loss if the network computes in float16."""
    return scaled(adapt) if computes_in_float16(network) else adapt


def scaled(adapt: Callable, scale: float = SCALE) -> Callable:
    """An inner loop such as `adaptation.adapt`, whose backward passes run on a scaled loss.

    Args:
        adapt: Function `(loss_fn, optimizer, ...)` to an `Adaptation`.
        scale: Float, S. Defaults to `1024.0`.

    Returns:
        Function of the same arguments to the same `Adaptation`, but for what float16 cannot hold.
    """

    def scaled_adapt(loss_fn, optimizer, *arguments):
        scaled_loss = lambda *given: scale * loss_fn(*given)  # noqa: E731
        found = adapt(scaled_loss, Unscaling(optimizer, scale), *arguments)
        return found._replace(
            first_loss=found.first_loss / scale,
            gradient=tuple(g / scale for g in found.gradient),
        )

    return scaled_adapt


class Unscaling(NamedTuple):
    """An inner optimizer that is given the gradients of a scaled loss."""

    rule: Any
    scale: float

    def clipped(self, gradients: Any, task_axes: int = 0) -> tuple:
        return self.rule.clipped(tuple(g / self.scale for g in gradients), task_axes)

    def update(self, weights: tuple, gradients: Any, state: Any, k: Any) -> tuple:
        return self.rule.update(weights, gradients, state, k)
