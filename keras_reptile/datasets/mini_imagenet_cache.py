"""miniImageNet as pickles, mini-imagenet-cache-train.pkl and so on, read without running any code.

Each holds a dict: under `image_data` all images of a split, uint8 `(images, 84, 84, 3)`, under
`class_dict` the positions of each class's images in them.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from keras_reptile.errors import reason

# What an array is pickled as; the names of NumPy 1 and 2, and of Python 2.
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
    """Of a pickle, which may name any function to be called, only what arrays and dicts need."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which no array needs"
            ) from None


def read_cache(path: Path) -> list[tuple[np.ndarray, str]]:
    """The images of a split with their classes, sorted by class.

    Args:
        path: Path of the pickle, of Python 2 or 3.

    Returns:
        List of (uint8 `(height, width, 3)`, label).

    Raises:
        ValueError: If the file is no such pickle; it names the file.
    """
    try:
        with open(path, "rb") as file:
            # Python 2's strings are bytes, and so are the arrays' there.
            content = _ArraysOnly(file, encoding="latin1").load()
        images, classes = content["image_data"], content["class_dict"]
        positions = {str(name): np.asarray(classes[name]).reshape(-1) for name in sorted(classes)}
        _check(images, positions)
    except MemoryError:
        raise
    # A pickle that is cut off or made up raises anything.
    except Exception as error:
        raise ValueError(
            f"{path} is no cache of miniImageNet: {_why(error)}. It must be a pickled dict of "
            "image_data, uint8 (images, height, width, 3), and class_dict, each class's positions "
            "in it."
        ) from None
    return [(images[i], name) for name, places in positions.items() for i in places]


def _check(images, positions) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[3:] != (3,):
        raise ValueError(f"its image_data are {_of(images)}")
    for name, places in positions.items():
        inside = places.dtype.kind in "iu" and places.size and places.min() >= 0
        if not inside or places.max() >= len(images):
            raise ValueError(f"it has not all images of the class {name}")


def _of(images) -> str:
    if not isinstance(images, np.ndarray):
        return f"of type {type(images).__name__}"
    return f"{images.dtype} of shape {images.shape}"


def _why(error) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else reason(error)
