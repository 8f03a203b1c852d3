"""Initializations that come with the package, or that were exported."""

import os
from pathlib import Path

from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.checks import did_you_mean
from keras_reptile.errors import RunError
from keras_reptile.export.layout import METADATA, MODEL
from keras_reptile.reptile_model import ReptileModel

MODELS = Path(__file__).parent / "pretrained_models"
# The files that every exported directory has.
NEEDED = (MODEL, METADATA)


def pretrained_names() -> list[str]:
    """Returns the names that `pretrained` takes.

    Example:

    >>> pretrained_names()
    ['omniglot_20way', 'omniglot_20way_best', 'omniglot_5way']
    """
    return sorted(path.parent.name for path in MODELS.glob(f"*/{MODEL}"))


def pretrained(name_or_path: str | os.PathLike) -> ReptileModel:
    """Returns a meta-learned initialization with its carried inner state, ready to adapt.

    It is compiled with `keras.optimizers.SGD(1.0)` as the outer optimizer. Compile it again to
    train it further. Its attribute `metadata` is the content of its metadata.json. `"result"` is
    the measured accuracy with its 95 % interval, and `"settings"` says how it was trained.

    Args:
        name_or_path: String, one of `pretrained_names()`; or the path of a directory that
            `bin/export` or `ReptileModel.export_learner` has written.

    Raises:
        ValueError: If there is no such name and no such directory.
        RunError: If the directory's model cannot be read.

    Example:

    >>> model = pretrained("omniglot_5way")
    >>> model.metadata["result"]["ways"], model.metadata["result"]["shots"]
    (5, 1)
    >>> images = np.zeros((5, 28, 28, 1), np.float32)  # one image of each of five classes
    >>> learner = model.adapt(images, np.arange(5), steps=1)
    >>> learner.predict(images, verbose=0).shape
    (5, 5)
    """
    directory = _directory(name_or_path)
    model = load_checkpoint(directory / MODEL)
    # Imported here: training needs neither locks nor files.
    from keras_reptile.files.atomic_file import read_json

    metadata = read_json(directory / METADATA, "Export the model again.")
    # The model's own file does not have it if an earlier version has written it.
    trained_on_bytes = metadata.get("trained_on_bytes", False)
    if not isinstance(trained_on_bytes, bool):
        raise RunError(
            f"{directory / METADATA} cannot be used: trained_on_bytes must be true or false. "
            f"Received: {trained_on_bytes!r}. Export the model again."
        )
    model.trained_on_bytes |= trained_on_bytes
    # Set past Keras's attribute tracking, which would replace the dict by a type of its own.
    object.__setattr__(model, "metadata", metadata)
    return model


def _directory(name_or_path) -> Path:
    if str(name_or_path) in pretrained_names():
        return MODELS / str(name_or_path)
    is_path = isinstance(name_or_path, str | os.PathLike)
    # Unlike `Path.is_file`, `os.path.isfile` is false for names that no file can have.
    folder = os.path.expanduser(name_or_path) if is_path else ""
    if folder and all(os.path.isfile(os.path.join(folder, name)) for name in NEEDED):
        return Path(folder)
    raise ValueError(
        f"`name_or_path` must be one of {pretrained_names()}, or a directory that `bin/export` "
        f"has written, with {MODEL} and {METADATA} in it. Received: {name_or_path!r}."
        f"{did_you_mean(name_or_path, pretrained_names())}"
    )
