#!/usr/bin/env python3
"""Times the meta-step: bare, through `fit`, and against the machine's matrix-product rate.

  python benchmarks/meta_step.py
  python benchmarks/meta_step.py --recipes=all --steps=24 --rounds=2 --json=meta_steps.json
  python benchmarks/meta_step.py --recipes=omniglot_20way --task_parallelism=vectorized --steps=8

Data are made up: the arithmetic does not depend on them. Rates are measured in the same process,
in turns with the steps, at the settings that `bin/train` uses. Run it on a quiet machine.
"""

import os
import sys
import time

GIVEN = dict(os.environ)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import json
import subprocess
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from benchmark import define_json, figures, run
from made_up import training_pool
from timing import StepTimes, seconds_of, train_step

import keras_reptile as kr
from keras_reptile.programs import start
from keras_reptile.recipes import building, named
from keras_reptile.runs import compilation

FLAGS = flags.FLAGS
flags.DEFINE_list("recipes", ["omniglot_5way"], "Recipes whose meta-steps to time, or 'all'.")
flags.register_validator(
    "recipes",
    lambda given: given == ["all"] or (given and set(given) <= set(named.RECIPES)),
    f"It must be 'all', or one or more of {', '.join(named.RECIPES)}.",
)
flags.DEFINE_integer("steps", 200, "Timed steps of each kind.")
flags.DEFINE_integer("rounds", 4, "Turns in which they are timed.")
flags.DEFINE_enum(
    "task_parallelism",
    "auto",
    ("auto", "separate", "vectorized"),
    "How tasks run beside each other; the first step of vectorized tasks holds XLA's compilation.",
)
flags.DEFINE_enum(
    "jit_compile", "auto", ("auto", "true", "false"), "Whether XLA compiles, as of bin/train."
)
flags.DEFINE_string("precision", None, "What the network computes in, instead of the recipe's.")
define_json("File to write the figures to.")


def matrix_product_rate(cores: int) -> float:
    """Floating-point operations a second, with one product on every core at once.

    On a GPU the products are larger, and in the precision that TensorFlow has there by default.
    """
    size = 8192 if tf.config.list_physical_devices("GPU") else 2048
    matrices = [tf.random.stateless_normal((size, size), (i, i)) for i in range(cores)]
    products = tf.function(lambda: tf.add_n([tf.reduce_sum(m @ m) for m in matrices]))
    products()
    return cores * 2 * size**3 / min(seconds_of(lambda: float(products()), 5))


def operations_of(network: keras.Model) -> int:
    """Floating-point operations of convolutions and dense layers for one image, forward."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
        elif isinstance(layer, keras.layers.Dense):
            total += 2 * int(np.prod(layer.kernel.shape))
    return total


def operations_of_a_step(recipe, network) -> int:
    """Forward, and twice that backward, for every image of every inner step."""
    images = recipe.meta_batch_size * recipe.inner_steps * recipe.inner_batch_size
    return 3 * operations_of(network) * images


def chosen_recipe(name: str):
    chosen = {key: FLAGS[key].value for key in ("task_parallelism", "jit_compile", "precision")}
    return named.get(name, **chosen)


def measure(name: str) -> dict:
    recipe = chosen_recipe(name)
    building.set_precision(recipe)
    jit_compile = compilation.of_training(recipe).jit_compile
    threads = compilation.threads(jit_compile, compilation.tasks_at_once(recipe))
    cores = kr.one_task_per_core(**threads)
    pool = training_pool(recipe)
    model = building.build_model(recipe, pool.image_shape)
    model.set_execution(jit_compile=jit_compile)
    episodes = building.training_episodes(recipe, pool)
    element = next(iter(episodes))
    step = train_step(model)
    weights = model.trainable_variables[-1]

    def bare_step():
        step(element)
        # A GPU goes on computing after the call has returned.
        return np.asarray(weights)

    began = time.perf_counter()
    bare_step()
    first_step = time.perf_counter() - began
    model.fit(episodes, steps_per_epoch=3, verbose=0)
    bare, cpu, rates, fitted = [], [], [], StepTimes()
    steps = max(2, FLAGS.steps // FLAGS.rounds)
    for _ in range(FLAGS.rounds):
        bare += seconds_of(bare_step, steps)
        cpu += seconds_of(bare_step, steps, time.process_time)
        model.fit(episodes, steps_per_epoch=steps, verbose=0, callbacks=[fitted])
        rates.append(matrix_product_rate(cores))
    operations = operations_of_a_step(recipe, model.network)
    in_fit, rate = float(np.median(fitted.found)), max(rates)
    return {
        "recipe": name,
        "task_parallelism": recipe.task_parallelism,
        "jit_compile": jit_compile,
        "precision": recipe.precision,
        "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1",
        "cores": cores,
        "first_step_seconds": first_step,
        "meta_step_ms": 1e3 * float(np.median(bare)),
        "meta_step_ms_fastest": 1e3 * min(bare),
        "meta_step_cpu_ms": 1e3 * float(np.median(cpu)),
        "meta_step_in_fit_ms": 1e3 * in_fit,
        "meta_iterations": recipe.meta_iterations,
        "all_meta_iterations_hours": in_fit * recipe.meta_iterations / 3600,
        "operations_per_meta_step": operations,
        "matrix_product_gflops": rate / 1e9,
        "fraction_of_matrix_product_rate": operations / float(np.median(bare)) / rate,
    }


def onednn(name: str) -> str:
    """Returns "1" if `bin/train` computes a recipe by oneDNN's kernels on a CPU, else "0"."""
    chosen = [f"--recipe={name}", *([f"--precision={FLAGS.precision}"] if FLAGS.precision else [])]
    return GIVEN.get("TF_ENABLE_ONEDNN_OPTS") or start.onednn(chosen)


def in_process(name: str) -> dict:
    """Threads and kernels are set once in a process, and not alike for every recipe."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "figures.json")
        names = ("steps", "rounds", "task_parallelism", "jit_compile", "precision")
        same = [f"--{flag}={FLAGS[flag].value}" for flag in names if FLAGS[flag].value is not None]
        command = [sys.executable, __file__, *same, f"--recipes={name}", f"--json={path}"]
        environment = {**GIVEN, "TF_ENABLE_ONEDNN_OPTS": onednn(name)}
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, env=environment)
        if ended.returncode:
            sys.exit(f"meta_step.py: {name} failed; its errors stand above.")
        with open(path) as file:
            return json.load(file)["recipes"][0]


def main():
    names = list(named.RECIPES) if FLAGS.recipes == ["all"] else FLAGS.recipes
    with figures() as found:
        recipes = found["recipes"] = []
        for name in names:
            here = len(names) == 1 and onednn(name) == os.environ["TF_ENABLE_ONEDNN_OPTS"]
            recipes.append(measure(name) if here else in_process(name))
            show(recipes[-1])


def show(row: dict) -> None:
    for key, value in row.items():
        print(f"{key:>34}  {value:.4g}" if isinstance(value, float) else f"{key:>34}  {value}")
    print(flush=True)


if __name__ == "__main__":
    run(main)
