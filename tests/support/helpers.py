"""Small tasks with known answers."""

import contextlib
import functools

import keras
import numpy as np
import tensorflow as tf

import keras_reptile as kr
from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.runs import draw_on_device, finishing
from keras_reptile.runs.callbacks import StopOnDivergence
from keras_reptile.runs.run_directory import RunDirectory

# Flags of `bin/train` for a run of seconds.
SMALL_RUN = (
    "--checkpoint_every=2",
    "--meta_batch_size=2",
    "--inner_steps=2",
    "--eval_inner_steps=2",
    "--validation_tasks=2",
)
# The same for a run whose operations are made one by one.
EAGER_RUN = (*SMALL_RUN, "--meta_batch_size=1", "--inner_steps=1", "--eval_inner_steps=1")


@contextlib.contextmanager
def in_float64():
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy)


def episode(x, y, order, query_x=None, query_y=None):
    """An episode from arrays with the tasks along the first axis."""
    query = (x, y) if query_x is None else (query_x, query_y)
    arrays = {"support": (x, y), "order": np.asarray(order, np.int32), "query": query}
    return tf.nest.map_structure(tf.convert_to_tensor, arrays)


def scalar_episode(targets, steps=1, batch=1):
    """Tasks whose loss is (w - target)^2 for the one weight of `scalar_model`."""
    targets = np.asarray(targets, keras.config.floatx())
    shape = (len(targets), batch, 1)
    x, y = np.ones(shape, targets.dtype), np.broadcast_to(targets[:, None, None], shape)
    order = np.broadcast_to(np.arange(batch), (len(targets), steps, batch))
    return episode(x, y, order)


def scalar_model(inner_optimizer, outer_optimizer, start=0.0, **arguments):
    """A model with the one weight w and the output w for the input 1."""
    kernel = keras.initializers.Constant(start)
    network = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer=kernel)]
    )
    model = kr.ReptileModel(network, inner_optimizer, **arguments)
    model.compile(outer_optimizer, loss="mean_squared_error")
    return model


def weight(model):
    return float(np.ravel(model.network.get_weights()[0])[0])


@functools.cache
def image_pool(classes=12, images=12, size=8, seed=0):
    """Classes that a small network tells apart: each has its own bright spots, and noise."""
    rs = np.random.RandomState(seed)
    prototypes = rs.rand(classes, 1, size, size, 1) > 0.7
    pixels = prototypes * 160 + rs.randint(0, 90, (classes, images, size, size, 1))
    labels = np.repeat(np.arange(classes), images)
    return kr.ClassPool.from_arrays(pixels.reshape(-1, size, size, 1).astype(np.uint8), labels)


def small_convnet(ways=3, seed=0, extra=()):
    kernels = kr.networks.glorot_uniform(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, strides=2, kernel_initializer=next(kernels)),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            *extra,
            keras.layers.Dense(ways, kernel_initializer=next(kernels)),
        ]
    )


def small_dense(extra=(), seed=0):
    """A network without convolutions, which XLA compiles in half the time."""
    kernels = kr.networks.glorot_uniform(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            # A bias here would have no gradient but rounding, which Adam makes steps of.
            keras.layers.Dense(5, use_bias=False, kernel_initializer=next(kernels)),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            *extra,
            keras.layers.Dense(3, kernel_initializer=next(kernels)),
        ]
    )


def small_linear(extra=()):
    """A network of one layer, for tests of the steps and not of the network."""
    kernels = kr.networks.glorot_uniform(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            *extra,
            keras.layers.Dense(3, kernel_initializer=next(kernels)),
        ]
    )


def one_layer(recipe, image_shape):
    """In place of `building.build_network`, the network that is traced fastest."""
    kernel = next(kr.networks.glorot_uniform(recipe.seed))
    head = keras.layers.Dense(recipe.ways_in_training, kernel_initializer=kernel)
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), head])


def one_block(recipe, image_shape):
    """In place of `building.build_network`, a network that is traced in half the time."""
    return one_block_network(recipe.ways_in_training, image_shape, recipe.seed)


def one_block_network(ways, image_shape=(28, 28, 1), seed=0):
    """The same, also for pages and as `--network=helpers:one_block_network` in warm processes."""
    kernels = kr.networks.glorot_uniform(seed)
    return keras.Sequential(
        [
            keras.Input(image_shape),
            keras.layers.Conv2D(8, 3, strides=4, kernel_initializer=next(kernels)),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(ways, kernel_initializer=next(kernels)),
        ]
    )


def small_episodes(**arguments):
    chosen = dict(ways=3, shots=4, inner_batch_size=6, inner_steps=3, meta_batch_size=2, scale=True)
    return kr.episode_dataset(image_pool(), **{**chosen, **arguments})


def small_batches(number, **arguments):
    """The first meta-batches of `small_episodes`."""
    return _drawn(number, keras.config.floatx(), **arguments)


@functools.cache
def _drawn(number, floatx, **arguments):
    assert keras.config.floatx() == floatx
    return list(small_episodes(**arguments).take(number))


def train_on_batches(model, number, **arguments):
    """The model after `fit` on as many of `small_episodes`, without a pipeline to trace."""
    for meta_batch in small_batches(number, **arguments):
        model.train_on_batch(meta_batch)
    return model


def of_examples(change):
    """A function of episodes that changes inputs and targets, of support and queries alike."""
    return lambda tasks: {**tasks, **{k: change(*tasks[k]) for k in ("support", "query")}}


def small_model(network=None, **arguments):
    inner_optimizer = keras.optimizers.Adam(0.01, beta_1=0.0)
    arguments = {"inner_optimizer": inner_optimizer, **arguments}
    model = kr.ReptileModel(network or small_convnet(), **arguments)
    model.compile(keras.optimizers.SGD(0.5))
    return model


def differences(a, b):
    """The largest difference between two models' weights, inner state included."""
    pairs = zip(a.weights, b.weights, strict=True)
    return max(np.abs(v.numpy() - w.numpy()).max() for v, w in pairs)


def final_state(path):
    """All variables of a run's newest checkpoint."""
    model = load_checkpoint(RunDirectory(path).saved()[-1])
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


def assert_same_end(path, other):
    for a, b in zip(final_state(path), final_state(other), strict=True):
        np.testing.assert_array_equal(a, b)


def draw_no_pictures(patch):
    """Runs end without pictures, which take a third of a short run's time."""
    patch.setattr(finishing, "_draw", lambda *_: None)


def at(patch, event, iteration, do, nth=None, together=1):
    """Does something at an event of runs after a meta-iteration: at each, or at the n-th.

    `together` is the number of meta-iterations in one program, where the device draws the tasks.
    """
    plain, seen = getattr(StopOnDivergence, event), []

    def with_event(self, number, logs=None):
        plain(self, number, logs)
        if self.model.meta_iteration == iteration:
            seen.append(number)
            if nth in (None, len(seen)):
                do(self.model)

    patch.setattr(draw_on_device, "together", lambda _: together)
    patch.setattr(StopOnDivergence, event, with_event)


def stop_at(patch, iteration, action, together=1):
    """Does something right after a meta-iteration, before its epoch's end. See `at`."""
    at(patch, "on_train_batch_end", iteration, action, together=together)


def turned_by_numpy(images, orientation):
    """The images `(..., side, side, channels)` in an orientation, see `turned`."""
    mirrored = images[..., ::-1, :] if orientation >= 4 else images
    rows = images.ndim - 3
    return np.ascontiguousarray(np.rot90(mirrored, orientation % 4, axes=(rows, rows + 1)))
