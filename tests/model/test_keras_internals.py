"""What is private of Keras and TensorFlow still does what the package uses it for."""

import inspect
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reptile import keras_internals as internals


def dense(units=2):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])


class Holder(keras.layers.Layer):
    """Keeps a layer as an attribute."""

    def __init__(self):
        super().__init__()
        self.inner = keras.layers.Dropout(0.5)

    def call(self, x):
        return self.inner(x)


def test_schedule_of():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    assert internals.schedule_of(keras.optimizers.SGD(schedule)) is schedule
    assert float(internals.schedule_of(keras.optimizers.Adam(0.5))) == 0.5


def test_has_mask():
    words = keras.Input((3,), dtype="int32")
    assert internals.has_mask(keras.layers.Embedding(5, 2, mask_zero=True)(words))
    assert not internals.has_mask(keras.layers.Embedding(5, 2)(words))


def test_values_in_order():
    model = dense()
    model.compile(loss="mse", metrics=["mae"])
    values = model.test_on_batch(np.ones((4, 3)), np.ones((4, 2)))
    logs = model.test_on_batch(np.ones((4, 3)), np.ones((4, 2)), return_dict=True)
    assert internals.values_in_order(model, logs) == values


def test_of_fit():
    told = []

    class Model(keras.Sequential):
        def evaluate(self, *arguments, **given):
            told.append(given.get(internals.OF_FIT))
            return super().evaluate(*arguments, **given)

    model = Model([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(loss="mse")
    data = np.ones((4, 3)), np.ones((4, 2))
    model.fit(*data, validation_data=data, verbose=0)
    model.evaluate(*data, verbose=0)
    assert told == [True, None]


def test_all_layers():
    nested, holder = dense(), Holder()
    network = keras.Sequential([keras.Input((3,)), nested, holder])
    layers = internals.all_layers(network)
    assert all(any(layer is n for layer in layers) for n in (nested, nested.layers[0], holder))
    assert any(layer is holder.inner for layer in layers)
    assert not any(layer is network for layer in layers)
    assert len({id(layer) for layer in layers}) == len(layers)
    assert internals.all_layers(network, itself=True)[0] is network


def test_call_takes_training():
    assert internals.call_takes_training(keras.layers.Dropout(0.5))
    assert not internals.call_takes_training(keras.layers.Flatten())


def test_calls_of():
    inputs = keras.Input((3,))
    layer = keras.layers.Dense(2)
    outputs = layer(inputs)
    (call,) = internals.calls_of(layer)
    assert call.input_tensors[0] is inputs
    assert call.outputs[0] is outputs
    assert call.arguments.args[0] is inputs


def test_supports_jit():
    network = dense()
    assert internals.supports_jit(network)
    network.layers[0].supports_jit = False
    assert not internals.supports_jit(network)


def test_strategy_of():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        assert internals.strategy_of(dense()) is strategy
    assert internals.strategy_of(dense()) is None


def test_updates_of():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    variable = keras.Variable([1.0])
    for _ in range(4):
        optimizer.apply([tf.constant([1.0])], [variable])
    assert int(internals.updates_of(optimizer)) == 4
    assert int(optimizer.iterations) == 2


def several_optimizers(rate):
    return keras.optimizers.MultiOptimizer(lambda variable: keras.optimizers.SGD(rate))


OF_SEVERAL = [several_optimizers] if hasattr(keras.optimizers, "MultiOptimizer") else []


@pytest.mark.parametrize("kind", [keras.optimizers.SGD, *OF_SEVERAL])
def test_own_copies(kind):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        variable = keras.Variable(np.zeros((), "float32"))
        optimizer = kind(1.0)
        optimizer.build([variable])
    mirrored, found = variable.value, []

    @tf.function(autograph=False)
    def program():
        with internals.own_copies(optimizer, [variable]):
            found.append((tf.distribute.has_strategy(), variable.value))
            optimizer.apply([tf.constant(2.0)], [variable])

    tf.function(lambda: strategy.run(program), autograph=False)()
    ((has_strategy, copy),) = found
    assert not has_strategy
    assert any(copy is each for each in strategy.experimental_local_results(mirrored))
    assert variable.value is mirrored
    assert optimizer.iterations.value is not copy
    assert variable.numpy() == -2.0
    assert optimizer.iterations.numpy() == 1


def test_moments_of():
    variable = keras.Variable([1.0])
    adam = keras.optimizers.Adam(beta_1=0.5, beta_2=0.75)
    adam.apply([tf.constant([2.0])], [variable])
    moments = [float(m[0][0]) for m in internals.moments_of(adam)]
    assert moments == [1.0, 1.0]  # (1 - 0.5) * 2 and (1 - 0.75) * 2^2
    sgd = keras.optimizers.SGD(0.5, momentum=0.9)
    sgd.apply([tf.constant([2.0])], [variable])
    assert [float(m[0][0]) for m in internals.moments_of(sgd)] == [-1.0]


def test_function_of():
    metric = keras.metrics.BinaryAccuracy(threshold=0.25)
    function, options = internals.function_of(metric)
    assert function is keras.metrics.binary_accuracy
    assert options == {"threshold": 0.25}


def test_options_of():
    loss = keras.losses.SparseCategoricalCrossentropy(axis=2)
    assert internals.options_of(loss)["axis"] == 2
    assert internals.options_of(keras.losses.MeanSquaredError()) == {}


def test_equal_values():
    found = internals.equal_values(tf.constant([[1], [2]]), tf.constant([[1], [3]]))
    np.testing.assert_array_equal(np.ravel(found), [1.0, 0.0])


def test_set_direction():
    metric = keras.metrics.MeanMetricWrapper(keras.metrics.mean_squared_error, "own")
    internals.set_direction(metric, "up")
    model = dense()
    model.compile("sgd", "mse", metrics=[metric])
    model.fit(np.zeros((1, 3)), np.zeros((1, 2)), verbose=0)
    callback = keras.callbacks.EarlyStopping("own")
    callback.set_model(model)
    callback._set_monitor_op()
    assert callback.monitor_op(2, 1)


def test_metrics_container():
    metric = keras.metrics.Mean("own")
    held = internals.MetricsContainer("all", [metric])
    assert held.metrics == [metric]
    assert held.variables == metric.variables
    assert isinstance(held, keras.metrics.Metric)


def test_metrics_of_attributes():
    class Counting(keras.Model):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.own = keras.metrics.Mean("own")

    inputs = keras.Input((3,))
    model = Counting(inputs, keras.layers.Dense(2)(inputs))
    model.compile(loss="mse", metrics=["mae"])
    assert internals.metrics_of_attributes(model) == [model.own]


def test_unlock_state():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    with pytest.raises(ValueError, match="cannot add new elements of state"):
        layer.own = keras.metrics.Mean("own")
    internals.unlock_state(layer)
    layer.own = keras.metrics.Mean("own")


def test_unpickled_model():
    network = dense()
    _, arguments = network.__reduce__()
    again = internals.unpickled_model()(*arguments)
    np.testing.assert_array_equal(again.get_weights()[0], network.get_weights()[0])
    assert isinstance(pickle.loads(pickle.dumps(network)), keras.Sequential)


def test_optimization_barrier():
    @tf.function(jit_compile=True, autograph=False)
    def apart(t):
        return internals.optimization_barrier(t) + 1.0

    assert float(apart(tf.constant(1.0))) == 2.0
    assert "opt-barrier" in apart.experimental_get_compiler_ir(tf.constant(1.0))("hlo")


def test_optimization_barriers():
    apart = tf.function(
        lambda *t: internals.optimization_barriers(*t), jit_compile=True, autograph=False
    )
    found = apart(tf.constant(1.0), tf.constant(2, tf.uint8))
    assert [t.numpy() for t in found] == [1.0, 2]


def test_pad_between():
    pad = tf.function(
        lambda x: internals.pad_between(x, [1, 0], [-1, 2], [1, 0]),
        jit_compile=True,
        autograph=False,
    )
    assert pad(tf.constant([[1.0], [2.0]])).numpy().tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_sums_together():
    sums = tf.function(
        lambda *t: internals.sums_together(t, axis=0), jit_compile=True, autograph=False
    )
    a, b = tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([[5.0, 6.0], [7.0, 8.0]])
    assert [t.numpy().tolist() for t in sums(a, b)] == [[4, 6], [12, 14]]
    text = sums.experimental_get_compiler_ir(a, b)(stage="hlo")
    assert text.count(" reduce(") == 1


def test_convolution_by_xla():
    # Two groups: channel 1 of the first by 2, of the second by 3; every second element.
    options = dict(strides=[2], padding=[(0, 0)], dilation=[1], groups=2)
    function = tf.function(
        lambda x, w: internals.convolution_by_xla(x, w, **options),
        jit_compile=True,
        autograph=False,
    )
    x, kernel = tf.constant([[[1.0, 10.0], [0, 0], [2.0, 20.0]]]), tf.constant([[[2.0, 3.0]]])
    assert function(x, kernel).numpy().tolist() == [[[2, 30], [4, 60]]]


def test_call_that_made():
    x, layer = keras.Input((2,)), keras.layers.Dense(3)
    operation, node = internals.call_that_made(layer(x))
    assert operation is layer
    assert node.input_tensors == [x]


def test_methods_that_are_overridden():
    for name in ("_maybe_symbolic_build", "_get_metrics_result_or_logs"):
        assert callable(getattr(keras.Model, name))
    parameters = inspect.signature(keras.Model._maybe_symbolic_build).parameters
    assert {"iterator", "data_batch"} <= set(parameters)


def test_memory_of():
    assert internals.memory_of("CPU") > 0
    assert internals.memory_of("none") is None
