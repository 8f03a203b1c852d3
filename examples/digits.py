#!/usr/bin/env python3
"""Handwritten digits, 8 x 8: learns to tell apart three digits that it never saw, from one each.

pip install '.[examples]'
python examples/digits.py

scikit-learn ships 1,797 digits of 13 people, the test set of Alpaydin and Kaynak (UCI, 1998). Five
of the ten classes train, the other five test. The images are also written as PNG files, a folder
for each class, so that the same data trains from the shell; the last lines say how.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import keras
import numpy as np
from absl import app, flags
from sklearn.datasets import load_digits

import keras_reptile as kr

FLAGS = flags.FLAGS
flags.DEFINE_integer("meta_iterations", 1000, "Meta-iterations.")
flags.DEFINE_integer("test_tasks", 1000, "Test tasks.")
flags.DEFINE_integer("split_seed", 0, "Decides which five digits train.")
flags.DEFINE_string("image_dir", "runs/digits_png", "Where the PNG files go; empty for nowhere.")

WAYS = 3


def digits() -> kr.ClassPool:
    """All ten classes, uint8 `(images, 8, 8, 1)` in [0, 255], ink 255."""
    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    return kr.ClassPool.from_arrays(images[..., np.newaxis], data.target)


def write_folders(pool: kr.ClassPool, folder: str) -> None:
    for position, name in enumerate(pool.names):
        (Path(folder) / f"digit_{name}").mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(pool.class_images(position)):
            keras.utils.save_img(
                Path(folder) / f"digit_{name}" / f"{number:03d}.png", image, scale=False
            )


def build_model(meta_iterations: int) -> kr.ReptileModel:
    model = kr.ReptileModel(
        kr.networks.omniglot_convnet(WAYS, (8, 8, 1), seed=0),
        inner_optimizer=keras.optimizers.Adam(1e-3, beta_1=0.0, epsilon=1e-8),
    )
    schedule = kr.linear_meta_step(1.0, 0.0, meta_iterations=meta_iterations)
    model.compile(optimizer=keras.optimizers.SGD(schedule))
    return model


def accuracy(model: kr.ReptileModel, pool: kr.ClassPool) -> str:
    """Over 3-way 1-shot tasks, each with 50 steps of adaptation."""
    tests = kr.episode_dataset(
        pool,
        ways=WAYS,
        shots=1,
        inner_batch_size=3,
        inner_steps=50,
        meta_batch_size=20,
        tasks=FLAGS.test_tasks,
    )
    result = kr.evaluate(model, tests, verbose=0)
    return f"{100 * result.accuracy:.2f} % ± {100 * result.confidence_95:.2f}"


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"Only flags are accepted. Received: {argv[1:]}.")
    kr.one_task_per_core()
    pool = digits()
    train, test = pool.shuffled(FLAGS.split_seed).split(5, 5)
    print(f"Training on the digits {sorted(train.names)}, testing on {sorted(test.names)}.")
    model = build_model(FLAGS.meta_iterations)
    print(f"Before meta-training: {accuracy(model, test)}", flush=True)
    episodes = kr.episode_dataset(
        train, ways=WAYS, shots=10, inner_batch_size=10, inner_steps=5, meta_batch_size=5
    )
    start = time.perf_counter()
    model.fit(episodes, epochs=1, steps_per_epoch=FLAGS.meta_iterations, verbose=0)
    seconds = time.perf_counter() - start
    print(f"After {FLAGS.meta_iterations:,} meta-iterations, {seconds:.0f} s: ", end="")
    print(accuracy(model, test), flush=True)
    if FLAGS.image_dir:
        write_folders(pool, FLAGS.image_dir)
        print(f"The images are in {FLAGS.image_dir}. To train on them from the shell:")
        print(
            f"bin/train --image_dir={FLAGS.image_dir} --image_size=8 --ways={WAYS} "
            f"--test_classes=5 --meta_iterations={FLAGS.meta_iterations}"
        )


if __name__ == "__main__":
    app.run(main)
