"""All private names of Keras and TensorFlow that this package uses, with one function for each.

Each docstring says why there is no public name. tests/model/test_keras_internals.py has a test of
each function, which fails if a new version of Keras or TensorFlow moves the private name.
`DistributedModel` also overrides two private methods of Keras's trainer.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.metrics.accuracy_metrics import accuracy
from keras.src.trainers.compile_utils import CompileMetrics
from keras.src.trainers.trainer import model_supports_jit
from tensorflow.python import pywrap_tfe
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.distribute import distribute_lib
from tensorflow.python.eager import context

# The function behind `metrics=["accuracy"]` for targets shaped like the outputs.
equal_values = accuracy


def all_layers(network: Any, *, itself: bool = False) -> list:
    """Returns the layers of a network at all depths, each once.

    `network.layers` contains only those of the first level. It contains no layers that are
    attributes of a subclassed layer.

    Args:
        network: A `keras.Model` or layer.
        itself: Boolean, whether to include the network. Defaults to `False`.
    """
    return list(network._flatten_layers(include_self=itself))


def call_takes_training(network: Any) -> bool:
    """Returns whether Keras passes `training` to the network's `call`.

    This depends on more than the signature, for instance on nested models.
    """
    return bool(network._call_has_training_arg)


def calls_of(operation: Any) -> list:
    """Returns an operation's nodes, which are its calls in the graphs of functional models.

    Each node has `input_tensors`, `outputs` and `arguments`. Keras has no public graph.
    """
    return list(operation._inbound_nodes)


def supports_jit(model: keras.Model) -> bool:
    """Returns whether all layers allow XLA. Keras checks this for `jit_compile="auto"` only."""
    return bool(model_supports_jit(model))


def strategy_of(model: keras.Model) -> Any:
    """Returns the strategy in whose scope a model was made, or `None`.

    `model.distribute_strategy` returns the current strategy in place of `None`.
    """
    return model._distribute_strategy


def updates_of(optimizer: Any) -> Any:
    """Returns the variable in which an optimizer counts its calls.

    `iterations` counts its steps, which are fewer if it accumulates gradients.
    """
    return optimizer._iterations


def parts_of(optimizer: Any) -> list:
    """Returns an optimizer, and those to which it delegates if it is a `MultiOptimizer`."""
    return [optimizer, *getattr(optimizer, "optimizers", ())]


@contextlib.contextmanager
def own_copies(optimizer: Any, variables: Sequence) -> Iterator[None]:
    """Returns a context in which an optimizer updates the copies of the current replica only.

    Keras passes its updates to the strategy, which makes them outside of the replicas' functions.
    In this context there is no strategy, and each variable is the replica's copy.

    Args:
        optimizer: A built Keras optimizer.
        variables: Sequence of `keras.Variable`, those that it updates.
    """
    before = [(v, v._value) for v in (*variables, *optimizer.variables)]
    parts = parts_of(optimizer)
    strategies = [part._distribution_strategy for part in parts]
    copies = [_own_copy(value) for _, value in before]
    distribute_lib._push_per_thread_mode(distribute_lib._get_default_replica_mode())
    try:
        for (variable, _), copy in zip(before, copies, strict=True):
            variable._value = copy
        for part in parts:
            part._distribution_strategy = tf.distribute.get_strategy()
        yield
    finally:
        for part, strategy in zip(parts, strategies, strict=True):
            part._distribution_strategy = strategy
        for variable, value in before:
            variable._value = value
        distribute_lib._pop_per_thread_mode()


def _own_copy(variable: tf.Variable) -> tf.Variable:
    """Returns a variable's copy on the current replica."""
    is_mirrored = isinstance(variable, tf.distribute.DistributedValues)
    return variable._get_on_device_or_primary() if is_mirrored else variable


def moments_of(optimizer: Any) -> tuple[list, ...]:
    """Returns the moments of a built `SGD` or `Adam`: a list of variables for each kind."""
    if isinstance(optimizer, keras.optimizers.Adam):
        return optimizer._momentums, optimizer._velocities
    return (optimizer.momentums,)


