"""What a run keeps on disk, and how none of it is ever half-written."""

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_reptile.checkpoint import load_checkpoint, read_score, save_checkpoint
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
from keras_reptile.files.locks import FolderLock, only_one
from keras_reptile.recipes.recipe import Recipe, check_values
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs.divergence import check_finite
from keras_reptile.runs.results import best_row

KEPT = 2
# The columns of log.csv that only some rows have.
LOGGED = tuple(
    f"{kind}{name}"
    for kind in ("", "val_", "test_")
    for name in ("accuracy", "confidence_95", "loss_before", "loss_after")
)


class RunDirectory:
    """The files of one run under `--output_dir`.

    run.json, the settings; classes.json, the classes of each part; checkpoints/, the newest two and
    the best; log.csv, a row for each checkpoint; tensorboard/; curve.png; of sine waves
    predictions.png; summary.json; while the run lives, .lock.

    Args:
        path: String or path. It is created when something is first written.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(local_path(path))
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.csv"
        self.tensorboard = self.path / "tensorboard"
        self.best = self.checkpoints / "best.keras"
        self.lock: FolderLock | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out for as long as this one trains; reading is free.

        Whatever is written meanwhile is written only if the directory is still this one.

        Raises:
            RunError: If another run has the directory, or it cannot be written.
        """
        self._create()
        with only_one(self.path) as self.lock:
            try:
                yield
            finally:
                self.lock = None

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

    def save(
        self, model: ReptileModel, best: bool = False, score: dict[str, Any] | None = None
    ) -> None:
        """Writes a checkpoint named after the model's meta-iteration, and removes old ones.

        Args:
            model: The `ReptileModel`.
            best: Boolean, whether it is the best checkpoint too. Defaults to `False`.
            score: Dict, what its validation gave. Defaults to `None`, no validation.

        Raises:
            Diverged: If a weight or a moment is not finite; earlier checkpoints stay.
        """
        check_finite(model)
        self._create()
        path = self.checkpoints / f"iteration-{model.meta_iteration:09d}.keras"
        with replacing(path) as temporary:
            save_checkpoint(model, temporary, score)
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

    def reached(self) -> int:
        """The meta-iteration of the newest checkpoint, by its name; 0 if there is none."""
        return max((int(path.stem.split("-")[1]) for path in self.saved()), default=0)

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

    def best_score(self, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
        """What the validation of the best checkpoint gave; `None` if there is none to be read.

        The file itself knows it. That of an earlier version does not: of it the log knows.

        Args:
            rows: List of dicts, rows of log.csv.

        Raises:
            RunError: If nobody knows, so that a worse checkpoint might replace it.
        """
        if not self.best.exists():
            return None
        try:
            score = read_score(self.best) or best_row(rows)
        except RunError as error:
            print(f"{error} The next checkpoint that is validated replaces it.", flush=True)
            return None
        if score is None:
            raise RunError(
                f"{self.best} does not say how good it is, nor is there a log.csv that does. Bring "
                "log.csv back from a copy, or move best.keras elsewhere: a worse checkpoint would "
                "replace it."
            )
        return score

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

    def check_lock(self) -> None:
        """Raises `RunError` if the directory that this run locked is gone, or is another's now."""
        if self.lock is not None:
            self.lock.check()

    def _create(self) -> None:
        self.check_lock()
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
