"""A run whose training tasks have other ways, on one device and on two: `... FILE` writes JSON."""

import json
import sys
from pathlib import Path

import tensorflow as tf
from helpers import image_pool, one_layer

from keras_reptile import distribution
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.recipes import building, named
from keras_reptile.runs import finishing
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.training import train

RECIPE = named.get(
    "glyphs",
    image_size=12,
    ways=3,
    train_ways=4,
    head="shared",
    train_shots=2,
    meta_iterations=4,
    meta_batch_size=2,
    inner_steps=1,
    inner_learning_rate=0.1,
    meta_step_size=10.0,
    eval_inner_steps=2,
    checkpoint_every=2,
    validation_tasks=7,
    test_tasks=9,
    curve_tasks=5,
    precision="float64",
)


def figures(folder, strategy):
    """The accuracy of the test, and those of the log."""
    summary = train(RECIPE, folder, verbose=0, strategy=strategy)
    names = ("accuracy", "val_accuracy", "test_accuracy")
    rows = [[float(row[name]) for name in names] for row in RunDirectory(folder).rows()]
    return {"test": summary["result"]["accuracy"], "rows": rows}


def main(path):
    # TensorFlow's own optimizer of graphs takes a sixth of the time.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    strategy = distribution.create("mirrored", devices="cpu:0,cpu:1", meta_batch_size=2)
    pools = Pools(*image_pool(classes=15, size=12).split(5, 5, 5))
    building.load_pools = lambda *arguments: pools
    building.build_network = one_layer
    finishing._draw = lambda *arguments: None
    folder = Path(path).parent
    found = [figures(folder / "one", None), figures(folder / "two", strategy)]
    Path(path).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
