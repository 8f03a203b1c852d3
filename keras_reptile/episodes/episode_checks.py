"""Checks that dicts have the format of the episodes that `episode_dataset` yields."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.episodes.episode_format import CLASSES, KEYS, OPTIONAL, is_episode

POSITIONS = (
    # No quotation marks: TensorFlow would escape them in the error of a graph.
    "`order` and `tail` must hold positions in the support set, from 0 to its number of examples "
    "- 1. Received: a task with another position. Draw them from `range(examples)`."
)


def episodes_of(data: Any) -> dict:
    """Returns the episodes in the data that Keras passes to a step, without `"classes"`.

    Raises:
        ValueError: If the data are not episodes.
    """
    episodes, *others = keras.utils.unpack_x_y_sample_weight(data)
    if not is_episode(episodes):
        raise ValueError(
            "`ReptileModel` trains and evaluates on episodes: dicts with 'support', 'order', "
            "'query' and, if tasks have one, 'tail', as `episode_dataset` yields them. "
            f"Received: {type(episodes).__name__}. From arrays, build them by "
            "`episode_dataset(ClassPool.from_arrays(x, y), ...)`. "
            f"{_keys(episodes) if isinstance(episodes, dict) else ''}".rstrip()
        )
    if others != [None, None]:
        raise ValueError(
            "Episodes contain their targets, and all tasks have the same weight. Received: targets "
            "or sample weights beside the episodes. Leave them out."
        )
    check_format(episodes)
    return {key: value for key, value in episodes.items() if key != CLASSES}


def check_no_half_episode(data: Any) -> None:
    """Raises `ValueError` for a dict that has two or more keys of an episode, but not all."""
    if isinstance(data, dict) and len(set(data) & KEYS) > 1:
        raise ValueError(
            f"Inputs have some keys of an episode, but are not an episode. {_keys(data)}"
        )


def _keys(data):
    keys, allowed = set(data), KEYS | {"tail"}
    extra = sorted(map(str, keys - allowed - OPTIONAL))
    missing = sorted(KEYS - keys)
    return f"Unknown keys: {extra}; missing keys: {missing}."


def check_format(episodes: dict, labelled: bool = True) -> None:
    """Raises `ValueError` for episodes whose tensors do not fit together.

    Args:
        episodes: A dict with the keys of an episode. The values are tensors, arrays or specs.
        labelled: Boolean, whether queries need labels. Defaults to `True`.
    """
    for part in ("support", "query"):
        _check_pair(part, episodes[part], labelled or part == "support")
    leaves = tf.nest.flatten(episodes)
    ragged = (tf.RaggedTensor, tf.SparseTensor, tf.RaggedTensorSpec, tf.SparseTensorSpec)
    if any(isinstance(t, ragged) for t in leaves):
        raise ValueError(
            "All tasks of a meta-batch must have the same sizes. Received: a ragged or sparse "
            "tensor. Put tasks of different sizes in meta-batches of one task each."
        )
    for key, rank, axes in (
        ("order", 3, "(tasks, inner_steps, inner_batch_size)"),
        ("tail", 2, "(tasks, images)"),
    ):
        if key in episodes:
            what = "the positions of each minibatch's examples in the support set"
            _check_integers(key, episodes[key], rank, axes, what)
    if CLASSES in episodes:
        what = "the class of each label in the pool"
        _check_integers(CLASSES, episodes[CLASSES], 2, "(tasks, ways)", what)
    _check_alike("tasks", 0, episodes)
    for part in ("support", "query"):
        _check_alike(f"examples in '{part}'", 1, episodes[part])


def _check_pair(part, value, labelled):
    sizes = (2,) if labelled else (1, 2)
    if not isinstance(value, tuple | list) or len(value) not in sizes:
        received = f"a tuple of {len(value)}" if isinstance(value, tuple | list) else "one tensor"
        raise ValueError(
            f"'{part}' of an episode must be a tuple of inputs and targets. Received: {received}. "
            f"Give {{'{part}': (x, y), ...}}."
        )
    if len(value) == 2 and not hasattr(value[1], "shape"):
        raise ValueError(
            f"The targets in '{part}' of an episode must be one tensor, because the network has "
            f"one output. Received: a {type(value[1]).__name__} of targets."
        )


def _check_integers(key, value, rank, axes, what):
    shape, dtype = _shape(value), tf.as_dtype(value.dtype)
    if not dtype.is_integer or shape.rank not in (None, rank):
        raise ValueError(
            f"'{key}' of an episode must be integers {axes}: {what}. "
            f"Received: shape {shape}, dtype {dtype.name}."
        )


def _check_alike(what, axis, structure):
    shapes = [_shape(t) for t in tf.nest.flatten(structure)]
    sizes = {s[axis] for s in shapes if s.rank is not None and s.rank > axis}
    short = any(s.rank is not None and s.rank <= axis for s in shapes)
    if short or len(sizes - {None}) > 1:
        raise ValueError(
            f"All tensors of an episode must have the same number of {what}, along axis {axis}. "
            f"Received: shapes {[str(s) for s in shapes]}."
        )


def _shape(value) -> tf.TensorShape:
    return tf.TensorShape(value.shape)


def check_images(network: Any, episodes: dict) -> None:
    """Raises `ValueError` if images do not have the shape of the network's single input."""
    shape: Any = getattr(network, "input_shape", None)
    images = episodes["support"][0]
    one = isinstance(shape, tuple) and not isinstance(images, tuple | list | dict)
    if not one or _shape(images).rank is None:
        return
    received = _shape(images)[2:]
    # Keras also accepts images with one more axis of size 1 at the end.
    if not any(received.is_compatible_with(s) for s in (shape[1:], (*shape[1:], 1))):
        hint = ""
        if received.rank == len(shape) - 2:
            hint = " Grey images need a channel axis: `images[..., np.newaxis]`."
        raise ValueError(
            f"The network takes inputs of shape {tuple(shape[1:])}. Received: episodes with inputs "
            f"of shape {tuple(received)}.{hint}"
        )


@contextlib.contextmanager
def channels_explained(episodes: dict) -> Iterator[None]:
    """Adds advice to the error of an unbuilt network that refuses images without channels."""
    try:
        yield
    except ValueError as error:
        images = tf.nest.flatten(episodes["support"][0])
        if len(images) != 1 or _shape(images[0]).rank != 4:
            raise
        raise ValueError(
            f"The network does not take inputs of shape {tuple(images[0].shape[2:])}. If they are "
            "grey images, add a channel axis: `images[..., np.newaxis]`. The error of Keras: "
            f"{error}"
        ) from None


def assert_positions(episodes: dict) -> list:
    """Returns operations that fail if a minibatch has a position outside the support set.

    XLA does not fail for such a position: it takes the last example.
    """
    number = tf.shape(episodes["support"][1], out_type=tf.int64)[1]
    orders = [tf.cast(episodes[key], tf.int64) for key in ("order", "tail") if key in episodes]
    in_range = [tf.reduce_all((t >= 0) & (t < number)) for t in orders]
    return [tf.debugging.Assert(tf.reduce_all(in_range), [POSITIONS])]
