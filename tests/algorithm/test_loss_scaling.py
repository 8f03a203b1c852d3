import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_batches, small_convnet, small_model, train_on_batches

from keras_reptile.algorithm import loss_scaling
from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.inner_optimizers import InnerSGD
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.export.endpoints import Endpoints

# float16 rounds anything below 3e-8 to zero.
TINY = 1e-7


@pytest.fixture
def policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", METHODS)
def test_scaling_by_itself_changes_no_number(name):
    def adapted(adapt):
        loss_fn = lambda weights, minibatch, step: tf.reduce_sum(weights[0] ** 3)  # noqa: E731
        theta, order = [tf.constant([0.5, -0.25])], tf.zeros((3, 1), tf.int32)
        rule = InnerSGD(0.125, momentum=0.5)
        return tf.nest.flatten(adapt(loss_fn, rule, theta, rule.init(theta), order))

    adapt = METHODS[name].adapt
    for plain, scaled in zip(adapted(adapt), adapted(loss_scaling.scaled(adapt)), strict=True):
        np.testing.assert_array_equal(plain, scaled)


def test_steps_in_two_parts_have_the_first_loss_of_all_at_once(policy):
    policy("mixed_float16")
    loop = small_model(small_convnet(), inner_optimizer=keras.optimizers.SGD(0.125))._inner_loop
    loss_fn = lambda weights, minibatch, step: tf.reduce_sum(weights[0] ** 2)  # noqa: E731
    theta, order = (tf.constant([0.5, -0.25]),), tf.zeros((2, 1), tf.int32)
    state = loop.optimizer.init(theta)
    so_far = Adaptation(theta, state, tf.zeros(()))
    for step in range(2):
        so_far = loop.advance(loss_fn, so_far, order, step, step + 1, 0)
    assert float(so_far.first_loss) == 0.3125
    whole = loop.minimize(loss_fn, theta, state, order)
    tf.nest.map_structure(np.testing.assert_array_equal, so_far, whole)


def displacement(loss_weight=1.0, **arguments):
    """Where a meta-step of plain Reptile leads, as one vector."""
    model = small_model(small_convnet(), inner_optimizer=keras.optimizers.SGD(0.1), **arguments)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weighted = lambda y, p: loss_weight * cross_entropy.call(y, p)  # noqa: E731
    model.compile(keras.optimizers.SGD(1 / loss_weight), loss=weighted)
    before = [v.numpy() for v in model.trainable_variables]
    train_on_batches(model, 1)
    assert isinstance(model.optimizer, keras.optimizers.SGD)  # And no LossScaleOptimizer.
    after = [v.numpy() for v in model.trainable_variables]
    return np.concatenate([(a - b).ravel() for a, b in zip(after, before, strict=True)])


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["reptile", "maml"])
@pytest.mark.parametrize("loss_weight", [1.0, TINY], ids=["usual gradients", "tiny gradients"])
def test_float16_leads_where_float32_does(method, loss_weight, policy):
    exact = displacement(loss_weight, method=method)
    policy("mixed_float16")
    half = displacement(loss_weight, method=method)
    assert cosine(exact, half) > 0.99
    assert np.linalg.norm(half) == pytest.approx(np.linalg.norm(exact), rel=0.05)


@pytest.mark.slow
def test_without_scaling_tiny_gradients_would_be_lost(policy, monkeypatch):
    exact = displacement(TINY)
    policy("mixed_float16")
    monkeypatch.setattr(loss_scaling, "computes_in_float16", lambda network: False)
    assert np.linalg.norm(displacement(TINY)) < 0.5 * np.linalg.norm(exact)


def test_only_float16_is_scaled(policy):
    assert not loss_scaling.computes_in_float16(small_convnet())
    for name, expected in (("mixed_bfloat16", False), ("mixed_float16", True)):
        policy(name)
        assert loss_scaling.computes_in_float16(small_convnet()) is expected


class OwnWeights(keras.Model):
    def __init__(self):
        super().__init__()
        self.w = self.add_weight(shape=(2, 3))

    def call(self, x):
        return x @ self.w


def test_a_network_that_computes_in_its_own_call_is_scaled(policy):
    assert not loss_scaling.computes_in_float16(OwnWeights())
    policy("mixed_float16")
    assert loss_scaling.computes_in_float16(OwnWeights())
    layers = keras.Input((2,)), keras.layers.Dense(3, dtype="float32")
    assert not loss_scaling.computes_in_float16(keras.Sequential(layers))


def test_an_exported_learner_scales_its_loss_too(policy):
    policy("mixed_float16")
    model = small_model(small_convnet(), inner_optimizer=keras.optimizers.SGD(1 / TINY))
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    tiny = lambda y, p: TINY * cross_entropy.call(y, p)  # noqa: E731
    model.compile(keras.optimizers.SGD(1.0), loss=tiny)
    x, y = (t[0] for t in small_batches(1)[0]["support"])
    endpoints = Endpoints(model)
    found = endpoints.adapt(x, tf.cast(y, tf.int32), tf.constant(1), tf.constant(1 / TINY))
    before = model.network.trainable_weights
    moved = [np.any(w != v) for w, v in zip(found.values(), before, strict=True)]
    assert all(m for m, v in zip(moved, before, strict=True) if v.name == "kernel")
