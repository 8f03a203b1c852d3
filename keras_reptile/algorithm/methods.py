"""The methods by name: what each runs on a task, and what it makes of the tasks."""

from collections.abc import Callable
from typing import NamedTuple

from keras_reptile.algorithm.adaptation import (
    Adaptation,
    adapt,
    adapt_and_differentiate,
    adapt_keeping_last,
)
from keras_reptile.algorithm.meta_update import fomaml_gradient, maml_gradient, reptile_gradient


class Method(NamedTuple):
    """A meta-learning method.

    adapt: Function of one task's inner loop to its `Adaptation`; see `adaptation.adapt`.
    keeps: Tuple of the optional fields that this `Adaptation` has, each shaped like the weights.
    gradient: Function of theta and of the tasks' `Adaptation`, tasks along the first axis, to the
        gradient that the outer optimizer is given: the mean of what it is for each task alone.
    """

    adapt: Callable
    keeps: tuple
    gradient: Callable


def _reptile(theta: list, tasks: Adaptation) -> list:
    return reptile_gradient(theta, tasks.weights)


def _fomaml(theta: list, tasks: Adaptation) -> list:
    return fomaml_gradient(tasks.before_last, tasks.weights)


def _maml(theta: list, tasks: Adaptation) -> list:
    return maml_gradient(tasks.gradient)


METHODS = {
    "reptile": Method(adapt, (), _reptile),
    "fomaml": Method(adapt_keeping_last, ("before_last",), _fomaml),
    "maml": Method(adapt_and_differentiate, ("gradient",), _maml),
}
