"""The source of layers that Keras does not have, and a warning if it has changed since training.

A checkpoint has the names and the configuration of such layers, and not what they compute.
"""

import hashlib
import inspect
from typing import Any

import keras
from absl import logging

from keras_reptile.checks import shown
from keras_reptile.recipes.network_changes import layers_of
from keras_reptile.runs.run_directory import RunDirectory

# The key in run.json. Its value is a dict from the names of classes to digests of their source.
KEY = "own_layers"
PACKAGES = ("builtins", "keras", "keras_reptile", "tensorflow")
DIGITS = 16


def described(network: keras.Model, earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the entry of run.json; it is empty for a network of Keras's own layers.

    Args:
        network: The network of the run.
        earlier: Dict, the content of the run.json of a run that resumes, whose entry stays.
    """
    found = sources(network) if earlier is None else earlier.get(KEY)
    return {KEY: found} if found else {}


def sources(network: keras.Model) -> dict[str, str]:
    """Returns a digest of the source of each class of a network that is not Keras's, by name.

    Classes without a file, such as those of a notebook, are left out.

    Example:

    >>> sources(keras_reptile.networks.sine_mlp())
    {}
    """
    layers = (network, *layers_of(network))
    classes = dict.fromkeys(each for layer in layers for each in type(layer).__mro__)
    own = [each for each in classes if each.__module__.split(".")[0] not in PACKAGES]
    found = {each.__qualname__: _source(each) for each in own}
    return {
        name: hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
        for name, text in found.items()
        if text
    }


def _source(cls) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return ""


def warn_of_changes(directory: RunDirectory, network: keras.Model) -> None:
    """Warns if layers of a run's network have another source than when the run began.

    Args:
        directory: The `RunDirectory`.
        network: The network of its checkpoint.
    """
    saved = (directory.read_run() or {}).get(KEY)
    before, now = saved if isinstance(saved, dict) else {}, sources(network)
    if changed := [name for name in now if before.get(name, now[name]) != now[name]]:
        logging.warning(
            "The source of %s has changed since the run in %s began. If it computes something "
            "else, so does the run's network.",
            *(", ".join(changed), shown(directory.path)),
        )
