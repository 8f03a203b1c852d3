"""The switch from a layer's own call to a faster form, and which operations that form may use."""

import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_given: contextvars.ContextVar = contextvars.ContextVar("given", default=None)

# Held while a network's layers are switched: threads may share the network.
_switching = threading.RLock()

_fusing = contextvars.ContextVar("fusing", default=True)


@contextlib.contextmanager
def switched(layers: list, method: str, replacement: Callable) -> Iterator[None]:
    """While this is open, a method of each layer is what `replacement` makes of the layer.

    For other threads the layers stay as they are.
    """
    with _switching:
        before = [vars(layer).get(method) for layer in layers]
        for layer in layers:
            # Set past Keras's attribute tracking: the layer is as before once this closes.
            object.__setattr__(layer, method, _here(replacement(layer), getattr(layer, method)))
        try:
            yield
        finally:
            for layer, own in zip(layers, before, strict=True):
                object.__delattr__(layer, method)
                if own is not None:
                    object.__setattr__(layer, method, own)


def _here(replacement: Callable, plain: Callable) -> Callable:
    """The one in this thread, the other in all others."""
    thread = threading.get_ident()

    @functools.wraps(replacement)
    def chosen(*args, **kwargs):
        of_thread = replacement if threading.get_ident() == thread else plain
        return of_thread(*args, **kwargs)

    return chosen


@contextlib.contextmanager
def unfused() -> Iterator[None]:
    """While this is open, `batch_statistics` uses operations that `tf.vectorized_map` knows."""
    before = _fusing.set(False)
    try:
        yield
    finally:
        _fusing.reset(before)


def fuses() -> bool:
    """Whether operations of TensorFlow's own may be used, or only what all of its tools know."""
    return _fusing.get()


def held_variables(network: Any) -> list:
    """The non-trainable variables, or what was given for them."""
    return list(network.non_trainable_variables) if _given.get() is None else _given.get()


@contextlib.contextmanager
def holding(values: Sequence) -> Iterator[None]:
    """While this is open, the network's non-trainable variables have these values.

    A function that XLA compiles locks every variable that it reads, and waits for all others that
    read it; not so with tensors from outside.
    """
    before = _given.set(list(values))
    try:
        yield
    finally:
        _given.reset(before)
