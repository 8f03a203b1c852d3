"""An inner loop that moves some layers: the equations, by hand and by plain Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import episode, small_batches, small_model

import keras_reptile as kr

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
# Exact in float32, in which Keras makes constants.
RATE, P, Q = 0.125, 0.75, -0.5
# Tasks (t_1, ..., t_k), one target for each inner step: L_j = (p q - t_j)^2.
TARGETS = np.array([[1.0, 0.5, -0.3], [-1.0, 0.2, 0.8]])


def product_model(moved="q", **arguments):
    """A model with the output p q x: p is the first layer's weight, q the second's."""
    layers = [
        keras.layers.Dense(
            1, use_bias=False, kernel_initializer=keras.initializers.Constant(value), name=name
        )
        for name, value in (("p", P), ("q", Q))
    ]
    jit = arguments.pop("jit_compile", "auto")
    eagerly = arguments.pop("run_eagerly", False)
    optimizer = arguments.pop("inner_optimizer", SGD(RATE))
    network = keras.Sequential([keras.Input((1,)), *layers])
    model = kr.ReptileModel(network, optimizer, inner_trainable=[moved], **arguments)
    loss = "mean_squared_error"
    model.compile(SGD(1.0), loss=loss, jit_compile=jit, run_eagerly=eagerly)
    return model


def product_tasks():
    tasks, steps = TARGETS.shape
    x = np.ones((tasks, steps, 1), keras.config.floatx())
    order = np.broadcast_to(np.arange(steps)[:, None], (tasks, steps, 1))
    return episode(x, TARGETS[..., None].astype(x.dtype), order, x[:, :1], x[:, :1])


def by_hand(targets, decay=1.0):
    """The gradients of (p, q) for one task by each method, and q_k, worked out."""
    p, p_j, q_j = P, P, Q
    dq_dp, dq_dq = 0.0, 1.0  # The derivatives of q_j.
    for t in targets:
        before = p_j, q_j
        of_p, of_q, q_j = dq_dp, dq_dq, decay * q_j
        error = p * q_j - t
        # dL/dq = 2 p (p q - t); its derivatives by p and by q.
        by_p, by_q = 2 * (2 * p * q_j - t), 2 * p * p
        maml = 2 * error * (q_j + p * decay * of_p), 2 * error * p * decay * of_q
        p_j, q_j = decay * p_j - RATE * 2 * error * q_j, q_j - RATE * 2 * error * p
        dq_dp = decay * of_p - RATE * (by_p + by_q * decay * of_p)
        dq_dq = decay * of_q * (1 - RATE * by_q)
    return {
        "reptile": (P - p_j, Q - q_j),
        "fomaml": (before[0] - p_j, before[1] - q_j),
        "maml": maml,
    }, q_j


WAYS = {
    "in a graph": {},
    "eagerly": dict(run_eagerly=True),
    "vectorized": dict(task_parallelism="vectorized"),
    "each task compiled": dict(jit_compile=True),
    "in series, reset": dict(task_order="serial", inner_state="reset"),
}


@pytest.mark.parametrize(
    ("method", "way", "decay"),
    [
        ("reptile", "eagerly", 0.9),
        ("fomaml", "eagerly", 1.0),
        ("maml", "eagerly", 1.0),
        pytest.param("reptile", "in a graph", 1.0, marks=pytest.mark.slow),
        pytest.param("reptile", "vectorized", 0.9, marks=pytest.mark.slow),
        pytest.param("reptile", "each task compiled", 1.0, marks=pytest.mark.slow),
        pytest.param("reptile", "in series, reset", 1.0, marks=pytest.mark.slow),
        pytest.param("fomaml", "each task compiled", 0.9, marks=pytest.mark.slow),
        pytest.param("maml", "in a graph", 0.9, marks=pytest.mark.slow),
    ],
)
def test_outer_gradients_are_those_worked_out(method, way, decay, float64):
    model = product_model(method=method, inner_weight_decay_rate=decay, **WAYS[way])
    logs = model.train_on_batch(product_tasks(), return_dict=True)
    alone = [by_hand(targets, decay) for targets in TARGETS]
    gradient = np.mean([found[method] for found, _ in alone], axis=0)
    weights = np.ravel(model.network.get_weights())
    np.testing.assert_allclose(weights, np.array([P, Q]) - gradient, rtol=1e-12)
    # Queries are predicted with p where it is: their target is 1.
    after = np.mean([(P * q - 1) ** 2 for _, q in alone])
    assert logs["loss_after"] == pytest.approx(after, rel=1e-6)
    predictions = model.adapt_and_predict(product_tasks())[1]
    p, q = weights
    for task, targets in zip(predictions, TARGETS, strict=True):
        q_k = q
        for t in targets:
            q_k = decay * q_k - RATE * 2 * (p * decay * q_k - t) * p
        assert float(task[0, 0]) == pytest.approx(p * q_k, rel=1e-9)


@pytest.mark.slow
def test_layers_of_which_all_move_are_those_of_the_paper(float64):
    weights = []
    for moved in (["p", "q"], "all"):
        model = product_model("q")
        model.inner_trainable = moved
        model.train_on_batch(product_tasks())
        weights.append(model.network.get_weights())
    np.testing.assert_array_equal(*weights)


INNER = {
    "momentum": lambda: SGD(0.05, 0.9, nesterov=True),
    "Adam": lambda: ADAM(0.01, beta_1=0.5),
    "clipped": lambda: SGD(0.5, global_clipnorm=0.02),
}


def by_plain_keras(network, tasks, make, moved):
    """Each task's (phi_k, psi_k): two plain Keras optimizers, one for phi_j and one for psi_j."""
    theta = [v.numpy() for v in network.trainable_variables]
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = []
    for i in range(len(tasks["order"])):
        for v, value in zip(network.trainable_variables, theta, strict=True):
            v.assign(value)
        psi = [network.trainable_variables[j] for j in moved]
        others = [j for j in range(len(theta)) if j not in moved]
        phi = [keras.Variable(theta[j]) for j in others]
        of_psi, of_phi = make(), make()
        for minibatch in tasks["order"][i].numpy():
            x, y = (t[i].numpy()[minibatch] for t in tasks["support"])
            with tf.GradientTape() as tape:
                loss = loss_of(y, network(x, training=True))
            gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
            of_psi.apply_gradients([(gradients[j], v) for j, v in zip(moved, psi, strict=True)])
            of_phi.apply_gradients([(gradients[j], v) for j, v in zip(others, phi, strict=True)])
        values = dict(zip([*moved, *others], [*psi, *phi], strict=True))
        found.append([np.array(values[j]) for j in range(len(theta))])
    for v, value in zip(network.trainable_variables, theta, strict=True):
        v.assign(value)
    return found