def schedule_of(optimizer: Any) -> Any:
    """Returns an optimizer's learning rate as it was given: a number or a schedule.

    The public `learning_rate` of a schedule is its value at the present step.
    """
    return optimizer._learning_rate


def has_mask(outputs: Any) -> bool:
    """Returns whether a layer passes a mask on with its outputs."""
    return getattr(outputs, "_keras_mask", None) is not None


# The argument with which `fit` tells `evaluate` that Keras has distributed its dataset.
OF_FIT = "_use_cached_eval_dataset"


def values_in_order(model: keras.Model, logs: dict[str, Any]) -> Any:
    """Returns logs as `test_on_batch` returns them without names: a list, or the only value."""
    return model._flatten_metrics_in_order(logs)


def function_of(metric: keras.metrics.Metric) -> tuple[Callable, dict[str, Any]]:
    """Returns the function of a `MeanMetricWrapper`, and its keyword arguments."""
    return metric._fn, metric._fn_kwargs


def options_of(loss: Any) -> dict[str, Any]:
    """Returns the keyword arguments with which a Keras loss calls its function.

    A `SparseCategoricalCrossentropy` has its `axis` nowhere else.
    """
    return getattr(loss, "_fn_kwargs", {})


def set_direction(metric: keras.metrics.Metric, direction: str) -> None:
    """Sets whether larger values of a metric are better, `"up"`, or smaller ones, `"down"`.

    Without a direction, callbacks such as `EarlyStopping` need the argument `mode`.
    """
    metric._direction = direction


class MetricsContainer(CompileMetrics):
    """Metrics in a container of the class in which Keras's callbacks look up their directions.

    Args:
        name: String.
        metrics: List of `keras.metrics.Metric`.
    """

    def __init__(self, name: str, metrics: list):
        keras.metrics.Metric.__init__(self, name=name)
        self._held = metrics
        self.built = True

    @property
    def metrics(self) -> list:
        return self._held

    @property
    def variables(self) -> list:
        return [variable for metric in self._held for variable in metric.variables]


def metrics_of_attributes(model: keras.Model) -> list:
    """Returns the metrics that are attributes of a model.

    `keras.Model.metrics` also contains those that `compile` makes, and those of layers.
    """
    return list(model._metrics)


def unlock_state(layer: keras.layers.Layer) -> None:
    """Allows a built layer to get more variables, metrics and layers.

    `build` locks the state, and Keras has no public way to open it again.
    """
    layer._tracker.unlock()


def unpickled_model() -> Callable:
    """Returns the function that loads a pickled Keras model."""
    return keras.Model._unpickle_model


def call_that_made(tensor: keras.KerasTensor) -> tuple:
    """Returns the operation that made a symbolic tensor, and the node of that call.

    Keras has no public graph.
    """
    operation, node, _ = tensor._keras_history
    return operation, calls_of(operation)[node]


def optimization_barrier(t: Any) -> Any:
    """Returns the same tensor. XLA does not fuse its computation with later operations.

    TensorFlow's module of XLA's operations has no public name.
    """
    return optimization_barriers(t)[0]


def optimization_barriers(*tensors: Any) -> tuple:
    """Returns the same tensors. XLA computes all of them before any operation that uses one."""
    return tuple(_xla().optimization_barrier(*tensors))


def pad_between(x: Any, before: Sequence, after: Sequence, between: Sequence) -> Any:
    """Returns a tensor with zeros before, after and between its elements.

    `tf.pad` adds no zeros between elements, and takes no negative numbers, which remove elements.

    Args:
        x: Tensor.
        before, after, between: Sequences of integers, one for each axis.
    """
    return _xla().pad(x, tf.zeros((), x.dtype), before, after, between)


def sums_together(tensors: Sequence, axis: int) -> list:
    """Returns the sums of tensors of one shape and dtype along an axis, by one operation of XLA.

    TensorFlow has no such operation for several tensors.
    """
    zero = tf.zeros((), tensors[0].dtype)
    add = _pairwise_sum(len(tensors), zero.dtype)
    return list(_xla().variadic_reduce(tuple(tensors), (zero,) * len(tensors), [axis], add))


