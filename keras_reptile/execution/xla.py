"""What XLA compiles: functions of the parts of a step that have no collective operation."""

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from keras_reptile.kernels.devices import on_gpu


def compiled_where_it_pays(function: Callable, jit_compile: bool | str) -> Callable:
    """The function, compiled by XLA, unless told not to, if this replica is on a GPU.

    Only the part of a step that has no collective operation can be compiled by itself under
    `MirroredStrategy`.
    """
    if not jit_compile or not on_gpu() or tf.executing_eagerly():
        return function
    return tf.function(function, jit_compile=True, autograph=False)


@contextlib.contextmanager
def outside_of_xla() -> Iterator[None]:
    """What is traced meanwhile does not know that a function around it is compiled by XLA."""
    graph = tf.compat.v1.get_default_graph()
    with contextlib.ExitStack() as left:
        while graph is not None:
            left.enter_context(graph.control_dependencies(None))
            graph = getattr(graph, "outer_graph", None)
        yield
