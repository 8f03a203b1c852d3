"""The methods by name, each with its inner loop and its meta-gradient."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_reptile.algorithm.adaptation import (
    Adaptation,
    adapt,
    adapt_and_differentiate,
    adapt_keeping_last,
)
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.meta_update import fomaml_gradient, maml_gradient, reptile_gradient
from keras_reptile.checks import check_boolean, check_new_name, check_takes


class Method(NamedTuple):
    """A meta-learning method.

    adapt: Function that runs one task's inner loop to its `Adaptation`; see `adaptation.adapt`.
    keeps: Tuple of the optional fields that this `Adaptation` has, each shaped like the weights.
    gradient: Function of theta and of the tasks' `Adaptation`, tasks along the first axis. It
        returns the outer optimizer's gradient: the mean over tasks of the gradient of each alone.
    second_order: Boolean, whether the network is differentiated twice. Defaults to `False`.
    elementwise: Boolean, whether each element of the gradient depends on the same element of the
        weights only. Then `gradient` may be given vectors of several weights. Defaults to `False`.
    """

    adapt: Callable
    keeps: tuple
    gradient: Callable
    second_order: bool = False
    elementwise: bool = False


def _reptile(theta: list, tasks: Adaptation) -> list:
    return reptile_gradient(theta, tasks.weights)


def _fomaml(theta: list, tasks: Adaptation) -> list:
    return fomaml_gradient(tasks.before_last, tasks.weights)


def _maml(theta: list, tasks: Adaptation) -> list:
    return maml_gradient(tasks.gradient)


METHODS = {
    "reptile": Method(adapt, (), _reptile, elementwise=True),
    "fomaml": Method(adapt_keeping_last, ("before_last",), _fomaml, elementwise=True),
    "maml": Method(adapt_and_differentiate, ("gradient",), _maml, True, elementwise=True),
}
BUILT_IN = tuple(METHODS)


def register_method(name: str, gradient: Callable, before_last: bool = False) -> None:
    """Registers a method by a name: `ReptileModel(network, method=name)` trains with it.

    The method adapts as Reptile does, and gives the outer optimizer another gradient. Programs that
    load a model saved with it must register it first.

    Args:
        name: String. A name that is registered already is replaced.
        gradient: Function `(theta, tasks)` to a list of tensors shaped like `theta`: the mean over
            tasks of the gradient of each task alone. `theta` is a list of tensors, one for each of
            the network's trainable variables, in their order. `tasks.weights` is a tuple of tensors
            `(tasks, *shape)`, the weights W_k after the inner steps.
        before_last: Boolean, whether `tasks.before_last` is available: the weights W_{k-1} before
            the last inner step. Defaults to `False`.

    Raises:
        ValueError: If the name is one of the package's own, or `gradient` is not a function of
            `theta` and `tasks`, or its value is not shaped like `theta` or not a mean over tasks.

    Example:

    >>> def towards_half_way(theta, tasks):
    ...     return [0.5 * (t - tf.reduce_mean(w, axis=0)) for t, w in zip(theta, tasks.weights)]
    >>> register_method("half_way", towards_half_way)
    """
    check_new_name("method", name, BUILT_IN)
    check_takes("method", gradient, ("theta", "tasks"))
    check_boolean("before_last", before_last)
    _check_gradient(gradient, before_last)
    keeps, run = (("before_last",), adapt_keeping_last) if before_last else ((), adapt)
    METHODS[name] = Method(run, keeps, gradient)


def _check_gradient(gradient: Callable, before_last: bool) -> None:
    """Raises `ValueError` unless a method's gradient of a few numbers is the mean over tasks."""
    theta = [tf.constant([0.5, -1.0]), tf.constant([[2.0]])]
    weights = (tf.constant([[0.1, 0.2], [0.7, -0.4]]), tf.constant([[[1.0]], [[-3.0]]]))
    before = tuple(0.5 * w + 0.3 for w in weights) if before_last else ()
    tasks = Adaptation(weights, InnerState(tf.constant(1), ()), tf.constant([1.0, 2.0]), before)
    alone = [tf.nest.map_structure(lambda t, i=i: t[i : i + 1], _by_task(tasks)) for i in range(2)]
    together, *each = [
        list(gradient(theta, t)) for t in (tasks, *(tasks._replace(**a) for a in alone))
    ]
    shapes = [tuple(g.shape) for g in together]
    if shapes != [tuple(t.shape) for t in theta]:
        raise ValueError(
            "A method's gradient must have the shapes of `theta`, "
            f"{[tuple(t.shape) for t in theta]} here. Received: {shapes}. Take the mean over the "
            "first axis of `tasks.weights`."
        )
    for mean, a, b in zip(together, *each, strict=True):
        if not bool(tf.reduce_all(abs(mean - (a + b) / 2) < 1e-5)):
            raise ValueError(
                "A method's gradient must be the mean of each task's gradient alone. Received "
                f"{mean.numpy().tolist()} for two tasks, and {a.numpy().tolist()} and "
                f"{b.numpy().tolist()} for each of them."
            )


def _by_task(tasks: Adaptation) -> dict:
    """Returns the fields of an `Adaptation` that have the tasks along the first axis."""
    return {name: getattr(tasks, name) for name in ("weights", "first_loss", "before_last")}
