"""What a run keeps on disk, and how none of it is ever half-written."""

import contextlib
import csv
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from keras_reptile.errors import RunError
from keras_reptile.reptile_model import ReptileModel

KEPT = 2


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`, and gives the file its own name once complete."""
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows with the columns that any of them has, whole or not at all."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


class RunDirectory:
    """The files of one run under `--output_dir`.

    run.json, the settings; checkpoints/, the newest two and the best; log.csv, a row for each
    checkpoint; tensorboard/; curve.png; of sine waves predictions.png; summary.json.

    Args:
        path: String or path. It is created when something is first written.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.csv"
        self.tensorboard = self.path / "tensorboard"
        self.best = self.checkpoints / "best.keras"

    # Settings and summary

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        self._create()
        with replacing(self.path / name) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The content of a file, or `None` if it is not there."""
        path = self.path / name
        # Unlike `Path.exists`, it is false for names that no file can have.
        if not os.path.exists(path):
            return None
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} cannot be read: {error}. Remove it or use another run."
            ) from None

    # Checkpoints

    def save(self, model: ReptileModel, best: bool = False) -> None:
        """Writes a checkpoint named after the model's meta-iteration, and removes old ones."""
        self._create()
        iteration = model.meta_iteration
        path = self.checkpoints / f"iteration-{iteration:09d}.keras"
        with replacing(path) as temporary:
            model.save(temporary)
        if best:
            with replacing(self.best) as temporary:
                shutil.copyfile(path, temporary)
        for old in self.saved()[:-KEPT]:
            old.unlink()

    def saved(self) -> list[Path]:
        """Checkpoints of this run, oldest first."""
        name = re.compile(r"iteration-\d{9}\.keras")
        return sorted(p for p in self._checkpoint_files("*.keras") if name.fullmatch(p.name))

    def _checkpoint_files(self, pattern: str) -> list[Path]:
        # Of a name that no directory can have, `Path.glob` would raise.
        return list(self.checkpoints.glob(pattern)) if os.path.isdir(self.checkpoints) else []

    def restore(self) -> ReptileModel | None:
        """The newest checkpoint that can be read; `None` if there are none at all."""
        for partial in self._checkpoint_files(".partial-*"):
            partial.unlink()  # Left by a run that was killed while writing.
        saved = self.saved()
        for path in reversed(saved):
            try:
                return load_checkpoint(path)
            except RunError as error:
                print(f"{error} Trying the one before it.", flush=True)
        if saved:
            raise RunError(f"None of the checkpoints in {self.checkpoints} can be read.")
        return None

    # The log

    def rows(self) -> list[dict[str, str]]:
        if not os.path.exists(self.log):
            return []
        with open(self.log, newline="") as file:
            return list(csv.DictReader(file))

    def write_rows(self, rows: list[dict[str, Any]]) -> None:
        self._create()
        write_csv(self.log, rows)

    def _create(self) -> None:
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"--output_dir={self.path} cannot be written: {error.strerror}. Choose another."
            ) from None


def load_checkpoint(path: Path) -> ReptileModel:
    """A model from a checkpoint file, whole, or a `RunError`."""
    try:
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise RunError(
            f"Checkpoint {path} cannot be read ({type(error).__name__}: {reason})."
        ) from None
    if not isinstance(model, ReptileModel):
        raise RunError(f"Checkpoint {path} holds a {type(model).__name__}, not a ReptileModel.")
    return model
