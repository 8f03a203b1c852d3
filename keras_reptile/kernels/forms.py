"""The forms of layers for each kind of device, which `switching.fast_forms` applies."""

from keras_reptile.kernels.batch_normalization import FUSED_STATISTICS, PLAIN_STATISTICS
from keras_reptile.kernels.convolution_biases import PLAIN_BIASES, SUMMED_BIASES
from keras_reptile.kernels.interpolation import INTERPOLATIONS
from keras_reptile.kernels.normalized_pooling import FAST_POOLINGS
from keras_reptile.kernels.patch_convolution import IN_ONE_DIMENSION, PATCHES, PATCHES_BY_XLA
from keras_reptile.kernels.shape_keeping_pooling import SHAPE_KEEPING_POOLINGS
from keras_reptile.kernels.switching import Form

Forms = tuple[Form, ...]

# Operations of TensorFlow on any device, without XLA.
ANYWHERE: Forms = (SUMMED_BIASES, FUSED_STATISTICS)
ON_A_CPU: Forms = (FAST_POOLINGS, SUMMED_BIASES, FUSED_STATISTICS)
ON_AN_ACCELERATOR: Forms = (PLAIN_BIASES, FUSED_STATISTICS)
# All tasks as one batch: operations that `tf.vectorized_map` supports.
AS_ONE_BATCH: Forms = (PATCHES, IN_ONE_DIMENSION, PLAIN_BIASES, PLAIN_STATISTICS)
# One task on one core of a CPU, compiled by XLA.
BY_XLA_ON_A_CPU: Forms = (PATCHES_BY_XLA, IN_ONE_DIMENSION, PLAIN_BIASES, PLAIN_STATISTICS)
# Added to one of the others.
TWICE_DIFFERENTIABLE: Forms = (SHAPE_KEEPING_POOLINGS, INTERPOLATIONS)
