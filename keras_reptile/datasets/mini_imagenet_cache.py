"""Reads miniImageNet's pickles, mini-imagenet-cache-train.pkl and so on, without running code.

Each pickle is a dict. `image_data` has all images of a split, uint8 `(images, 84, 84, 3)`.
`class_dict` has the positions of each class's images in `image_data`.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from keras_reptile.errors import reason

# The functions by which arrays are pickled, under the names of NumPy 1 and 2 and of Python 2.
_OF_ARRAYS: dict[str, Any] = {
    "multiarray._reconstruct": np.zeros(1).__reduce__()[0],
    "multiarray.scalar": np.int64(0).__reduce__()[0],
    "numeric._frombuffer": np.zeros(1).__reduce_ex__(5)[0],
}
ALLOWED: dict[str, Any] = {
    **{
        f"numpy.{core}.{name}": made
        for core in ("core", "_core")
        for name, made in _OF_ARRAYS.items()
    },
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "_codecs.encode": lambda text, encoding: text.encode("latin1"),
    **{f"builtins.{kind.__name__}": kind for kind in (dict, list, tuple, set)},
    "collections.OrderedDict": dict,
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that calls only the functions that arrays and dicts need.

    A pickle can name any function to be called, so an ordinary unpickler would run foreign code.
    """

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which no array needs"
            ) from None


def read_cache(path: Path) -> list[tuple[np.ndarray, str]]:
    """Reads the images of a split with their classes, sorted by class.

    Args:
        path: Path of the pickle, of Python 2 or 3.

    Returns:
        List of (uint8 `(height, width, 3)`, label).

    Raises:
        ValueError: If the file is not such a pickle. The error names the file.
    """
    try:
        with open(path, "rb") as file:
            # In pickles of Python 2, the data of arrays are strings of bytes.
            content = _ArraysOnly(file, encoding="latin1").load()
        images, classes = content["image_data"], content["class_dict"]
        positions = {str(name): np.asarray(classes[name]).reshape(-1) for name in sorted(classes)}
        _check(images, positions)
    except MemoryError:
        raise
    # A truncated or forged pickle raises errors of any type.
    except Exception as error:
        raise ValueError(
            f"{path} is not a cache of miniImageNet: {_why(error)}. It must be a pickled dict of "
            "image_data, uint8 (images, height, width, 3), and class_dict, the positions of each "
            "class's images."
        ) from None
    return [(images[i], name) for name, indices in positions.items() for i in indices]


def _check(images, positions) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[3:] != (3,):
        raise ValueError(f"its image_data are {_of(images)}")
    for name, indices in positions.items():
        valid = indices.dtype.kind in "iu" and indices.size and indices.min() >= 0
        if not valid or indices.max() >= len(images):
            raise ValueError(f"it does not have all images of the class {name}")


def _of(images) -> str:
    if not isinstance(images, np.ndarray):
        return f"of type {type(images).__name__}"
    return f"{images.dtype} of shape {images.shape}"


def _why(error) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else reason(error)
