"""Checks of meta-batches that Python code makes one by one, in a generator or a `PyDataset`."""

import types
from collections.abc import Callable
from typing import Any

import keras

from keras_reptile.episodes.episode_format import is_meta_batch


class CheckedDataset(keras.utils.PyDataset):
    """A `PyDataset` whose elements are checked when they are read.

    Args:
        data: A `PyDataset`.
        check: Function of an element.
    """

    def __init__(self, data: keras.utils.PyDataset, check: Callable):
        super().__init__(workers=data.workers, max_queue_size=data.max_queue_size)
        self._data, self._check = data, check

    @property
    def num_batches(self) -> int | None:
        return self._data.num_batches

    def __getitem__(self, index: int) -> Any:
        element = self._data[index]
        self._check(element)
        return _in_tuple(element)

    def on_epoch_begin(self) -> None:
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._data.on_epoch_end()


def checked(data: Any, check: Callable) -> Any:
    """Returns a generator or a `PyDataset` with a check of each element. Others are unchanged.

    Meta-batches among the elements need not be in tuples.

    A `PyDataset` with `use_multiprocessing=True` is unchanged, too: TensorFlow, which checks, does
    not run in processes that were forked.
    """
    if isinstance(data, types.GeneratorType):
        return _generated(data, check)
    if isinstance(data, keras.utils.PyDataset) and not data.use_multiprocessing:
        return CheckedDataset(data, check)
    return data


def _generated(data, check):
    for element in data:
        check(element)
        yield _in_tuple(element)


def _in_tuple(element: Any) -> Any:
    """Returns a meta-batch in a tuple, as Keras takes it from Python code. Others are unchanged."""
    return (element,) if is_meta_batch(element) else element


def meta_batch_of(element: Any) -> dict | None:
    """Returns the meta-batch of an element, which may be alone in a tuple; `None` if it has none.

    Example:

    >>> meta_batch_of(np.zeros(2)) is None
    True
    """
    alone = isinstance(element, tuple | list) and len(element) == 1
    found = element[0] if alone else element
    return found if is_meta_batch(found) else None
