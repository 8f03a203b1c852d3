"""Trains small models on an arrangement of devices: `replicas.py ARRANGEMENT FILE`.

ARRANGEMENT is "one", "mirrored" (two logical CPU devices) or "workers" (as TF_CONFIG says). The
file gets every replica's weights and every figure. A program of its own because TensorFlow's
devices are fixed once per process.
"""

import contextlib
import os
import re
import sys
from unittest import mock

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import plain_keras
import tensorflow as tf
from helpers import image_pool, small_convnet, small_dense

import keras_reptile as kr
from keras_reptile import distribution
from keras_reptile.errors import RunError
from keras_reptile.kernels import devices

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
BY_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def adam(epsilon=1e-8):
    return ADAM(0.01, beta_1=0.0, epsilon=epsilon)


# The case that is evaluated, too.
FIRST = "reptile, carried"
# Name: (float type, meta-steps, network, arguments of the model, of compile).
CASES = {
    FIRST: (
        "float64",
        20,
        small_dense,
        lambda: dict(inner_optimizer=adam()),
        lambda: dict(optimizer=SGD(0.5), loss=BY_LOGITS, metrics=["accuracy"]),
    ),
    "fomaml, reset, clipped, dropout": (
        "float64",
        20,
        lambda: small_dense(extra=[keras.layers.Dropout(0.3, seed=1)]),
        lambda: dict(inner_optimizer=adam(), method="fomaml", inner_state="reset"),
        lambda: dict(optimizer=ADAM(0.01, global_clipnorm=0.02), steps_per_execution=5),
    ),
    # The second derivative of Adam's step grows with 1 / epsilon, and rounding with it.
    "maml, carried": (
        "float64",
        20,
        small_dense,
        lambda: dict(inner_optimizer=adam(epsilon=1e-2), method="maml"),
        lambda: dict(optimizer=SGD(0.05)),
    ),
    # A strategy such as that of a TPU: Keras sums over replicas and updates their variables.
    "fomaml, carried, clipped, updated by Keras": (
        "float64",
        20,
        small_dense,
        lambda: dict(inner_optimizer=adam(), method="fomaml"),
        lambda: dict(optimizer=ADAM(0.01, global_clipnorm=0.02)),
    ),
    "reptile, the head alone, accumulated and averaged": (
        "float64",
        20,
        small_dense,
        lambda: dict(inner_optimizer=adam(), inner_trainable="head"),
        lambda: dict(
            optimizer=SGD(
                kr.linear_meta_step(1.0, 0.1, 20),
                gradient_accumulation_steps=2,
                use_ema=True,
                ema_momentum=0.5,
                ema_overwrite_frequency=5,
            )
        ),
    ),
    "reptile, carried, as on GPUs": (
        "float64",
        20,
        small_dense,
        lambda: dict(inner_optimizer=adam()),
        lambda: dict(optimizer=SGD(0.5)),
    ),
    "float32, a convolution, one meta-step": (
        "float32",
        1,
        small_convnet,
        lambda: dict(inner_optimizer=SGD(0.05, momentum=0.5)),
        lambda: dict(optimizer=SGD(0.5)),
    ),
    "reptile, reset, compiled by XLA": (
        "float64",
        20,
        small_dense,
        lambda: dict(inner_optimizer=adam(), inner_state="reset"),
        lambda: dict(optimizer=SGD(0.5), jit_compile=True),
    ),
}


# What is otherwise for the replicas of a case while they train.
as_on_gpus = mock.patch.object(devices, "device_kinds", lambda: {"GPU"})
by_keras = mock.patch.object(distribution, "has_copies", lambda: False)
OTHERWISE = {
    "reptile, carried, as on GPUs": as_on_gpus,
    "fomaml, carried, clipped, updated by Keras": by_keras,
}


def episodes(**arguments):
    chosen = dict(ways=3, shots=4, inner_batch_size=6, inner_steps=2, meta_batch_size=6)
    return kr.episode_dataset(image_pool(), **{**chosen, **arguments})


def by_replica(strategy, variable):
    """A variable's value on each of this process's replicas."""
    return np.stack([np.asarray(v) for v in strategy.experimental_local_results(variable.value)])


