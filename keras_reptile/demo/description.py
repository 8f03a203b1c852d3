"""The model in words: its name and its accuracy, from the files beside it."""

import os
from pathlib import Path
from typing import Any

from keras_reptile.checks import shown
from keras_reptile.errors import RunError
from keras_reptile.export.layout import METADATA
from keras_reptile.files.atomic_file import read_json

# An exported directory and a finished run keep their result under the same key.
WITH_RESULT = (METADATA, "summary.json")


def described(path: str | os.PathLike) -> str:
    """Returns the name of a model, and the accuracy that was measured, if there is one.

    Args:
        path: String or path of a model, see `models.load_model`.

    Example:

    >>> described("runs/none"), described("runs/caf\\udce9")
    ('Model: none', 'Model: caf\\\\udce9')
    """
    path = Path(path)
    folder = path.parent if os.path.isfile(path) else path
    found = (result_in(folder / name) for name in WITH_RESULT)
    accuracy = next((accuracy_of(each) for each in found if each), "")
    name = path.name or folder.resolve().name
    return f"Model: {shown(name)}{accuracy}"


def result_in(file: Path) -> dict[str, Any] | None:
    """Returns the result in a file, or `None` if the file has none or cannot be read."""
    if not os.path.isfile(file):
        return None
    try:
        result = read_json(file, "").get("result")
    except RunError:
        # The page works without it.
        return None
    return result if isinstance(result, dict) else None


def accuracy_of(result: dict[str, Any]) -> str:
    """Returns the accuracy in words, or "" if a number is missing.

    Example:

    >>> result = dict(accuracy=0.955, confidence_95=0.006, tasks=1000, ways=5, shots=1)
    >>> accuracy_of({**result, "transductive": False})
    ', 5-way 1-shot accuracy 95.5 % ± 0.6 (1,000 test tasks, inductive)'
    """
    try:
        mode = "transductive" if result["transductive"] else "inductive"
        half = result["confidence_95"]
        margin = "" if half is None else f" ± {100 * half:.1f}"
        return (
            f", {result['ways']}-way {result['shots']}-shot accuracy "
            f"{100 * result['accuracy']:.1f} %{margin} ({result['tasks']:,} test tasks, {mode})"
        )
    except (KeyError, TypeError, ValueError):
        return ""
