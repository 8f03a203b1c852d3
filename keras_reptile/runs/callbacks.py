"""Keras callbacks of a training run: log, checkpoints and divergence."""

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.files.atomic_file import explained
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs.divergence import check_finite, diverged
from keras_reptile.runs.results import best_row, score_of
from keras_reptile.runs.run_directory import RunDirectory


class RunLog(keras.callbacks.Callback):
    """Writes a row of log.csv, TensorBoard scalars and a checkpoint at every epoch's end.

    It also writes them when a run is interrupted.

    Args:
        directory: The `RunDirectory`.
        rows: List of dicts, the rows of the run's log so far.
        best: Dict, the validation results of the best checkpoint so far. Defaults to `None`, no
            checkpoint.
        clock: Function that returns the run's seconds. Defaults to the seconds that pass.
    """

    def __init__(
        self,
        directory: RunDirectory,
        rows: list[dict[str, Any]],
        best: dict[str, Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        super().__init__()
        self.directory, self.rows, self.best, self.clock = directory, rows, best, clock
        self.seconds = float(rows[-1]["seconds"]) if rows else 0.0
        with explained(directory.tensorboard):
            # As bytes: TensorFlow takes text only if it is UTF-8, and a name need not be.
            self.writer = tf.summary.create_file_writer(os.fsencode(directory.tensorboard))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.started, self.first = self.clock(), self._iteration()
        self.training_seconds: float | None = None
        self.so_far: dict[str, Any] = {}

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.so_far = logs or {}

    def end_training(self) -> None:
        """Stops the clock of training in this epoch, at the first call."""
        if self.training_seconds is None:
            self.training_seconds = self.clock() - self.started

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._write(logs or {})
        row = self.rows[-1]
        score = score_of(row)
        is_best = score is not None and best_row([*filter(None, [self.best]), row]) is row
        self.directory.save(self.model, best=is_best, score=score)
        self.best = score if is_best else self.best

    def on_interruption(self) -> None:
        """Writes the checkpoint and the row in the middle of an epoch, from the metrics so far."""
        if self.rows and int(self.rows[-1]["meta_iteration"]) == self._iteration():
            return
        # The checkpoint comes first because it matters most.
        self.directory.save(self.model)
        self._write(self.so_far)

    def _write(self, logs: dict[str, Any]) -> None:
        elapsed = self.clock() - self.started
        self.seconds += elapsed
        iteration = self._iteration()
        row = {
            "meta_iteration": iteration,
            "meta_step_size": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            # `loss` and `val_loss` repeat other columns.
            **{k: float(v) for k, v in logs.items() if k not in ("loss", "val_loss")},
            "meta_iterations_per_second": (iteration - self.first)
            / (self.training_seconds or elapsed),
            "seconds": self.seconds,
        }
        self.rows.append(row)
        self.directory.write_rows(self.rows)
        self._write_scalars(iteration, row)

    def _iteration(self) -> int:
        return self.model.meta_iteration

    def _write_scalars(self, iteration, row) -> None:
        with explained(self.directory.tensorboard), self.writer.as_default(step=iteration):
            for name, value in row.items():
                if name != "meta_iteration":
                    tf.summary.scalar(name, value)
            self.writer.flush()


class SameTasks(keras.callbacks.Callback):
    """Adds the results of the same tasks to the logs at every epoch's end.

    The callback must come before `RunLog`, which writes the logs.

    Args:
        prefix: String, the beginning of the names in the logs.
        episodes: A finite dataset from `episode_dataset(..., tasks=...)`.
        model_of: Function that returns the model of these tasks for the model in training.
        run_log: The `RunLog`. It does not count these seconds as training.
        names: Sequence of strings, the results. Defaults to `None`, all.
    """

    def __init__(
        self,
        prefix: str,
        episodes: tf.data.Dataset,
        model_of: Callable[[ReptileModel], ReptileModel],
        run_log: RunLog,
        names: Sequence[str] | None = None,
    ):
        super().__init__()
        self.prefix, self.episodes, self.model_of = prefix, episodes, model_of
        self.run_log, self.names = run_log, names

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.run_log.end_training()
        model = self.model_of(self.model)
        results = model.evaluate(self.episodes, verbose=0, return_dict=True)
        logs.update({f"{self.prefix}{name}": results[name] for name in self.names or results})


class StopOnDivergence(keras.callbacks.Callback):
    """Ends a run whose loss or weights are no longer finite, before files are written."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        for name in ("loss_before", "loss_after", "loss"):
            if name in logs and not math.isfinite(float(logs[name])):
                raise diverged(self.model, f"{name} is {float(logs[name])}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        check_finite(self.model)
