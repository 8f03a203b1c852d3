#!/usr/bin/env python3
"""Fine-tunes to an alphabet that meta-training never saw, with more classes than it ever had.

  python examples/new_alphabet.py --data_dir=DIR --output=docs/results/new_alphabet

Meta-trains on 5-way tasks of Omniglot's 30 background alphabets, without their 50 validation
classes. Then takes an alphabet of the evaluation set with at least 30 characters, gives the body a
new head with 30 outputs and fine-tunes with plain Keras, beside the same network from random
weights. Writes a plot of accuracy against steps and shots, and the accuracies as JSON.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import json
import time
from pathlib import Path

import keras
import numpy as np
from absl import app, flags
from matplotlib.figure import Figure

import keras_reptile as kr
from keras_reptile.files import provenance
from keras_reptile.pictures.style import COLOURS, LINES, save, styled, whole_percent
from keras_reptile.recipes import building, named

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS's data directory.")
flags.DEFINE_string("output", "new_alphabet", "Path of the plot and the JSON, without ending.")
flags.DEFINE_integer("meta_iterations", 2000, "Meta-iterations.")
flags.DEFINE_integer("classes", 30, "Characters of the new alphabet.")
flags.DEFINE_list("shots", ["1", "5", "10"], "Images of each character to fine-tune on, 1 to 10.")
FOR_TRAINING = [str(shots) for shots in range(1, 11)]  # The other 10 images are for the test.
flags.register_validator(
    "shots", lambda given: given and set(given) <= set(FOR_TRAINING), "They must be 1 to 10."
)
flags.DEFINE_integer("steps", 200, "Fine-tuning steps.")


def meta_trained(pools: kr.Pools) -> kr.ReptileModel:
    recipe = named.get("omniglot_5way", meta_iterations=FLAGS.meta_iterations)
    model = building.build_model(recipe, pools.train.image_shape)
    episodes = building.training_episodes(recipe, pools.train)
    model.fit(episodes, steps_per_epoch=FLAGS.meta_iterations, verbose=2)
    return model


def alphabet(pool: kr.ClassPool, classes: int) -> np.ndarray:
    """Images `(classes, 20, 28, 28, 1)` of the first alphabet that has so many characters."""
    # Classes of Omniglot are named 1000 * alphabet + character.
    numbers = np.array(pool.names) // 1000
    for number in np.unique(numbers):
        members = np.flatnonzero(numbers == number)
        if len(members) >= classes:
            images = np.stack([pool.class_images(c) for c in members[:classes]])
            return images.astype(np.float32) / 255.0
    raise ValueError(f"No alphabet of the evaluation set has {classes} characters.")


def examples_of(images: np.ndarray) -> tuple:
    labels = np.repeat(np.arange(len(images)), images.shape[1])
    return images.reshape(-1, *images.shape[2:]), labels


class TestAccuracy(keras.callbacks.Callback):
    """Test accuracy after every `every` steps of `fit`."""

    def __init__(self, x, y, every):
        super().__init__()
        self.x, self.y, self.every = x, y, every
        self.steps, self.accuracies = [], []

    def on_train_begin(self, logs=None):
        self._measure(0)

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.every == 0:
            self._measure(batch + 1)

    def _measure(self, step):
        # Batch statistics, as in meta-training: a plain network's moving averages lag behind.
        outputs = self.model(self.x, training=True)
        self.steps.append(step)
        self.accuracies.append(float(np.mean(np.argmax(outputs, axis=1) == self.y)))


def fine_tune(model: kr.ReptileModel, images: np.ndarray, shots: int) -> TestAccuracy:
    x, y = examples_of(images[:, :shots])
    learner = model.adapt(x, y, steps=0, head="replace")
    rs = np.random.RandomState(0)
    rows = np.concatenate([rs.permutation(len(y)) for _ in range(FLAGS.steps)])
    rows = rows[: FLAGS.steps * len(images)]
    test = TestAccuracy(*examples_of(images[:, 10:]), every=max(1, FLAGS.steps // 20))
    learner.fit(
        x[rows], y[rows], batch_size=len(images), shuffle=False, verbose=0, callbacks=[test]
    )
    return test


@styled()
def draw(curves: dict, path: str) -> None:
    figure = Figure(figsize=(4 * len(curves), 4.4), layout="constrained")
    for axes, (shots, both) in zip(
        figure.subplots(1, len(curves), sharey=True), curves.items(), strict=True
    ):
        for i, (name, curve) in enumerate(both.items()):
            look = {"color": COLOURS[i], "linestyle": LINES[i]}
            axes.plot(curve["steps"], 100 * np.array(curve["accuracy"]), label=name, **look)
        axes.set(title=f"{shots} shot{'s' * (int(shots) > 1)}", xlabel="fine-tuning steps")
        whole_percent(axes)
        axes.grid(True)
    figure.axes[0].set_ylabel(f"accuracy, {FLAGS.classes} new classes (%)")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    save(figure, Path(path))


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"Only flags are accepted. Received: {argv[1:]}.")
    kr.one_task_per_core()
    Path(FLAGS.output).parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    try:
        pools = kr.datasets.load("omniglot", data_dir=FLAGS.data_dir, split="background")
    except (ValueError, kr.RunError) as error:
        sys.exit(f"new_alphabet.py: {error}")
    images = alphabet(pools.test, FLAGS.classes)
    trained = meta_trained(pools)
    scratch = building.build_model(named.get("omniglot_5way", seed=1), pools.train.image_shape)
    curves = {}
    for shots in map(int, FLAGS.shots):
        curves[shots] = {}
        for name, model in {"meta-learned": trained, "from scratch": scratch}.items():
            found = fine_tune(model, images, shots)
            curves[shots][name] = {"steps": found.steps, "accuracy": found.accuracies}
            print(f"{shots} shots, {name}: {100 * found.accuracies[-1]:.1f} %", flush=True)
    draw(curves, FLAGS.output + ".png")
    content = {"curves": curves, "seconds": time.perf_counter() - started, **provenance.facts()}
    with open(FLAGS.output + ".json", "w") as file:
        json.dump(content, file, indent=1)


if __name__ == "__main__":
    app.run(main)
