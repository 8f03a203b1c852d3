"""A task whose support set grows while a person draws it."""

import dataclasses
import random
import time
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_reptile.algorithm.network_function import values_of
from keras_reptile.demo.models import sizes
from keras_reptile.episodes.sampling import INNER_BATCH_SIZE, support_order
from keras_reptile.learner import Initialization
from keras_reptile.reptile_model import ReptileModel

STEPS = 50
# The longest adaptation that a page may ask for.
MOST_STEPS = 200
SHOTS = 5
# Seconds that both adaptations may take together, so that the answer seems to come at once.
BUDGET = 0.5


class Learned(NamedTuple):
    """The result of an adaptation to the drawings.

    weights: Tuple of tensors, the task's solution from the meta-learned weights.
    from_random: Tuple of tensors, that from random weights, by as many steps on the same drawings.
    support_x: Tensor `(images, height, width, 1)`, float32 in [0, 1], the drawings.
    ways: Boolean array `(ways,)`, the characters with a drawing.
    steps: Integer, inner steps of each adaptation.
    seconds: Float, how long the adaptation of the meta-learned weights took.
    """

    weights: tuple
    from_random: tuple
    support_x: tf.Tensor
    ways: np.ndarray
    steps: int
    seconds: float


class DrawnTask:
    """Adapts a model to drawings and predicts further ones; the model stays as it is.

    Everything is traced once, at construction, for any number of drawings.

    Args:
        model: A compiled `ReptileModel` of a classifier of grey square images.
        ways: Integer, characters to tell apart. Defaults to `None`, the network's outputs.
        steps: Integer, inner steps, at most 200. Defaults to `None`: 50, or as many as take half
            a second on this machine, for both weights together.

    Raises:
        RunError: If the model is of other inputs or outputs.
        ValueError: If `ways` or `steps` is out of range.
    """

    def __init__(self, model: ReptileModel, ways: int | None = None, steps: int | None = None):
        self.size, outputs = sizes(model)
        self.ways = outputs if ways is None else ways
        check_ways(self.ways, outputs)
        if steps is not None:
            check_steps(steps)
        start = model._initialization()
        self._adapt, self._logits = functions_of(start, self.size)
        self._theta = values_of(model.network.trainable_variables)
        self._random = random_weights(model.network)
        self._state = start.state
        self._new_state = start.loop.optimizer.init(self._random)
        self.steps = steps or STEPS
        seconds = self._try_out()
        if steps is None and seconds > BUDGET:
            self.steps = max(1, int(STEPS * BUDGET / seconds))

    def adapt(
        self, examples: Sequence[Sequence[np.ndarray]], steps: int | None = None
    ) -> Learned | None:
        """Learns from the drawings of each character.

        Args:
            examples: For each character its images `(size, size, 1)`, float32 in [0, 1].
            steps: Integer, inner steps, at most 200. Defaults to `None`, the task's `steps`.

        Returns:
            A `Learned`, or `None` while fewer than two characters have a drawing.

        Raises:
            ValueError: If `steps` is out of range.
        """
        steps = self.steps if steps is None else steps
        check_steps(steps)
        counts = np.array([len(images) for images in examples])
        if np.count_nonzero(counts) < 2:
            return None
        x = tf.constant(np.stack([image for images in examples for image in images]))
        y = tf.constant(np.repeat(np.arange(len(counts)), counts))
        order = minibatches(len(x), steps)
        start = time.perf_counter()
        weights = self._adapt(x, y, order, self._theta, self._state)
        # Reading a weight waits for the computation.
        weights[0].numpy()
        seconds = time.perf_counter() - start
        from_random = self._adapt(x, y, order, self._random, self._new_state)
        return Learned(weights, from_random, x, counts > 0, steps, seconds)

    def predict(self, learned: Learned, image: np.ndarray) -> np.ndarray:
        """Returns the probabilities `(ways,)` of the characters, inductively.

        They are 0 for characters without a drawing.
        """
        return self._probabilities(learned, learned.weights, image)

    def predict_from_random(self, learned: Learned, image: np.ndarray) -> np.ndarray:
        """Returns the probabilities of the random weights, adapted to the same drawings."""
        return self._probabilities(learned, learned.from_random, image)

    def _probabilities(self, learned: Learned, weights: tuple, image: np.ndarray) -> np.ndarray:
        query = tf.constant(image[np.newaxis])
        logits = self._logits(weights, learned.support_x, query).numpy()[0]
        return softmax(np.where(learned.ways, logits[: len(learned.ways)], -np.inf))

    def _try_out(self) -> float:
        """Traces both functions, and times both adaptations to the most drawings."""
        images = np.random.RandomState(0).rand(self.ways, SHOTS, self.size, self.size, 1)
        examples = [list(each) for each in images.astype(np.float32)]
        # The first adaptation traces the function.
        learned = self.adapt(examples)
        assert learned is not None
        self.predict(learned, examples[0][0])
        return min(self._seconds_of_both(examples) for _ in range(3))

    def _seconds_of_both(self, examples: Sequence[Sequence[np.ndarray]]) -> float:
        start = time.perf_counter()
        learned = self.adapt(examples)
        assert learned is not None
        learned.from_random[0].numpy()
        return time.perf_counter() - start


