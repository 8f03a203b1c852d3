"""A recipe's meta-update on a smooth network, against gradients worked out by hand."""

import keras
import numpy as np
import tensorflow as tf

import keras_reptile as kr
from keras_reptile import networks
from keras_reptile.recipes import building


def points_pool():
    """Eight classes of twenty points each, in float64."""
    points = np.random.RandomState(0).normal(size=(160, 3))
    return kr.ClassPool.from_arrays(points, np.arange(160) % 8)


def use_smooth_network(monkeypatch):
    """Puts a tanh network without batch normalization in the place of the recipes' network."""

    def build(ways, image_shape, seed):
        layers = [keras.layers.Dense(4, "tanh"), keras.layers.Dense(ways)]
        return keras.Sequential([keras.Input(image_shape), *layers])

    monkeypatch.setattr(networks, "omniglot_convnet", build)


def gradients_by_hand(network, theta, x, y, minibatches, rate):
    """g_j, the gradient of minibatch j's mean loss at W_{j-1}, for W_j = W_{j-1} - rate * g_j."""
    w, found = list(theta), []
    for rows in minibatches:
        network.set_weights([t.numpy() for t in w])
        with tf.GradientTape() as tape:
            losses = keras.losses.sparse_categorical_crossentropy(
                tf.gather(y, rows), network(tf.gather(x, rows)), from_logits=True
            )
            loss = tf.reduce_mean(losses)
        found.append(tape.gradient(loss, network.trainable_variables))
        w = [t - rate * g for t, g in zip(w, found[-1], strict=True)]
    return found


def assert_update_is(recipe, coefficients):
    """That a meta-iteration leads to theta - 0.25 * 0.075 * (sum of coefficient * g_j)."""
    pool = points_pool()
    model = building.build_model(recipe, pool.image_shape)
    episodes = building.training_episodes(recipe, pool)
    episode = next(iter(episodes))
    theta = [tf.convert_to_tensor(v.numpy()) for v in model.network.trainable_variables]
    model.fit(episodes, steps_per_epoch=1, verbose=0)
    moved = [v.numpy() for v in model.network.trainable_variables]
    minibatches = [*episode["order"][0], *episode.get("tail", [])]
    x, y = (t[0] for t in episode["support"])
    g = gradients_by_hand(model.network, theta, x, y, minibatches, rate=0.075)
    assert len(g) == len(coefficients)
    for i, (start, end) in enumerate(zip(theta, moved, strict=True)):
        total = sum(c * g_j[i] for c, g_j in zip(coefficients, g, strict=True))
        # Keras computes schedules in float32, which a third of 0.25 is not exact in.
        np.testing.assert_allclose(end, start - 0.25 * 0.075 * total, rtol=0, atol=1e-9)
        assert np.abs(total).max() > 1e-3