def run_case(name, strategy) -> dict:
    float_type, steps, network, arguments, compiled = CASES[name]
    keras.config.set_floatx(float_type)
    keras.config.set_dtype_policy(float_type)
    with strategy.scope():
        model = kr.ReptileModel(network(), **arguments())
        model.compile(**compiled())
    found = {}
    # Seven tasks, four at a time: neither two nor three replicas share them evenly.
    validation = episodes(meta_batch_size=4, tasks=7, seed=3)
    is_first, replicas = name == FIRST, strategy.num_replicas_in_sync
    first = dict(validation_data=validation) if is_first else {}
    with OTHERWISE[name] if replicas > 1 and name in OTHERWISE else contextlib.nullcontext():
        history = model.fit(episodes(), steps_per_epoch=steps, verbose=0, **first).history
    found |= {f"history {key}": np.array(values) for key, values in history.items()}
    if is_first:
        trained = kr.evaluate_both(model, validation, verbose=0)
        found["trained accuracies"] = np.stack([each.accuracies for each in trained], axis=1)
        found["answers"] = np.concatenate([each.answers for each in trained], axis=1)
        turned = kr.evaluate(model, validation, orientations=4, verbose=0)
        found |= {"turned accuracies": turned.accuracies, "turned answers": turned.answers}
    if is_first and replicas < 3:
        again = model.evaluate(validation, verbose=0, return_dict=True)
        found |= {f"evaluate {key}": np.array(value) for key, value in again.items()}
        found["predictions"] = model.predict(validation, verbose=0)
    for i, variable in enumerate([*model.variables, *model.optimizer.variables]):
        found[f"variable {i}"] = by_replica(strategy, variable)
    return {f"{name}: {key}": value for key, value in found.items()}


def step_graph(strategy) -> tf.Graph:
    """The graph of a step on all replicas."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    with strategy.scope():
        model = kr.ReptileModel(small_dense(), adam())
        model.compile(SGD(0.5))
    shares = distribution.shares.distributed(episodes(), strategy)
    model.build_variables(episodes().element_spec)
    step = tf.function(lambda data: strategy.run(model.train_step, (data,)), autograph=False)
    # Traced by the shapes: an iterator that is dropped while it reads ahead can end the process.
    return step.get_concrete_function(shares.element_spec).graph


def collectives(strategy) -> dict:
    """How many collective operations a step has, and how many of them lie in a function."""
    graph = step_graph(strategy).as_graph_def()
    inside = [n for f in graph.library.function for n in f.node_def]
    is_collective = lambda node: node.op.startswith("Collective")  # noqa: E731
    return {
        "collectives": np.array(sum(map(is_collective, graph.node))),
        "collectives in functions": np.array(sum(map(is_collective, inside))),
    }


def operations(strategy) -> dict:
    """The programs of a step as on GPUs, and the number of operations apart from them.

    Data and variables are the arguments of a step, `Placeholder` in its graph, and no operations.
    """
    with as_on_gpus:
        nodes = [n for n in step_graph(strategy).as_graph_def().node if n.op != "Placeholder"]
    programs = [n for n in nodes if n.op.endswith("PartitionedCall")]
    names = [re.sub(r"__inference_|_\d+$", "", n.attr["f"].func.name) for n in programs]
    return {
        "programs": np.array(names),
        "programs by XLA": np.array(sum(n.attr["_XlaMustCompile"].b for n in programs)),
        "operations": np.array(len(nodes) - len(programs)),
    }


def agreement(strategy) -> dict:
    """What workers say to each other, and how each ends when one of them cannot go on."""
    workers = distribution.Workers(strategy)

    def failure(action):
        try:
            action()
        except RunError as error:
            return str(error)
        return "none"

    def fail_second():
        with workers.together():
            if workers.index == 1:
                raise RunError("no data.")

    mine = [np.arange(3, dtype=d) + workers.index for d in ("uint8", "int64", "float32")]
    arrays = workers.from_chief([*mine, np.array(-0.0 if workers.is_chief else 1.0)])
    return {
        "texts": np.array(workers.exchange("é" * workers.index)),
        "from chief": np.array([repr(a.tolist()) for a in arrays]),
        "alike": failure(lambda: workers.check_alike({"ways": 5})),
        "not alike": failure(lambda: workers.check_alike({"ways": 5 + workers.index})),
        "one fails": failure(fail_second),
    }


def main(arrangement, path, *names):
    devices = {"one": "none", "mirrored": "mirrored", "workers": "multi_worker"}[arrangement]
    cpus = "cpu:0,cpu:1" if arrangement == "mirrored" else ""
    strategy = distribution.create(devices, devices=cpus, meta_batch_size=6)
    strategy = strategy or tf.distribute.get_strategy()
    found = {}
    for name in names or CASES:
        # TensorFlow's own optimizer of graphs takes a sixth of a case's time. One case has it.
        off = name != FIRST or strategy.num_replicas_in_sync > 2
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": off})
        found |= run_case(name, strategy)
    if arrangement == "mirrored":
        found |= operations(strategy)
    if arrangement == "workers":
        if strategy.num_replicas_in_sync < 3:
            found |= collectives(strategy)
        found |= {f"agreement: {k}": v for k, v in agreement(strategy).items()}
    if arrangement != "one" and strategy.num_replicas_in_sync < 3:
        plain = plain_keras.outcomes(arrangement, strategy)
        found |= {f"plain Keras: {k}": v for k, v in plain.items()}
    np.savez(path, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
