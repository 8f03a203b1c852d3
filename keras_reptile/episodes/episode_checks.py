"""Whether a dict that looks like episodes is as `episode_dataset` yields them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.episodes.episode_format import KEYS, OPTIONAL, is_episode

POSITIONS = (
    # Quotation marks would come back from a graph with backslashes.
    "`order` and `tail` must hold positions in the support set, from 0 to its number of examples "
    "- 1. Received a task with another position. Draw them from `range(examples)`."
)


def episodes_of(data: Any) -> dict:
    """The episodes in what Keras hands to a step.

    Raises:
        ValueError: If it is anything else.
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
            "Episodes hold their targets, and all tasks weigh the same. Received targets or sample "
            "weights beside them. Leave them out."
        )
    check_format(episodes)
    return episodes


def check_no_half_episode(data: Any) -> None:
    """Raises `ValueError` for a dict with two keys of an episode that is none."""
    if isinstance(data, dict) and len(set(data) & KEYS) > 1:
        raise ValueError(f"Inputs have keys of an episode, and are none. {_keys(data)}")


def _keys(data):
    keys, allowed = set(data), KEYS | {"tail"}
    extra = sorted(map(str, keys - allowed - OPTIONAL))
    missing = sorted(KEYS - keys)
    return f"Its unknown keys: {extra}; its missing keys: {missing}."


def check_format(episodes: dict, labelled: bool = True) -> None:
    """Raises `ValueError` for episodes whose tensors do not fit together.

    Args:
        episodes: A dict with the keys of an episode, of tensors, arrays or their specs.
        labelled: Boolean, whether queries need labels.
    """
    for part in ("support", "query"):
        _check_pair(part, episodes[part], labelled or part == "support")
    leaves = tf.nest.flatten(episodes)
    ragged = (tf.RaggedTensor, tf.SparseTensor, tf.RaggedTensorSpec, tf.SparseTensorSpec)
    if any(isinstance(t, ragged) for t in leaves):
        raise ValueError(
            "All tasks of a meta-batch have the same sizes. Received: a ragged or sparse tensor. "
            "Put tasks of different sizes in meta-batches of one task each."
        )
    for key, rank, axes in (
        ("order", 3, "(tasks, inner_steps, inner_batch_size)"),
        ("tail", 2, "(tasks, images)"),
    ):
        if key in episodes:
            _check_positions(key, episodes[key], rank, axes)
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


def _check_positions(key, value, rank, axes):
    shape, dtype = _shape(value), tf.as_dtype(value.dtype)
    if not dtype.is_integer or shape.rank not in (None, rank):
        raise ValueError(
            f"'{key}' of an episode must be integers {axes}, the positions in the support set that "
            f"each minibatch takes. Received: shape {shape}, dtype {dtype.name}."
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
    """Raises `ValueError` for images of another shape than the network's input, if it has one."""
    shape: Any = getattr(network, "input_shape", None)
    images = episodes["support"][0]
    one = isinstance(shape, tuple) and not isinstance(images, tuple | list | dict)
    if not one or _shape(images).rank is None:
        return
    received = _shape(images)[2:]
    # Keras drops a last axis of 1.
    if not any(received.is_compatible_with(s) for s in (shape[1:], (*shape[1:], 1))):
        hint = ""
        if received.rank == len(shape) - 2:
            hint = " Grey images need an axis for their channel: `images[..., np.newaxis]`."
        raise ValueError(
            f"The network takes inputs of shape {tuple(shape[1:])}. Received: episodes with inputs "
            f"of shape {tuple(received)}.{hint}"
        )


@contextlib.contextmanager
def channels_explained(episodes: dict) -> Iterator[None]:
    """Tells what to do where a network that is not built refuses images without channels."""
    try:
        yield
    except ValueError as error:
        images = tf.nest.flatten(episodes["support"][0])
        if len(images) != 1 or _shape(images[0]).rank != 4:
            raise
        raise ValueError(
            f"The network does not take inputs of shape {tuple(images[0].shape[2:])}. If they are "
            "grey images, give them an axis for their channel: `images[..., np.newaxis]`. Keras "
            f"says: {error}"
        ) from None


def assert_positions(episodes: dict) -> list:
    """Operations that fail if a minibatch takes what is not there: XLA would take the last one."""
    number = tf.shape(episodes["support"][1])[1]
    orders = [episodes[key] for key in ("order", "tail") if key in episodes]
    known = [tf.reduce_all((t >= 0) & (t < tf.cast(number, t.dtype))) for t in orders]
    return [tf.debugging.Assert(tf.reduce_all(known), [POSITIONS])]
