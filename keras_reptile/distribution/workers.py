"""Communication between the processes of a run outside of training steps."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_reptile.distribution import cluster
from keras_reptile.errors import RunError

# The errors that TensorFlow raises if another worker has stopped.
LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


class Workers:
    """The processes of a run, one on each host. The first is the chief: only it writes files.

    All processes must call every method, in the same order.

    Args:
        strategy: A strategy, or `None`. With any but `MultiWorkerMirroredStrategy` there is one
            process, the chief.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None):
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        hosts = cluster.from_environment() if several else None
        self.strategy: Any = strategy
        self.number, self.index = (len(hosts.addresses), hosts.index) if hosts else (1, 0)

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    @contextlib.contextmanager
    def directory(self, path: Any) -> Iterator[Path]:
        """Yields the directory to write to. On all but the chief it is temporary."""
        if self.is_chief:
            yield Path(path)
        else:
            with tempfile.TemporaryDirectory(prefix="worker") as temporary:
                yield Path(temporary)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Returns a context for code that may fail on one worker.

        If it raises an error on one worker, all workers raise it.
        """
        error = None
        try:
            yield
        except (RunError, ValueError) as raised:
            if self.number == 1:
                raise
            error = raised
        for index, text in enumerate(self.exchange(str(error or ""))):
            if text and index != self.index and error is None:
                raise RunError(f"Worker {index} stopped: {text}")
        if error is not None:
            raise error

    def check_alike(self, settings: dict[str, Any]) -> None:
        """Raises `RunError` on all workers if one has other settings than the chief."""
        chief, *others = [json.loads(text) for text in self.exchange(json.dumps(settings))]
        for index, other in enumerate(others, start=1):
            differing = [name for name in chief if other.get(name) != chief[name]]
            if differing:
                listed = ", ".join(f"{n}={other.get(n)!r} (chief: {chief[n]!r})" for n in differing)
                raise RunError(
                    f"Worker {index} differs from the chief: {listed}. Start every worker with the "
                    "same flags, version and data."
                )

    def exchange(self, text: str) -> list[str]:
        """Returns the texts of all workers, the chief's first."""
        if self.number == 1:
            return [text]
        mine = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
        sizes = self._table(np.array([len(mine)], np.int32))[:, 0]
        padded = np.zeros(max(1, sizes.max()), np.int32)
        padded[: len(mine)] = mine
        rows = self._table(padded)
        return [
            bytes(row[:n].astype(np.uint8)).decode() for row, n in zip(rows, sizes, strict=True)
        ]

    def from_chief(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns the chief's arrays, bit for bit.

        Args:
            arrays: Sequence of arrays, with the same shapes and dtypes on all workers.
        """
        if self.number == 1:
            return list(arrays)
        packed = b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
        words = np.frombuffer(packed + b"\0" * (-len(packed) % 4), np.int32)
        received = self._sum(words if self.is_chief else np.zeros_like(words)).tobytes()
        unpacked, start = [], 0
        for a in arrays:
            part = received[start : start + a.nbytes]
            unpacked.append(np.frombuffer(part, a.dtype).reshape(a.shape))
            start += a.nbytes
        return unpacked

    def _table(self, row: np.ndarray) -> np.ndarray:
        """Returns every worker's row, `(workers, length)`."""
        table = np.zeros((self.number, len(row)), np.int32)
        table[self.index] = row
        return self._sum(table)

    def _sum(self, array: np.ndarray) -> np.ndarray:
        per_worker = self.strategy.num_replicas_in_sync // self.number

        def value_of(replica):
            # The first replica of each worker contributes the array, and the others zeros.
            is_first = replica.replica_id_in_sync_group % per_worker == 0
            return tf.constant(array if is_first else np.zeros_like(array))

        values = self.strategy.experimental_distribute_values_from_function(value_of)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()


@contextlib.contextmanager
def lost_workers_explained(workers: Workers) -> Iterator[None]:
    """Turns TensorFlow's errors about workers that have stopped into a `RunError`."""
    try:
        yield
    except LOST as error:
        if workers.number == 1:
            raise
        raise RunError(
            "Another worker stopped or cannot be reached "
            f"({type(error).__name__}). Start all workers again with the same command: they resume "
            "from the chief's last checkpoint."
        ) from None
