"""From a meta-learned initialization and a support set to an ordinary fine-tuned network."""

import keras
import numpy as np
import tensorflow as tf

from keras_reptile import losses
from keras_reptile.episodes import minibatch_order
from keras_reptile.network_function import support_statistics
from keras_reptile.networks import check_positive
from keras_reptile.task_spec import TaskSpec


def adapt(model, support_x, support_y, steps, inner_batch_size, seed) -> keras.Model:
    """See `ReptileModel.adapt`."""
    support_x = tf.nest.map_structure(tf.convert_to_tensor, support_x)
    support_y = tf.convert_to_tensor(support_y)
    check_positive("steps", steps)
    number = _check_support(model, support_x, support_y)
    batch = min(number, 10) if inner_batch_size is None else inner_batch_size
    check_positive("inner_batch_size", batch)
    task = {
        "support": (support_x, support_y),
        "order": _order(number, batch, steps, seed),
        "number": (tf.constant(seed), tf.constant(0)),
    }
    weights, state = model.adaptation_function(task)
    return _learner(model, weights, state)


def _order(number, batch, steps, seed):
    spec = TaskSpec(1, number, 0, batch, steps)
    bits = np.random.RandomState(seed).randint(0, 2**62, (spec.passes, number))
    return minibatch_order(tf.constant(bits, tf.int64), spec)


def adapted(model, task) -> tuple:
    """The adapted weights, and the network's other variables with the support's statistics."""
    theta = [tf.convert_to_tensor(v) for v in model.network.trainable_variables]
    result = model.adapt_task(task, theta, model.starting_state(theta))
    return result.weights, support_statistics(model.network, result.weights, task["support"][0])


def _learner(model, weights, state):
    network = model.network
    learner = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(network))
    learner.trainable = network.trainable
    for variable, value in zip(learner.trainable_variables, weights, strict=True):
        variable.assign(value)
    for variable, value in zip(learner.non_trainable_variables, state, strict=True):
        variable.assign(value)
    loss = model.task_loss
    learner.compile(
        optimizer=keras.optimizers.deserialize(model.inner_optimizer_config),
        loss=loss,
        metrics=["accuracy"] if losses.get_metrics(None, loss) else None,
    )
    learner.optimizer.build(learner.trainable_variables)
    return learner


def _check_support(model, support_x, support_y) -> int:
    sizes = {int(t.shape[0]) for t in [*tf.nest.flatten(support_x), support_y]}
    if len(sizes) != 1 or not min(sizes):
        raise ValueError(
            "The support set needs at least one image, and one label for each. Received: "
            f"{[tuple(t.shape) for t in tf.nest.flatten(support_x)]} images and "
            f"{tuple(support_y.shape)} labels."
        )
    if model.is_classifier:
        _check_labels(model, support_y.numpy())
    return sizes.pop()


def _check_labels(model, labels) -> None:
    outputs = model.network.output_shape[-1] if hasattr(model.network, "output_shape") else None
    if labels.min() < 0 or (outputs and labels.max() >= outputs):
        raise ValueError(
            f"Labels must be in 0 to {outputs - 1}, one for each of the network's outputs. "
            f"Received: labels from {labels.min()} to {labels.max()}."
        )
