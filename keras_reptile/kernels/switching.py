"""The one switch from the calls of a network's layers to other forms of them.

A form computes the numbers of the layer's own call, faster or with derivatives that TensorFlow
lacks. Which forms a network has is data: see forms.py.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from keras_reptile.keras_internals import all_layers

# Held while a network's layers are switched: threads may share the network.
_switching = threading.RLock()


class Form(NamedTuple):
    """A rule: which layers have another form, and how it is made.

    applies: Function of a layer to a boolean.
    make: Function `(layer, plain, origins)` to the form; `plain` is the layer's method without it,
        `origins` an `Origins`.
    method: String, the method that the form replaces. Defaults to `"call"`.
    """

    applies: Callable
    make: Callable
    method: str = "call"


class Origins:
    """What tensors were computed from, told by one layer's form to the next one's."""

    def __init__(self) -> None:
        # Each tensor is kept beside its origin, so that no other has the same `id`.
        self._by_id: dict[tuple, tuple] = {}

    def note(self, kind: str, tensor: Any, origin: Any) -> None:
        self._by_id[kind, id(tensor)] = tensor, origin

    def find(self, kind: str, tensor: Any) -> Any:
        """Returns what was noted for this tensor, or `None`."""
        return self._by_id.get((kind, id(tensor)), (None, None))[1]


@contextlib.contextmanager
def fast_forms(network: Any, forms: Sequence[Form]) -> Iterator[None]:
    """Switches the network's layers to these forms while this is open.

    Of two forms of one method, the later one wraps the earlier one. For other threads the layers
    stay as they are.

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
    # Set past Keras's attribute tracking: the layer is as before once this closes.
    object.__setattr__(layer, method, _in_this_thread(form.make(layer, plain, origins), plain))
    try:
        yield
    finally:
        object.__delattr__(layer, method)
        if own is not None:
            object.__setattr__(layer, method, own)


def _in_this_thread(replacement: Callable, plain: Callable) -> Callable:
    """Returns a function that is the replacement in this thread, and plain in all others."""
    thread = threading.get_ident()

    @functools.wraps(replacement)
    def chosen(*args, **kwargs):
        of_thread = replacement if threading.get_ident() == thread else plain
        return of_thread(*args, **kwargs)

    return chosen