def small_dense(extra=()):
    kernels = kr.networks.glorot_uniform(0)
    layers = [
        keras.layers.Flatten(),
        # A bias here would have no gradient but rounding, which Adam makes steps of.
        keras.layers.Dense(4, use_bias=False, kernel_initializer=next(kernels)),
        keras.layers.BatchNormalization(),
        *extra,
        keras.layers.Dense(3, kernel_initializer=next(kernels)),
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def compiled(network, inner_optimizer, outer, jit_compile="auto", run_eagerly=False, **arguments):
    model = small_model(network, inner_optimizer=inner_optimizer, **arguments)
    model.compile(outer, jit_compile=jit_compile, run_eagerly=run_eagerly)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "inner", "way"),
    [
        ("head", "Adam", "in a graph"),
        ("body", "Adam", "vectorized"),
        ("head", "clipped", "vectorized"),
        ("body", "clipped", "in a graph"),
        ("head", "momentum", "each task compiled"),
    ],
)
def test_a_meta_step_is_that_of_plain_keras(group, inner, way, float64):
    (tasks,) = small_batches(1, inner_steps=2)
    moved = [3, 4] if group == "head" else [0, 1, 2]
    solutions = by_plain_keras(small_dense(), tasks, INNER[inner], moved)
    model = compiled(small_dense(), INNER[inner](), SGD(1.0), inner_trainable=group, **WAYS[way])
    model.train_on_batch(tasks)
    expected = [np.mean(of_weight, axis=0) for of_weight in zip(*solutions, strict=True)]
    for found, wanted in zip(model.network.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6, err_msg=found.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "way"),
    [
        ("head", "vectorized"),
        ("body", "vectorized by TensorFlow"),
        ("head", "each task compiled"),
    ],
)
def test_every_way_evaluates_alike_and_as_training_predicts(group, way, float64):
    extra = [keras.layers.LayerNormalization()] if way == "vectorized by TensorFlow" else []
    (tasks,) = small_batches(1, queries=2, inner_steps=2)
    optimizer = lambda: SGD(0.5, momentum=0.5, global_clipnorm=0.1)  # noqa: E731

    def model_of(way):
        chosen = dict(inner_trainable=group, transductive=True, **WAYS[way])
        return compiled(small_dense(extra), optimizer(), SGD(0.0), **chosen)

    expected = model_of("eagerly").test_on_batch(tasks, return_dict=True)
    model = model_of(way.removesuffix(" by TensorFlow"))
    evaluated = model.test_on_batch(tasks, return_dict=True)
    assert evaluated == pytest.approx(expected, rel=1e-6)
    if way == "vectorized by TensorFlow":
        # The step of size 0 predicts by the weights that an evaluation finds. The predictions of
        # the other ways are worked out above.
        logs = model.train_on_batch(tasks, return_dict=True)
        assert logs["loss_after"] == pytest.approx(expected["loss_after"], rel=1e-6)
