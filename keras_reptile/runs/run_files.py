"""The files that a run writes. Other programs do not replace them."""

import os
from pathlib import Path

from keras_reptile.runs import run_classes

# The files in the directory of a run, and its folders.
FILES = (
    *("run.json", run_classes.FILE, "log.csv", "summary.json"),
    *("curve.png", "tasks.png", "predictions.png"),
)
FOLDERS = ("checkpoints", "tensorboard")


def check_no_file_of_a_run(name: str, path: str | os.PathLike) -> None:
    """Raises `ValueError` if writing to a path would replace a file of a run.

    Args:
        name: String, the argument or flag with the path, for the error.
        path: String or path of a file.
    """
    path = Path(os.path.abspath(path))
    in_run = path.name in FILES and _is_run(path.parent)
    in_folder = path.parent.name in FOLDERS and _is_run(path.parent.parent)
    if in_run or in_folder:
        raise ValueError(
            f"`{name}` would replace a file of a run. Received: {str(path)!r}. Choose another name."
        )


def _is_run(folder: Path) -> bool:
    return os.path.exists(folder / "run.json")
