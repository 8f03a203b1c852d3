"""The files of a run. Each is written atomically."""

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
    is_missing,
    read_csv,
    read_json,
    remove_partial,
    replacing,
    write_csv,
    write_json,
)
from keras_reptile.files.cells import count, fraction, half_width, non_negative, number
from keras_reptile.files.locks import FolderLock, only_one
from keras_reptile.recipes.recipe import Recipe, check_values
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs.divergence import check_finite
from keras_reptile.runs.results import best_row

# The number of newest checkpoints that a run keeps.
KEPT = 2
# The columns of log.csv, first those of every row.
LOGGED = {"meta_iteration": count, "seconds": non_negative}
LOGGED_IN_SOME = {
    f"{kind}{name}": read
    for kind in ("", "val_", "test_")
    for name, read in (
        ("accuracy", fraction),
        ("confidence_95", half_width),
        ("loss_before", number),
        ("loss_after", number),
    )
}


class RunDirectory:
    """The files of one run under `--output_dir`.

    * run.json: the settings.
    * classes.json: the classes of each split.
    * checkpoints/: the newest two checkpoints and the best one.
    * log.csv: a row for each checkpoint.
    * tensorboard/, curve.png, and for images tasks.png, for sine waves predictions.png.
    * summary.json: the result, once the run is finished.
    * .lock: while the run is training.

    Args:
        path: String or path. The directory is created when a file is first written.
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
        """Returns a context in which no other run can write here. Others may still read.

        Before each write the run checks that the directory is still the one that it locked.

        Raises:
            RunError: If another run has locked the directory, or it cannot be written.
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

    def remove(self, name: str) -> None:
        """Removes a file, if it exists."""
        self.check_lock()
        with explained(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Returns the content of a file, or `None` if it does not exist.

        NaN, which earlier versions wrote, is read as null.
        """
        path = self.path / name
        if is_missing(path):
            return None
        return read_json(path, "Restore it from a copy or use another run.")

    def read_run(self, name: str = "run.json") -> dict[str, Any] | None:
        """Returns the content of run.json or summary.json with all settings, or `None`.

        Raises:
            RunError: If it cannot be read, or this version does not have its settings.
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
            best: Boolean, whether it is also the best checkpoint. Defaults to `False`.
            score: Dict, its validation results. Defaults to `None`, no validation.

        Raises:
            Diverged: If a weight or a moment is not finite. Then no file is changed.
        """
        check_finite(model)
        self._create()
        path = self.checkpoints / f"iteration-{model.meta_iteration:09d}.keras"
        with replacing(path) as temporary:
            save_checkpoint(model, temporary, score)
            # The best is written first: a run that is killed in between writes both again.
            if best:
                with replacing(self.best) as copy:
                    shutil.copyfile(temporary, copy)
        with explained(self.checkpoints):
            for old in self.saved()[:-KEPT]:
                old.unlink()

    def saved(self) -> list[Path]:
        """Returns the checkpoints of this run, oldest first."""
        pattern = re.compile(r"iteration-\d{9,}\.keras")
        found = [self.checkpoints / n for n in self._checkpoint_names() if pattern.fullmatch(n)]
        return sorted(found, key=_iteration_of)

    def newest_iteration(self) -> int:
        """Returns the meta-iteration in the newest checkpoint's name, or 0 without checkpoints."""
        return max(map(_iteration_of, self.saved()), default=0)

    def _checkpoint_names(self) -> list[str]:
        try:
            return os.listdir(self.checkpoints)
        except PermissionError as error:
            raise RunError(
                f"{self.checkpoints} cannot be read: {error.strerror}. Make it readable."
            ) from None
        # A name that no file can have is a `ValueError`.
        except (OSError, ValueError):
            return []

    def restore(self) -> ReptileModel | None:
        """Loads the newest checkpoint that can be read. Returns `None` if there are none.

        Raises:
            RunError: If there are checkpoints, but none can be read.
        """
        for path in reversed(saved := self.saved()):
            try:
                return load_checkpoint(path)
            except RunError as error:
                if path not in self.saved():
                    # A run that is training has written newer checkpoints and removed this one.
                    return self.restore()
                print(f"{error} Trying the previous one.", flush=True)
        if saved:
            raise RunError(
                f"None of the checkpoints in {self.checkpoints} can be read. Restore one from a "
                "copy, or remove them to train from the beginning."
            )
        return None

    def best_score(self, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Returns the validation results of the best checkpoint, or `None` if there is none.

        They are in the checkpoint. For checkpoints of earlier versions they are in the log. A
        checkpoint that cannot be read counts as none.

        Args:
            rows: List of dicts, rows of log.csv.

        Raises:
            RunError: If they are in neither, so that a worse checkpoint might replace the best.
        """
        if not self.best.exists():
            return None
        try:
            score = read_score(self.best) or best_row(rows)
        except RunError as error:
            print(f"{error} The next validated checkpoint will replace it.", flush=True)
            return None
        if score is None:
            raise RunError(
                f"Neither {self.best} nor log.csv has the validation results of the best "
                "checkpoint, so a worse one could replace it. Restore log.csv from a copy, or move "
                "best.keras elsewhere."
            )
        return score

    def tidy(self) -> None:
        """Removes temporary files of runs that were killed."""
        for folder in (self.path, self.checkpoints):
            remove_partial(folder)
        # Keras writes such files if memory is short.
        for path in self.checkpoints.glob("tmp*"):
            if path.is_file():
                path.unlink()

    # The log

    def rows(self) -> list[dict[str, str]]:
        advice = "Repair or remove it: training does not need earlier rows."
        rows = read_csv(self.log, LOGGED, advice, LOGGED_IN_SOME)
        for column in LOGGED:
            values = [LOGGED[column](row[column]) for row in rows]
            if values != sorted(values):
                raise RunError(f"{self.log} cannot be used: its {column} falls. {advice}")
        return rows

    def write_rows(self, rows: list[dict[str, Any]]) -> None:
        self._create()
        write_csv(self.log, rows)

    def check_lock(self) -> None:
        """Raises `RunError` if the directory that this run locked was removed or replaced."""
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


def _iteration_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.split("-")[1])


def complete(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns a run's settings with the fields that its version did not have.

    These fields get their defaults, except `loss_reduction`: losses of earlier versions were means.
    """
    return dataclasses.asdict(Recipe()) | {"loss_reduction": "mean"} | settings


def _checked(settings: Any) -> dict[str, Any]:
    """Returns the complete settings of a file, or raises `ValueError`."""
    if not isinstance(settings, dict) or not settings:
        raise ValueError(
            "it must have the run's `settings`. Received: "
            f"{'none' if not settings else type(settings).__name__}. "
            "Restore it from a copy or use another run."
        )
    unknown = sorted(set(settings) - {field.name for field in dataclasses.fields(Recipe)})
    if unknown:
        raise ValueError(
            f"this version has no settings {unknown}. Use the version of keras_reptile that wrote "
            "it, or another run."
        )
    all_settings = complete(settings)
    try:
        check_values(Recipe(**all_settings))
    except ValueError as error:
        raise ValueError(f"{error} Repair the file or use another run.") from None
    return all_settings
