"""What plain Keras does under a strategy: the reasons for the workarounds in `distribution`."""

import keras
import numpy as np
import tensorflow as tf

from keras_reptile.distribution.steps import first_replica


class PastTheBuild(keras.Sequential):
    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass


def outcomes(arrangement, strategy) -> dict:
    """What became of each thing tried, as a string: "works", or the error."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    if arrangement == "mirrored":
        return {
            "moved by a gradient of 1 from each replica": str(moved(strategy)),
            "moved, clipped to 1": str(moved(strategy, clipvalue=1.0, gradient=3.0)),
            "steps_per_execution=2": fitted(strategy, steps_per_execution=2),
        }
    if arrangement == "workers":
        return {"fit": fitted(strategy), "fit, past the build": fitted(strategy, PastTheBuild)}
    return {}


def moved(strategy, gradient=1.0, **arguments) -> float:
    with strategy.scope():
        variable = keras.Variable(np.zeros((), "float32"))
        optimizer = keras.optimizers.SGD(1.0, **arguments)
        optimizer.build([variable])
    apply = lambda: optimizer.apply([tf.constant(gradient)], [variable])  # noqa: E731
    tf.function(lambda: strategy.run(apply), autograph=False)()
    return float(first_replica(strategy, variable.value))


def fitted(strategy, kind=keras.Sequential, **arguments) -> str:
    with strategy.scope():
        model = kind([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", **arguments)
    x = np.ones((4, 2), "float32")
    data = tf.data.Dataset.from_tensor_slices((x, x[:, :1])).repeat().batch(4, drop_remainder=True)
    try:
        model.fit(data, steps_per_epoch=2, verbose=0)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "works"
