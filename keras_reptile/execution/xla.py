"""How functions are traced inside of others that XLA compiles."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def outside_of_xla() -> Iterator[None]:
    """Returns a context. Functions traced in it are as if XLA did not compile the outer one."""
    graph = tf.compat.v1.get_default_graph()
    with contextlib.ExitStack() as left:
        while graph is not None:
            left.enter_context(graph.control_dependencies(None))
            graph = getattr(graph, "outer_graph", None)
        yield
