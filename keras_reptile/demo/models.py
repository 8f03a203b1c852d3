"""The models that the demo takes: their files, and the networks that it can show."""

import os
from pathlib import Path

from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.errors import RunError
from keras_reptile.export.layout import MODEL
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs.other_ways import with_ways
from keras_reptile.runs.run_directory import RunDirectory


def load_model(path: str | os.PathLike) -> ReptileModel:
    """Loads a trained model.

    Args:
        path: String or path: an output directory of a training run, whose newest checkpoint is
            loaded; a directory with a model.keras, such as an export; or a file of a saved model.

    Raises:
        RunError: If there is no model, or it cannot be read.
        ValueError: If the module of a run's network cannot be imported.
    """
    path = Path(path)
    for file in (path, path / MODEL):
        # Unlike `Path.is_file`, `os.path.isfile` is false for names that no file can have.
        if os.path.isfile(file):
            return load_checkpoint(file)
    model = _of_run(RunDirectory(path)) if os.path.isdir(path) else None
    if model is None:
        raise RunError(f"{path} holds no model. Give an output directory of bin/train.")
    return model


def _of_run(directory: RunDirectory) -> ReptileModel | None:
    run = directory.read_run()
    if run is None:
        return directory.restore()
    recipe = Recipe(**run["settings"])
    # A network of the user's own may have layers that its module registers.
    building.prepare(recipe)
    model = directory.restore()
    return None if model is None else with_ways(model, recipe.ways)


def sizes(model: ReptileModel) -> tuple[int, int]:
    """Returns the side of the network's images, and the number of its outputs.

    Raises:
        RunError: If its input is not known to be a grey square image, or it is no classifier.
    """
    shape = getattr(model.network, "input_shape", None)
    if not isinstance(shape, tuple) or not all(isinstance(n, int | None) for n in shape):
        raise RunError(
            "The demo needs a network with one input of known shape. Received: a "
            f"{type(model.network).__name__}. Wrap it in `keras.Model`, or use another model."
        )
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 1 or not model._is_classifier:
        raise RunError(
            "The demo needs a classifier of grey square images, (height, height, 1). "
            f"Received: a network for inputs {tuple(shape[1:])}. Use another model."
        )
    return shape[1], model.network.output_shape[-1]
