"""The provenance of a result: command, versions and machine."""

import importlib.metadata
import platform
import sys
from typing import Any

import tensorflow as tf

from keras_reptile.files.processor import processor
from keras_reptile.threads import usable_cores
from keras_reptile.version import __version__

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "tensorflow-datasets", "pillow")


def facts() -> dict[str, Any]:
    """Returns the command, versions and machine, for a run's JSON files."""
    versions = {"keras_reptile": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = {
        "processor": processor(),
        "cores": usable_cores(),
        "system": platform.platform(),
    }
    if found := gpus():
        machine["gpus"] = found
    return {"command": sys.argv, "versions": versions, "machine": machine}


def gpus() -> list[str]:
    """Returns the names of the GPUs that TensorFlow has found."""
    devices = tf.config.list_physical_devices("GPU")
    details = map(tf.config.experimental.get_device_details, devices)
    return [found.get("device_name", "GPU") for found in details]
