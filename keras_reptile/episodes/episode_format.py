"""The format of an episode, and functions of episodes."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.episodes import network_inputs

# The key of an integer tensor `(tasks,)`: 1 for a task of the meta-batch, and 0 for a copy that
# only fills up a replica's share.
IS_REAL = "real"
# The key of a task's classes in the pool.
CLASSES = "classes"

KEYS = {"support", "order", "query"}
OPTIONAL = {"tail", CLASSES, IS_REAL}


def is_episode(data: Any) -> bool:
    return isinstance(data, dict) and set(data) >= KEYS and set(data) <= KEYS | OPTIONAL


def mapped(data: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """`Dataset.map` by a function whose Python code is the same for all tensors.

    AutoGraph would take its time to rewrite the function, and all that it calls, to no effect.
    """
    return data.map(tf.autograph.experimental.do_not_convert(function))


def as_episodes(data: Any) -> tf.data.Dataset | None:
    """Returns the dataset if its elements are episodes or tuples `(episodes,)`, else `None`.

    The elements of the result are episodes.
    """
    if not isinstance(data, tf.data.Dataset):
        return None
    if is_episode(data.element_spec):
        return data
    alone = isinstance(data.element_spec, tuple) and len(data.element_spec) == 1
    if alone and is_episode(data.element_spec[0]):
        return mapped(data, lambda episodes: episodes)
    return None


@contextlib.contextmanager
def after(episodes: dict) -> Iterator[None]:
    """Makes all operations that a graph creates in this context wait for the episodes.

    If the number of elements is unknown, Keras begins one more step at the end of the data, and
    the step fails when it reads the episodes. Operations that read no episode, such as counters,
    would run in that step without this context.
    """
    arguments = tf.nest.flatten(episodes)
    with tf.variable_creator_scope(_without_waiting), tf.control_dependencies(arguments):
        yield


def _without_waiting(create: Callable, **arguments) -> Any:
    """Creates a variable whose initial value does not wait for data."""
    with tf.control_dependencies(None):
        return create(**arguments)


def is_meta_batch(data: Any) -> bool:
    """Returns whether data are one meta-batch of arrays or tensors."""
    return is_episode(data) and all(hasattr(t, "shape") for t in tf.nest.flatten(data))


def first_minibatch_size(episodes: dict) -> Any:
    """Returns the number of images in the first minibatch, or 0 if there is no minibatch.

    If the tail is the only minibatch, it is the first.
    """
    order = episodes["order"]
    if order.shape[1] == 0:
        return episodes["tail"].shape[-1] if "tail" in episodes else 0
    return order.shape[-1] if order.shape[-1] is not None else tf.shape(order)[-1]


def has_steps(episodes: dict) -> bool:
    """Returns whether tasks have an inner step; true if their number is unknown."""
    return episodes["order"].shape[1] != 0 or "tail" in episodes


def check_last_step(episodes: dict) -> None:
    """Raises `ValueError` for tasks without an inner step, which FOMAML and MAML need."""
    if not has_steps(episodes):
        raise ValueError(
            "First-order MAML and MAML need at least one inner step. Received: episodes without "
            "'tail' whose 'order' has no rows. Give them at least one minibatch."
        )


def number_of_queries(episodes: dict) -> int | None:
    return episodes["query"][1].shape[1]


def with_queries(episodes: dict) -> dict:
    """Returns the episodes, after checking that their tasks have queries.

    Raises:
        ValueError: If the tasks have no queries.
    """
    if number_of_queries(episodes) == 0:
        raise ValueError(
            "Tasks are evaluated on their queries. Received: episodes with queries=0. "
            "Build the evaluation episodes with `queries=1` or more."
        )
    return episodes


def labelled(episodes: dict) -> dict:
    """Returns the episodes. Queries without labels get labels of zeros, which are never used."""
    x, *y = episodes["query"]
    if y:
        return episodes
    images = tf.convert_to_tensor(tf.nest.flatten(x)[0])
    sizes = images.shape[:2] if images.shape[:2].is_fully_defined() else tf.shape(images)[:2]
    return {**episodes, "query": (x, tf.zeros(sizes, tf.int32))}


def with_inputs(task: dict, change: Callable) -> dict:
    """Returns a task or a meta-batch with a function applied to its support and query inputs."""
    (support_x, support_y), (query_x, query_y) = task["support"], task["query"]
    return {**task, "support": (change(support_x), support_y), "query": (change(query_x), query_y)}


def symbolic_support(spec: dict, network: keras.Model) -> Any:
    """Returns a symbolic batch of the support images, with the dtype that the network receives.

    Args:
        spec: Episodes or their spec.
        network: A `keras.Model`.
    """
    return network_inputs.symbolic(spec["support"][0], network, lambda t: (None, *t.shape[2:]))


def symbolic_batch(shapes: Any, axes: int = 2) -> Any:
    """Returns a symbolic batch of images.

    Args:
        shapes: Structure of shapes. The first `axes` axes are tasks and images.
        axes: Integer. Defaults to `2`.
    """
    if isinstance(shapes, dict):
        return {name: symbolic_batch(shape, axes) for name, shape in shapes.items()}
    if all(isinstance(size, int | None) for size in shapes):
        return keras.KerasTensor((None, *shapes[axes:]), keras.config.floatx())
    return [symbolic_batch(shape, axes) for shape in shapes]
