"""Switches the layers of a network to other forms while the network is called.

A form computes the same as the layer's own call, but faster, or with derivatives that TensorFlow
lacks. forms.py lists the forms.
"""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from keras_reptile.keras_internals import all_layers

# Locked while a network's layers are switched, because threads may share the network.
_switching = threading.RLock()


class Form(NamedTuple):
    """Another form of certain layers.

    applies: Function from a layer to a boolean, whether the layer has this form.
    make: Function `(layer, plain, origins)` to the form's method. `plain` is the layer's own
        method, and `origins` an `Origins`.
    method: String, the name of the method that is replaced. Defaults to `"call"`.
    """

    applies: Callable
    make: Callable
    method: str = "call"


class Origins:
    """Notes of one layer's form for the next layer's form: how a tensor was computed."""

    def __init__(self) -> None:
        # Tensors are kept, so that no other tensor gets the same `id`.
        self._by_id: dict[tuple, tuple] = {}

    def note(self, kind: str, tensor: Any, origin: Any) -> None:
        self._by_id[kind, id(tensor)] = tensor, origin

    def find(self, kind: str, tensor: Any) -> Any:
        """Returns the note for this tensor, or `None`."""
        return self._by_id.get((kind, id(tensor)), (None, None))[1]


@contextlib.contextmanager
def fast_forms(network: Any, forms: Sequence[Form]) -> Iterator[None]:
    """Switches the network's layers to these forms while the context is open.

    If two forms replace one method, the later one wraps the earlier one. Other threads still see
    the plain layers.

    Args:
        network: A `keras.Model`.
        forms: Sequence of `Form`.
    """
    layers, origins = all_layers(network), Origins()
    chosen = [(layer, form) for form in forms for layer in layers if form.applies(layer)]
    with _switching, contextlib.ExitStack() as opened:
        for layer, form in chosen:
            opened.enter_context(_switched(layer, form, origins))
        yield


@contextlib.contextmanager
def _switched(layer, form: Form, origins: Origins) -> Iterator[None]:
    method, own = form.method, vars(layer).get(form.method)
    plain = getattr(layer, method)
    # Set past Keras's attribute tracking, because the layer will be restored.
    object.__setattr__(layer, method, _in_this_thread(form.make(layer, plain, origins), plain))
    try:
        yield
    finally:
        object.__delattr__(layer, method)
        if own is not None:
            object.__setattr__(layer, method, own)


def _in_this_thread(replacement: Callable, plain: Callable) -> Callable:
    """Returns a function that calls `replacement` in this thread, and `plain` in all others."""
    thread = threading.get_ident()
    first = next(iter(inspect.signature(plain).parameters))

    @functools.wraps(plain)
    def chosen(*args, **kwargs):
        if threading.get_ident() != thread:
            return plain(*args, **kwargs)
        # Layers name their first argument differently, and may be called by its name.
        if not args and first in kwargs:
            args = (kwargs.pop(first),)
        return replacement(*args, **kwargs)

    return chosen
