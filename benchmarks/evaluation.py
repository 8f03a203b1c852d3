#!/usr/bin/env python3
"""Times evaluation: tasks side by side, by both modes, and one by one in the usual Keras loop.

  python benchmarks/evaluation.py
  python benchmarks/evaluation.py --tasks=400 --json=evaluation.json

5-way 1-shot Omniglot tasks of the recipe `omniglot_5way`, 50 inner steps each, on made-up images:
the arithmetic does not depend on them. The loop adapts a plain Keras model eagerly, predicts, and
sets weights and moments back, as programs without a task axis do. Run it on a quiet machine.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from benchmark import define_json, facts, figures, run

import keras_reptile as kr
from keras_reptile.recipes import building, named

FLAGS = flags.FLAGS
flags.DEFINE_integer("tasks", 200, "Tasks of each timed evaluation.")
flags.DEFINE_integer("one_by_one", 5, "Tasks that the plain loop evaluates.")
flags.DEFINE_integer("rounds", 3, "Turns in which they are timed.")
define_json("File to write the figures to.")


def pool() -> kr.ClassPool:
    images = np.random.RandomState(0).randint(0, 256, (2000, 28, 28, 1)).astype(np.uint8)
    return kr.ClassPool(images, [20] * 100)


def side_by_side(model, episodes, transductive: bool) -> float:
    start = time.perf_counter()
    kr.evaluate(model, episodes, transductive=transductive, verbose=0)
    return (time.perf_counter() - start) / FLAGS.tasks


def both_at_once(model, episodes) -> float:
    start = time.perf_counter()
    kr.evaluate_both(model, episodes, verbose=0)
    return (time.perf_counter() - start) / FLAGS.tasks


def one_by_one(network, optimizer, tasks) -> float:
    """Seconds of a task in eager Keras, predicted all queries at once."""
    variables = network.trainable_variables
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer.build(variables)
    start = time.perf_counter()
    for (x, y), (query_x, _), order in tasks:
        kept = [tf.identity(v.value) for v in (*variables, *optimizer.variables)]
        for minibatch in order:
            with tf.GradientTape() as tape:
                logits = network(tf.gather(x, minibatch), training=True)
                loss = loss_of(tf.gather(y, minibatch), logits)
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        network(query_x, training=True).numpy()
        for variable, value in zip((*variables, *optimizer.variables), kept, strict=True):
            variable.assign(value)
    return (time.perf_counter() - start) / len(tasks)


def single_tasks(episodes) -> list:
    keys = ("support", "query", "order")
    each = list(episodes.unbatch())
    scale = lambda pair: (tf.cast(pair[0], tf.float32) / 255, pair[1])  # noqa: E731
    return [tuple(scale(e[k]) if k != "order" else e[k] for k in keys) for e in each]


def main():
    cores = kr.one_task_per_core()
    recipe = named.get("omniglot_5way")
    model = building.build_model(recipe, (28, 28, 1))
    episodes = building.evaluation_episodes(recipe, pool(), FLAGS.tasks)
    tasks = single_tasks(building.evaluation_episodes(recipe, pool(), FLAGS.one_by_one))
    network, optimizer = keras.models.clone_model(model.network), building.inner_optimizer(recipe)
    calls = {
        "inductive": lambda: side_by_side(model, episodes, False),
        "transductive": lambda: side_by_side(model, episodes, True),
        "both at once": lambda: both_at_once(model, episodes),
        "one by one, Keras": lambda: one_by_one(network, optimizer, tasks),
    }
    seconds = {name: [] for name in calls}
    for _ in range(FLAGS.rounds + 1):
        for name, call in calls.items():
            seconds[name].append(call())
    found = {name: 1e3 * float(np.median(s[1:])) for name, s in seconds.items()}
    for name, ms in found.items():
        print(f"{name:>20}: {ms:8.1f} ms a task")
    print(f"{'':>20}  {found['one by one, Keras'] / found['inductive']:.1f} times faster")
    with figures(lambda: {"cores": cores, **facts()}) as content:
        content["ms_per_task"] = found


if __name__ == "__main__":
    run(main)
