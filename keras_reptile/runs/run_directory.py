"""What a run keeps on disk, and how none of it is ever half-written."""

import contextlib
import dataclasses
import os
import re
import shutil
from pathlib import Path
from typing import Any

from keras_reptile.checkpoint import load_checkpoint, save_checkpoint
from keras_reptile.checks import local_path
from keras_reptile.errors import RunError
from keras_reptile.files.atomic_file import (
    explained,
    read_csv,
    read_json,
    remove_partial,
    replacing,
    write_csv,
    write_json,
)
from keras_reptile.files.locks import only_one
from keras_reptile.recipes.recipe import Recipe, check_values
from keras_reptile.reptile_model import ReptileModel

KEPT = 2
# The columns of log.csv that only some rows have.
LOGGED = tuple(
    f"{kind}{name}"
    for kind in ("", "val_", "test_")
    for name in ("accuracy", "confidence_95", "loss_before", "loss_after")
)


class RunDirectory:
    """The files of one run under `--output_dir`.

    run.json, the settings; checkpoints/, the newest two and the best; log.csv, a row for each
    checkpoint; tensorboard/; curve.png; of sine waves predictions.png; summary.json; while the run
    lives, .lock.

    Args:
        path: String or path. It is created when something is first written.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(local_path(path))
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.csv"
        self.tensorboard = self.path / "tensorboard"
        self.best = self.checkpoints / "best.keras"

    def locked(self) -> contextlib.AbstractContextManager:
        """Keeps other runs out for as long as this one trains; reading is free.

        Raises:
            RunError: If another run has the directory, or it cannot be written.
        """
        self._create()
        return only_one(self.path)

    # Settings and summary

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        self._create()
        write_json(self.path / name, content)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The content of a file, or `None` if it is not there; NaN is read as null."""
        path = self.path / name
        # Unlike `Path.exists`, it is false for names that no file can have.
        if not os.path.exists(path):
            return None
        # Earlier versions wrote NaN.
        return read_json(path, "Bring it back from a copy or use another run.")

    def read_run(self, name: str = "run.json") -> dict[str, Any] | None:
        """The content of run.json or summary.json with all settings, `None` if it is not there.

        Raises:
            RunError: If it cannot be read, or its settings are none that this version knows.
        """
        content = self.read_json(name)
        if content is None:
            return None
        try:
            return {**content, "settings": _checked(content.get("settings"))}
        except ValueError as error:
            raise RunError(f"{self.path / name} cannot be used: {error}") from None

    # Checkpoints

    def save(self, model: ReptileModel, best: bool = False) -> None:
        """Writes a checkpoint named after the model's meta-iteration, and removes old ones."""
        self._create()
        path = self.checkpoints / f"iteration-{model.meta_iteration:09d}.keras"
        with replacing(path) as temporary:
            save_checkpoint(model, temporary)
            # First: a run that is killed in between comes by here again.
            if best:
                with replacing(self.best) as copy:
                    shutil.copyfile(temporary, copy)
        with explained(self.checkpoints):
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
        for path in reversed(saved := self.saved()):
            try:
                return load_checkpoint(path)
            except RunError as error:
                if path not in self.saved():
                    # A run that is training removed it, having written newer ones.
                    return self.restore()
                print(f"{error} Trying the one before it.", flush=True)
        if saved:
            raise RunError(
                f"None of the checkpoints in {self.checkpoints} can be read. Bring one back from a "
                "copy, or remove them to begin anew."
            )
        return None

    def tidy(self) -> None:
        """Removes what runs that were killed left half-written."""
        for folder in (self.path, self.checkpoints):
            remove_partial(folder)
        # Keras's own, which it uses where memory is short.
        for path in self.checkpoints.glob("tmp*"):
            if path.is_file():
                path.unlink()

    # The log

    def rows(self) -> list[dict[str, str]]:
        advice = "Mend or remove it: training needs no earlier rows."
        return read_csv(self.log, {"meta_iteration": int, "seconds": float}, advice, LOGGED)

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


def complete(settings: dict[str, Any]) -> dict[str, Any]:
    """A run's settings; one of an earlier version had the defaults of fields that came since.

    But not this one's: losses were means before they were sums.
    """
    return dataclasses.asdict(Recipe()) | {"loss_reduction": "mean"} | settings


def _checked(settings: Any) -> dict[str, Any]:
    """The settings of a file, complete, or a `ValueError`."""
    if not isinstance(settings, dict) or not settings:
        raise ValueError(
            "it needs the run's `settings`. Received: "
            f"{'none' if not settings else type(settings).__name__}. "
            "Bring it back from a copy or use another run."
        )
    unknown = sorted(set(settings) - {field.name for field in dataclasses.fields(Recipe)})
    if unknown:
        raise ValueError(
            f"this version has no settings {unknown}. Use the version of keras_reptile that wrote "
            "it, or another run."
        )
    known = complete(settings)
    try:
        check_values(Recipe(**known))
    except ValueError as error:
        raise ValueError(f"{error} Mend it or use another run.") from None
    return known
