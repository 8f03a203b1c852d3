"""Episodes as tasks: checked, and with the numbers from which layers draw random numbers."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm.assignments import check_assignments
from keras_reptile.algorithm.inference_mode import check_normalizations
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.network_checks import check_output
from keras_reptile.algorithm.network_function import has_randomness, task_numbers
from keras_reptile.episodes.episode_checks import assert_positions
from keras_reptile.episodes.episode_format import symbolic_support
from keras_reptile.keras_internals import all_layers


def numbered(
    loop: InnerLoop, episodes: dict, meta_iteration: Any, by_content: bool, made_once: Callable
) -> dict:
    """Returns the episodes as tasks: checked, and numbered for layers that draw random numbers.

    A task has two numbers, that of the meta-iteration and its own.

    Args:
        loop: The `InnerLoop`.
        episodes: An element of `episode_dataset`.
        meta_iteration: Integer scalar.
        by_content: Boolean. `True`: a task's own number follows from its content, so that it is the
            same in meta-batches of any size. `False`: it is the task's index in the meta-batch.
        made_once: Function `(key, make)`, see `Traces`.
    """
    made_once("output", lambda: check_output_of(loop.f.network, episodes))
    # Data other than datasets and arrays have not been checked before.
    with tf.control_dependencies(assert_positions(episodes)):
        # `tf.gather` does not take integers of every dtype.
        orders = {
            key: tf.identity(tf.cast(episodes[key], tf.int32))
            for key in ("order", "tail")
            if key in episodes
        }
    episodes = {**episodes, **orders}
    # Without randomness, the numbers have no effect.
    by_content = by_content and has_randomness(loop.f.network)
    own = _numbers_by_content(loop, episodes) if by_content else _task_indices(episodes)
    meta_iteration = tf.cast(meta_iteration, tf.int32)
    return {**episodes, "number": (tf.fill(tf.shape(own), meta_iteration), own)}


def _task_indices(episodes):
    """Returns each task's index in the whole meta-batch, over all replicas."""
    size = tf.shape(episodes["order"])[0]
    return distribution.replica_index() * size + tf.range(size)


def _numbers_by_content(loop, episodes):
    x, y = episodes["support"]
    minibatches = [episodes[key] for key in ("order", "tail") if key in episodes]
    return task_numbers([loop.as_taken(x), y, *minibatches])


def check_output_of(network: keras.Model, episodes: dict) -> None:
    """Raises `ValueError` if tasks can have no loss of the network's output.

    The check comes before the loop over tasks: an error inside it leaves TensorFlow's strategies
    unusable. Symbolic outputs carry no masks, so a network that makes masks is traced.
    """
    x = symbolic_support(episodes, network)
    check_output(network.compute_output_spec(x))
    check_assignments(network, x)
    check_normalizations(network, x)
    if any(_makes_masks(layer) for layer in all_layers(network)):
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), x)
        traced = tf.function(lambda x: check_output(network(x)), autograph=False)
        traced.get_concrete_function(specs)


def _makes_masks(layer) -> bool:
    return isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False)
