"""A model in a file that tells whether it is damaged."""

from pathlib import Path

import keras

from keras_reptile.errors import RunError, reason
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.seal import check_seal, seal


def save_checkpoint(model: ReptileModel, path: Path) -> None:
    """Writes a .keras file, which `keras.models.load_model` reads too, with a checksum in it."""
    model.save(path)
    seal(path)


def load_checkpoint(path: Path) -> ReptileModel:
    """A model from a checkpoint file, whole, or a `RunError`."""
    try:
        check_seal(path)
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        raise RunError(
            f"Checkpoint {path} cannot be read ({type(error).__name__}: {reason(error)})."
        ) from None
    if not isinstance(model, ReptileModel):
        raise RunError(f"Checkpoint {path} holds a {type(model).__name__}, not a ReptileModel.")
    return model