def random_weights(network: keras.Model, seed: int = 0) -> list[tf.Tensor]:
    """Returns new trainable weights of a network, from its initializers.

    Args:
        network: A built `keras.Model`.
        seed: Integer, decides the random numbers of initializers without a seed.
    """
    # Keras draws the seeds of initializers from Python's generator.
    state = random.getstate()
    random.seed(seed)
    try:
        config = keras.saving.serialize_keras_object(network)
        config.pop("compile_config", None)
        fresh = keras.saving.deserialize_keras_object(config)
    finally:
        random.setstate(state)
    if not fresh.built:
        fresh.build(network.input_shape)
    return values_of(fresh.trainable_variables)


def functions_of(start: Initialization, size: int) -> tuple:
    """Returns the adaptation and inductive prediction of any number of drawings.

    Args:
        start: The `Initialization` of the model.
        size: Integer, the height and width of a drawing.
    """
    images = tf.TensorSpec((None, size, size, 1), tf.float32)
    labels, order = tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None, None), tf.int32)
    network = start.loop.f.network
    theta = [tf.TensorSpec(v.shape, v.dtype) for v in network.trainable_variables]
    factor = drawing_scale(start)
    as_trained = lambda x: x if factor == 1 else x * factor  # noqa: E731
    loop = dataclasses.replace(start.loop, as_taken=as_trained)
    state = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), start.state)

    @tf.function(input_signature=[images, labels, order, theta, state], autograph=False)
    def adapt(x, y, order, start, state):
        task = {"support": (x, y), "order": order, "number": (tf.constant(0), tf.constant(0))}
        return loop.adapt(task, start, state).weights

    @tf.function(input_signature=[tuple(theta), images, images], autograph=False)
    def logits(weights, support_x, query_x):
        return loop.predict(weights, support_x, query_x, transductive=False)

    return adapt, logits


def drawing_scale(start: Initialization) -> float:
    """Returns the factor that gives drawings in [0, 1] the range of the training images."""
    return 255 * (start.byte_scale or 1) if start.trained_on_bytes else 1


def minibatches(images: int, steps: int) -> tf.Tensor:
    """Returns the drawings of each inner step, int32 `(steps, at most 10)`. It is deterministic."""
    return support_order(images, min(images, INNER_BATCH_SIZE), steps, seed=0)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns exp(logits), divided by their sum.

    Example:

    >>> softmax(np.array([0.0, 0.0, -np.inf])).tolist()
    [0.5, 0.5, 0.0]
    """
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def check_steps(steps: int) -> None:
    if not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"`steps` must be in 1 to {MOST_STEPS}. Received: steps={steps}.")


def check_ways(ways: int, outputs: int) -> None:
    if not 2 <= ways <= outputs:
        raise ValueError(
            f"`ways` must be in 2 to {outputs}, the network's outputs. Received: ways={ways}."
        )
