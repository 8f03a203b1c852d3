"""The endpoints of an exported initialization, as functions of tensors.

`saved_model.py` turns each method of `Endpoints` into an endpoint of a SavedModel.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from keras_reptile.algorithm.network_function import has_randomness, mode, values_of
from keras_reptile.algorithm.orientations import in_each_orientation
from keras_reptile.episodes.network_inputs import taken_by
from keras_reptile.episodes.sampling import seedless_support_order
from keras_reptile.export.endpoint_checks import (
    check_examples,
    check_images,
    check_steps,
    check_weights,
)


def weight_names(network: Any) -> list[str]:
    """Returns a name for each trainable weight, with characters that TensorFlow accepts."""
    paths = [v.path.removeprefix(f"{network.name}/") for v in network.trainable_variables]
    names = [path.replace("/", "_") for path in paths]
    if len(set(names)) == len(names):
        return names
    return [f"{name}_{i}" for i, name in enumerate(names)]


class Endpoints:
    """The functions of an exported model. A call reads the model's variables.

    Args:
        model: A built and compiled `ReptileModel`, whose network has one input.
        orientations: Integer, the orientations in which `adapt_and_predict_inductive` and
            `adapt_and_predict_transductive` solve a task. Defaults to `1`.

    Shapes:

    * `support_images`, `query_images` and `images`: `(number, *shape of the network's input)`.
    * `support_labels` and `labels`: int64 `(number,)` from 0. If the loss takes other targets, they
      are shaped like the outputs.
    * `steps`: an int64 scalar.
    * Logits: `(number, outputs)`.
    """

    def __init__(self, model, orientations: int = 1):
        self.model, self.network = model, model.network
        self.orientations = orientations
        # Bytes are already scaled when the arguments are checked.
        self.loop = dataclasses.replace(
            model._inner_loop.for_evaluation(), as_taken=lambda images: images
        )
        self.names = weight_names(model.network)
        self.classes = model.network.output_shape[-1] if model._is_classifier else None
        ranges = model._input_ranges
        self.most = (
            ranges.limit if ranges.may(taken_by(self.network, self.network.inputs[0])) else None
        )
        # The number of calls so far. Layers draw other random numbers in each call.
        self.calls = tf.Variable(0, trainable=False, name="calls")

    def serve(self, images) -> tf.Tensor:
        """Returns the logits at the initialization, with batch normalization in inference mode."""
        (images,) = check_images("images", images, 0, self.most)
        return self._as_weights(self.network(images, **mode(self.network, False)))

    def adapt(self, support_images, support_labels, steps, learning_rate) -> dict[str, tf.Tensor]:
        """Returns a dict of the weights after fine-tuning on a support set."""
        x, y = check_examples(
            "support_images", support_images, support_labels, self.classes, self.most
        )
        steps, learning_rate = check_steps(steps, learning_rate)
        weights = self._adapted(x, y, steps, learning_rate)
        return dict(zip(self.names, weights, strict=True))

    def predict_with(self, weights, images) -> tf.Tensor:
        """Returns the logits with weights from `adapt`, normalized by these images' statistics."""
        (images,) = check_images("images", images, 1, self.most)
        return self._predict(weights, None, images, transductive=True)

    def adapt_and_predict_inductive(
        self, support_images, support_labels, query_images, steps, learning_rate
    ) -> tf.Tensor:
        """Fine-tunes, and returns the logits of each query in a batch with the support set."""
        support = support_images, support_labels
        return self._adapt_and_predict(*support, query_images, steps, learning_rate, False)

    def adapt_and_predict_transductive(
        self, support_images, support_labels, query_images, steps, learning_rate
    ) -> tf.Tensor:
        """Fine-tunes, and returns the logits of all queries in one batch."""
        support = support_images, support_labels
        return self._adapt_and_predict(*support, query_images, steps, learning_rate, True)

    def train_logits(self, images) -> tf.Tensor:
        """Returns the logits in training mode, with batch statistics, for a gradient tape."""
        (images,) = check_images("images", images, 1, self.most)
        return self._as_weights(self.loop.f.train(self._theta(), images, self._call_id())[0])

    def train_loss(self, images, labels) -> tf.Tensor:
        """Returns the inner loop's loss of one minibatch, for a gradient tape."""
        x, y = check_examples("images", images, labels, self.classes, self.most)
        return self.loop.minibatch_loss(self._theta(), x, y, self._call_id())

    def _theta(self) -> tuple:
        return tuple(values_of(self.network.trainable_variables))

    def _adapted(self, x, y, steps, learning_rate) -> tuple:
        theta = self._theta()
        rule = dataclasses.replace(self.loop.optimizer, learning_rate=lambda step: learning_rate)
        task = {
            "support": (x, y),
            "order": seedless_support_order(tf.shape(x)[0], steps),
            "number": (tf.constant(0), tf.constant(0)),
        }
        loop = dataclasses.replace(self.loop, optimizer=rule)
        return loop.adapt(task, theta, self.model._starting_state(theta)).weights

    def _adapt_and_predict(self, x, y, query_x, steps, learning_rate, transductive) -> tf.Tensor:
        # Images are turned, and predicted, after these checks only.
        (x,) = check_images("support_images", x, most=self.most)
        # Without the support set, batch statistics need at least one query.
        (query_x,) = check_images("query_images", query_x, int(transductive), self.most)
        outputs = []
        for support_x, queries in in_each_orientation((x, query_x), self.orientations):
            weights = self.adapt(support_x, y, steps, learning_rate)
            together = None if transductive else support_x
            outputs.append(self._predict(weights, together, queries, transductive))
        return tf.reduce_mean(tf.stack(outputs), axis=0) if len(outputs) > 1 else outputs[0]

    def _predict(self, weights, support_x, query_x, transductive):
        weights = check_weights([weights[name] for name in self.names])
        logits = self.loop.predict(weights, support_x, query_x, transductive=transductive)
        return tf.ensure_shape(logits, self.network.output_shape)

    def _as_weights(self, outputs):
        return tf.cast(outputs, self.network.trainable_variables[0].dtype)

    def _call_id(self):
        if not has_randomness(self.network):
            return tf.zeros((3,), tf.int32)
        return tf.stack([1, 0, self.calls.assign_add(1, read_value=True)])
