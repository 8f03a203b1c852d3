"""What an episode holds, as `episode_dataset` yields it, and whether given data is one."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.episodes import network_inputs

# The key that tells the tasks of a meta-batch from those that only fill up a share.
REAL = "real"

KEYS = {"support", "order", "query"}
OPTIONAL = {"tail", REAL}


def is_episode(data: Any) -> bool:
    return isinstance(data, dict) and set(data) >= KEYS and set(data) <= KEYS | OPTIONAL


def as_episodes(data: Any) -> tf.data.Dataset | None:
    """The dataset with episodes as its elements, also from `(episodes,)`; else `None`."""
    if not isinstance(data, tf.data.Dataset):
        return None
    if is_episode(data.element_spec):
        return data
    alone = isinstance(data.element_spec, tuple) and len(data.element_spec) == 1
    if alone and is_episode(data.element_spec[0]):
        return data.map(lambda episodes: episodes)
    return None


@contextlib.contextmanager
def after(episodes: dict) -> Iterator[None]:
    """Whatever a graph computes while this is open waits for the episodes.

    At the end of data whose number was not known, a step is begun without any. What needs none of
    them, such as counts, would be done all the same.
    """
    arguments = tf.nest.flatten(episodes)
    with tf.variable_creator_scope(_waiting_for_nothing), tf.control_dependencies(arguments):
        yield


def _waiting_for_nothing(create: Callable, **arguments) -> Any:
    """A variable whose first value is there before any data."""
    with tf.control_dependencies(None):
        return create(**arguments)


def first_minibatch_size(episodes: dict) -> Any:
    """Images in the first minibatch, which is the tail where there is no other; 0 without any."""
    order = episodes["order"]
    if order.shape[1] == 0:
        return episodes["tail"].shape[-1] if "tail" in episodes else 0
    return order.shape[-1] if order.shape[-1] is not None else tf.shape(order)[-1]


def check_last_step(episodes: dict) -> None:
    """Raises `ValueError` for tasks without the last inner step that two of the methods go by."""
    if episodes["order"].shape[1] == 0 and "tail" not in episodes:
        raise ValueError(
            "First-order MAML and MAML need the last of at least one inner step. Received episodes "
            "whose 'order' has no rows, and no 'tail'."
        )


def number_of_queries(episodes: dict) -> int | None:
    return episodes["query"][1].shape[1]


def with_queries(episodes: dict) -> dict:
    """The episodes, if their tasks can be judged.

    Raises:
        ValueError: If they have no queries.
    """
    if number_of_queries(episodes) == 0:
        raise ValueError(
            "Tasks are judged by their queries. Received episodes with queries=0. "
            "Build the evaluation episodes with `queries=1` or more."
        )
    return episodes


def labelled(episodes: dict) -> dict:
    """The episodes with labels of zeros for queries without any, which nothing looks at."""
    x, *y = episodes["query"]
    if y:
        return episodes
    images = tf.convert_to_tensor(tf.nest.flatten(x)[0])
    sizes = images.shape[:2] if images.shape[:2].is_fully_defined() else tf.shape(images)[:2]
    return {**episodes, "query": (x, tf.zeros(sizes, tf.int32))}


def with_inputs(task: dict, change: Callable) -> dict:
    """A task or a meta-batch of them with the inputs of support and queries changed."""
    (support_x, support_y), (query_x, query_y) = task["support"], task["query"]
    return {**task, "support": (change(support_x), support_y), "query": (change(query_x), query_y)}


def symbolic_support(spec: dict, network: keras.Model) -> Any:
    """A symbolic batch of support images as the network takes them, of episodes or their spec."""
    return network_inputs.symbolic(spec["support"][0], network, lambda t: (None, *t.shape[2:]))


def symbolic_batch(shapes: Any, axes: int = 2) -> Any:
    """A symbolic batch of images from shapes with tasks and images along so many first axes."""
    if isinstance(shapes, dict):
        return {name: symbolic_batch(shape, axes) for name, shape in shapes.items()}
    if all(isinstance(size, int | None) for size in shapes):
        return keras.KerasTensor((None, *shapes[axes:]), keras.config.floatx())
    return [symbolic_batch(shape, axes) for shape in shapes]