@functools.cache
def _pairwise_sum(number: int, dtype: tf.DType) -> Callable:
    """Returns a function that adds pairs of scalars: all left ones, then all right ones."""

    def add(*scalars):
        return tuple(map(tf.add, scalars[:number], scalars[number:]))

    scalars = [tf.TensorSpec((), dtype)] * (2 * number)
    with tf.init_scope():
        return tf.function(add, autograph=False).get_concrete_function(*scalars)


def convolution_by_xla(
    x: Any,
    kernel: Any,
    *,
    strides: Sequence,
    padding: Sequence,
    dilation: Sequence,
    between: Sequence | None = None,
    groups: int = 1,
    sum_over_batch: bool = False,
) -> Any:
    """Returns a convolution in XLA's general form, channels last.

    `tf.nn.convolution` takes no explicit padding, no dilation of `x`, and no groups of the batch.

    Args:
        x: Tensor `(batch, *spatial, channels)`.
        kernel: Tensor `(*sizes, channels of a group, filters)`.
        strides, dilation: Sequences of integers, one for each spatial axis.
        padding: Sequence of pairs of integers, elements before and after each spatial axis.
        between: Sequence of integers, the dilation of `x` on each spatial axis. Defaults to
            `None`, 1.
        groups: Integer, groups of channels, and of filters. Defaults to `1`.
        sum_over_batch: Boolean. If true, the sum is over the batch instead of the channels: the
            kernel is `(batch, *sizes, filters)`, and the result `(*outputs, channels of a group,
            filters)`. Defaults to `False`.
    """
    # Imported here: only compiled functions need it.
    from tensorflow.compiler.xla import xla_data_pb2

    last = x.shape.rank - 1
    numbers = xla_data_pb2.ConvolutionDimensionNumbers(
        input_batch_dimension=last if sum_over_batch else 0,
        input_feature_dimension=0 if sum_over_batch else last,
        input_spatial_dimensions=range(1, last),
        kernel_input_feature_dimension=0 if sum_over_batch else last - 1,
        kernel_output_feature_dimension=last,
        kernel_spatial_dimensions=range(1, last) if sum_over_batch else range(last - 1),
        output_batch_dimension=last - 1 if sum_over_batch else 0,
        output_feature_dimension=last,
        output_spatial_dimensions=range(last - 1) if sum_over_batch else range(1, last),
    )
    between = between or [1] * (last - 1)
    y = _xla().conv(
        x,
        kernel,
        strides,
        [list(pair) for pair in padding],
        between,
        dilation,
        numbers,
        feature_group_count=1 if sum_over_batch else groups,
        batch_group_count=groups if sum_over_batch else 1,
        use_v2=True,
    )
    # TensorFlow does not infer this shape.
    sizes = kernel.shape[1:last] if sum_over_batch else kernel.shape[: last - 1]
    along = zip(x.shape[1:last], sizes, strides, padding, between, dilation, strict=True)
    outputs = [
        ((n - 1) * b + 1 + sum(ends) - (size - 1) * d - 1) // s + 1
        for n, size, s, ends, b, d in along
    ]
    batch = [] if sum_over_batch else [x.shape[0]]
    inputs = [x.shape[last] // groups] if sum_over_batch else []
    y.set_shape([*batch, *outputs, *inputs, kernel.shape[last]])
    return y


def _xla() -> Any:
    # Imported here: only compiled functions need it.
    from tensorflow.compiler.tf2xla.python import xla

    return xla


def memory_of(kind: str) -> int | None:
    """Returns the memory of the smallest device of a kind in bytes, or `None` without a device.

    `tf.config` returns only the memory that is in use.

    Args:
        kind: String, `"CPU"`, `"GPU"` or `"TPU"`.
    """
    context.ensure_initialized()
    devices = pywrap_tfe.TFE_ContextListDevices(context.context()._handle)
    try:
        found = [
            pywrap_tf_session.TF_DeviceListMemoryBytes(devices, i)
            for i in range(pywrap_tf_session.TF_DeviceListCount(devices))
            if pywrap_tf_session.TF_DeviceListType(devices, i) == kind
        ]
    finally:
        pywrap_tf_session.TF_DeleteDeviceList(devices)
    # Remote devices of a cluster may report nothing.
    return min(filter(None, found), default=None)
