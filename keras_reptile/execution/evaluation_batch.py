"""The number of tasks that a GPU or TPU computes at once in an evaluation."""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.execution.plan import Plan
from keras_reptile.keras_internals import memory_of

# More tasks at once hardly make a device faster.
MOST_TASKS = 200
# Bytes of a device whose memory is not known.
USUAL_MEMORY = 8 * 2**30
# The share of a device's memory that the tasks at once may need by the estimate.
MAX_SHARE_OF_MEMORY = 1 / 2
# The share of all operations' values that are in memory at the same time: in an inner step, which
# keeps values for its gradient, and in a prediction. With these shares, the estimates are equal to
# or above the temporary memory of programs that XLA has compiled for an H200.
KEPT_BY_A_STEP, KEPT_BY_A_PREDICTION = 1 / 2, 1 / 4
# A TPU pads the last axis of arrays to 128 elements, also an axis of 32 channels.
PADDING = {"TPU": 4}
# For each task: its weights, their gradient and two moments of the inner optimizer.
PER_WEIGHT = 4


class EvaluationBatch(NamedTuple):
    """The tasks that a device computes at once.

    tasks: Integer, the largest number on each replica.
    bytes_of_task: Integer, the estimate of a task's memory.
    """

    tasks: int
    bytes_of_task: int

    def of_copies(self, copies: int) -> "EvaluationBatch":
        """Returns the batch if each task is computed in so many copies."""
        return EvaluationBatch(max(1, self.tasks // copies), self.bytes_of_task * copies)

    def __str__(self) -> str:
        return (
            f"An evaluation computes up to {self.tasks} tasks as one batch; estimated memory of a "
            f"task: {self.bytes_of_task / 1e6:.2g} MB."
        )


def evaluation_batch(loop: InnerLoop, plan: Plan, spec: dict[str, Any]) -> EvaluationBatch | None:
    """Returns the number of tasks to compute at once, or `None` to keep the meta-batches.

    They are kept on a CPU, where each core has its own task, and if tasks cannot be one batch.

    Args:
        loop: The `InnerLoop`, of a built network.
        plan: The `Plan` of the evaluation.
        spec: The spec of the episodes.
    """
    shapes = [t.shape[1:] for t in tf.nest.flatten(spec)]
    if plan.device == "CPU" or not plan.one_batch or not all(s.is_fully_defined() for s in shapes):
        return None
    needed = PADDING.get(plan.device, 1) * bytes_of_task(loop, spec)
    memory = memory_of(plan.device) or USUAL_MEMORY
    return EvaluationBatch(
        int(min(MOST_TASKS, max(1, MAX_SHARE_OF_MEMORY * memory // needed))), needed
    )


def bytes_of_task(loop: InnerLoop, spec: dict[str, Any]) -> int:
    """Estimates the memory of a task in an evaluation, in bytes.

        max(1/2 * images of a minibatch, 1/4 * images of a prediction) * values of an image
            + 4 * weights + images

    "Values of an image" are those of all operations in the network's forward pass. A prediction
    has one query and the support set, or all queries.
    """
    images = tf.nest.flatten(spec["support"][0])
    support, queries = (spec[part][1].shape[1] for part in ("support", "query"))
    minibatch = max(spec[key].shape[-1] for key in ("order", "tail") if key in spec)
    at_once = KEPT_BY_A_STEP * minibatch, KEPT_BY_A_PREDICTION * max(support + 1, queries)
    weights = sum(_bytes(v) for v in loop.f.network.trainable_variables)
    pixels = sum(_size(t.shape[2:]) * max(4, t.dtype.size) for t in images)
    values = int(max(at_once) * _bytes_of_image(loop, spec))
    return values + PER_WEIGHT * weights + (support + queries) * pixels


def _bytes_of_image(loop, spec) -> int:
    """Returns the bytes of all operations' values in the forward pass of one image."""

    def forward(x):
        call_id = tf.zeros((3,), tf.int32)
        return loop.f.train(loop.f.network.trainable_variables, loop.as_taken(x), call_id)

    # The difference of two images and one: the values also contain the weights.
    one, two = (_bytes_of_graph(forward, spec, images) for images in (1, 2))
    return max(1, two - one)


def _bytes_of_graph(function, spec, images) -> int:
    of_images = lambda t: tf.TensorSpec((images, *t.shape[2:]), t.dtype)  # noqa: E731
    x = tf.nest.map_structure(of_images, spec["support"][0])
    graph = tf.function(function, autograph=False).get_concrete_function(x).graph
    values = [value for operation in graph.get_operations() for value in operation.outputs]
    return sum(_bytes(v) for v in values if v.shape.is_fully_defined() and v.dtype.size)


def _bytes(value) -> int:
    return _size(value.shape) * tf.as_dtype(value.dtype).size


def _size(shape) -> int:
    return math.prod(shape)
