"""Batch normalization by the statistics of the batch at hand, as the paper has it throughout.

A network's own `keras.layers.BatchNormalization` layers do it, in training mode; but they also
update moving averages, which nothing here reads, and normalize in half a dozen passes over the
batch. In the inner loop that is a third of the time. So while a network is called from here, its
layers are switched to one fused operation. Weights and saved files are those of the plain layer.

Beware: TensorFlow's moments, by which the plain layer normalizes, hold the mean fixed in the
variance. The first derivative is right all the same, the second is wrong; both functions here may
be derived as often as one likes.
"""

import contextlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from keras_reptile.kernels.row_sums import sum_of_rows
from keras_reptile.kernels.switching import fuses, switched


def normalizations(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch normalization layers of a network, at any depth, but for frozen ones.

    Keras runs a frozen layer (`trainable = False`) in inference mode whatever it is told.
    """
    layers = network._flatten_layers(include_self=False)
    kind = keras.layers.BatchNormalization
    return [layer for layer in layers if isinstance(layer, kind) and layer.trainable]


@contextlib.contextmanager
def batch_statistics(network: keras.Model) -> Iterator[None]:
    """While this is open, the network normalizes by batch statistics, whatever mode it is in."""
    with switched(normalizations(network), "call", _by_batch):
        yield


def _by_batch(layer) -> Callable:
    plain, own = layer.call, layer.synchronized or not _is_plain(layer)

    def call(inputs, training=None, mask=None):
        if mask is not None or own:
            return plain(inputs, training=True, mask=mask)
        if layer.axis in (-1, inputs.shape.rank - 1):
            inputs = _before_bias(inputs)
        if _fusible(layer, inputs):
            outputs = fused_normalization(inputs, layer.gamma, layer.beta, layer.epsilon)
            outputs._before_normalization = layer, inputs
            return outputs
        return normalization(inputs, layer.gamma, layer.beta, layer.epsilon, layer.axis)

    return call


def _is_plain(layer) -> bool:
    """Whether it computes what Keras's own does."""
    return type(layer) is keras.layers.BatchNormalization and "call" not in vars(layer)


def _before_bias(x: tf.Tensor) -> tf.Tensor:
    """What a bias for each channel was added to, which the mean takes out again: see biases.py."""
    return getattr(x, "_before_bias", x)


def before_normalization(x: tf.Tensor) -> tuple | None:
    """The layer that made `x` by `fused_normalization`, and of what; of other tensors `None`."""
    return getattr(x, "_before_normalization", None)


def _fusible(layer, inputs) -> bool:
    channels_last = layer.axis in (-1, inputs.shape.rank - 1)
    return fuses() and channels_last and inputs.dtype in (tf.float32, tf.bfloat16, tf.float16)


def fused_normalization(x: tf.Tensor, gamma, beta, epsilon: float) -> tf.Tensor:
    """`normalization` over the last axis in one operation.

    Args:
        x: Tensor `(..., channels)`, float32, bfloat16 or float16.
        gamma, beta, epsilon: See `normalization`.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    channels = x.shape[-1]
    flat = x if x.shape.rank == 4 else tf.reshape(x, (-1, 1, 1, channels))
    scale, offset = scale_and_offset(gamma, beta, channels, tf.float32)
    y, *_ = tf.raw_ops.FusedBatchNormV3(
        x=flat,
        scale=scale,
        offset=offset,
        mean=tf.zeros((0,)),
        variance=tf.zeros((0,)),
        epsilon=epsilon,
        is_training=True,
    )
    return y if x.shape.rank == 4 else tf.reshape(y, tf.shape(x))


def normalization(x: tf.Tensor, gamma, beta, epsilon: float, axis: int = -1) -> tf.Tensor:
    """Normalizes each channel by its mean and variance over all other axes.

        y = gamma * (x - mean(x)) / sqrt(var(x) + epsilon) + beta

    Args:
        x: Tensor of any floating dtype, with the channels along `axis`.
        gamma, beta: Tensors `(channels,)`, or `None` for 1 and 0.
        epsilon: Float.
        axis: Integer. Defaults to `-1`, the last.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    precise = tf.float64 if x.dtype == tf.float64 else tf.float32
    last = tf.experimental.numpy.moveaxis(x, axis, -1)
    channels = last.shape[-1]
    gamma, beta = scale_and_offset(gamma, beta, channels, precise)
    # With two axes only, XLA computes it much faster on a CPU.
    y = standardized(tf.reshape(tf.cast(last, precise), (-1, channels)), gamma, beta, epsilon)
    y = tf.cast(tf.reshape(y, tf.shape(last)), x.dtype)
    return tf.experimental.numpy.moveaxis(y, -1, axis)


def scale_and_offset(gamma, beta, channels: int, dtype: tf.DType) -> tuple:
    """`gamma` and `beta`; 1 and 0 for a layer without them."""
    return (
        tf.ones((channels,), dtype) if gamma is None else tf.cast(gamma, dtype),
        tf.zeros((channels,), dtype) if beta is None else tf.cast(beta, dtype),
    )


def standardized(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Deviations from the mean in units of the standard deviation, both over the first axis.

        y = gamma z + beta,   z = r (x - mean(x)),   r = 1 / sqrt(var(x) + epsilon)
        dbeta = sum(dy),   dgamma = sum(z dy)
        dx = gamma r (dy - dbeta / n - z dgamma / n)

    The gradients are written out: derived step by step, they would pass over the batch's n rows
    several times as often, each for means of its own.
    """

    @tf.custom_gradient
    def function(x, gamma, beta):
        n, mean, r = statistics(x, epsilon)
        z = r * (x - mean)

        def gradient(dy):
            dgamma, dbeta = sum_of_rows(tf.multiply, z, dy), sum_of_rows(tf.identity, dy)
            return gamma * r * (dy - dbeta / n - z * (dgamma / n)), dgamma, dbeta

        return gamma * z + beta, gradient

    return function(x, gamma, beta)


def statistics(x: tf.Tensor, epsilon: float) -> tuple:
    """The number of rows, their mean, and r = 1 / sqrt(var(x) + epsilon)."""
    n = tf.cast(tf.shape(x)[0], x.dtype)
    mean = sum_of_rows(tf.identity, x) / n
    return n, mean, tf.math.rsqrt(sum_of_rows(lambda x: tf.square(x - mean), x) / n + epsilon)
