"""A custom network in a recipe: `module:function`, a function that is imported and called."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import keras

from keras_reptile.checks import did_you_mean, takes
from keras_reptile.episodes.label_checks import known_outputs
from keras_reptile.errors import cause

ARGUMENTS = ("ways", "image_shape", "seed")


def is_reference(name: str) -> bool:
    """Returns whether a recipe's network is a reference to a function and not a name."""
    return ":" in name


def load_function(reference: str) -> Callable[..., Any]:
    """Imports a module, from the current directory first, and returns its function.

    The import also registers the module's classes with Keras, so that a checkpoint can be loaded.

    Raises:
        ValueError: If there is no such module or function, or it has other arguments.
    """
    module, name = reference.split(":", 1)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found = _import(reference, module)
    function = getattr(found, name, None)
    if not callable(function):
        near = did_you_mean(name, [n for n, value in vars(found).items() if callable(value)])
        raise ValueError(f"The module {module} has no function. Received: {reference!r}.{near}")
    if not takes(function, ARGUMENTS):
        raise ValueError(
            f"The function of `network` is called with {', '.join(ARGUMENTS)}. Received: "
            f"{reference!r}, which takes {', '.join(inspect.signature(function).parameters)}."
        )
    return function


def build(reference: str, ways: int, image_shape: tuple, seed: int) -> keras.Model:
    """Calls the function and returns its network.

    Raises:
        ValueError: If the function fails, or does not return a `keras.Model`, or returns one that
            is known to have another number of outputs than `ways`.
    """
    function = load_function(reference)
    called = f"{reference}(ways={ways}, image_shape={image_shape}, seed={seed})"
    try:
        network = function(ways=ways, image_shape=image_shape, seed=seed)
    except Exception as error:
        raise ValueError(f"{called} failed: {cause(error)}.") from error
    if not isinstance(network, keras.Model):
        raise ValueError(f"{called} must return a keras.Model. Received: {network!r}.")
    # The outputs of a subclassed network, and of one that is not built, are not known here.
    outputs = known_outputs(network)
    if outputs and outputs != ways:
        raise ValueError(
            f"{called} must return a network with {ways} outputs. Received one with the output "
            f"shape {network.output_shape}."
        )
    return network


def _import(reference: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise ValueError(f"Importing {module} failed: {cause(error)}.") from error
        raise ValueError(
            f"There is no module {module} in {os.getcwd()} or among those installed. Received: "
            f"network={reference!r}. Give the command where {module.split('.')[0]}.py lies."
        ) from None
    except SystemExit:
        raise ValueError(
            f"Importing {module} would end the process. Put what it runs under "
            "`if __name__ == '__main__':`."
        ) from None
    except Exception as error:
        raise ValueError(f"Importing {module} failed: {cause(error)}.") from error
