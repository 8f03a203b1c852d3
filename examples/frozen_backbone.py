#!/usr/bin/env python3
"""A backbone of other data under a new head: three ways to meta-train it on few classes.

The backbone was meta-trained on Omniglot, and comes with the package. The tasks are 5-way 1-shot
tasks of other characters, the invented ones of "glyphs": 20 of them train, 50 test.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import keras
from absl import app, flags

import keras_reptile as kr
from keras_reptile.datasets.glyphs import draw_glyphs

FLAGS = flags.FLAGS
flags.DEFINE_integer("meta_iterations", 200, "Meta-iterations.")
flags.DEFINE_integer("test_tasks", 100, "Test tasks.")
flags.DEFINE_list("backbone", ["frozen", "outer", "both"], "Its loops: none, the outer, both.")
WAYS, IMAGES = 5, 20
# A head alone needs longer inner steps.
LOOPS = {
    "frozen": dict(trainable=False, inner_trainable="all", rate=1e-2),
    "outer": dict(trainable=True, inner_trainable="head", rate=1e-2),
    "both": dict(trainable=True, inner_trainable="all", rate=1e-3),
}
flags.register_validator(
    "backbone",
    lambda given: given and set(given) <= set(LOOPS),
    "It must be one or more of frozen, outer, both.",
)


def backbone(pool: kr.ClassPool) -> keras.Model:
    """Omniglot's body, with the statistics of a few training classes in its batch normalization.

    A frozen normalization uses these; others use the statistics of the minibatch.
    """
    images = pool.images[: WAYS * IMAGES]
    labels = [image // IMAGES for image in range(WAYS * IMAGES)]
    learner = kr.pretrained("omniglot_5way").adapt(images, labels, steps=0)
    return keras.Model(learner.inputs, learner.layers[-1].input)


def model_of(
    pool: kr.ClassPool, trainable: bool, inner_trainable: str, rate: float
) -> kr.ReptileModel:
    body = backbone(pool)
    body.trainable = trainable
    network = keras.Sequential([keras.Input((28, 28, 1)), body, keras.layers.Dense(WAYS)])
    inner = keras.optimizers.Adam(rate, beta_1=0.0)
    # Classes have no order: all outputs start from one vector.
    model = kr.ReptileModel(network, inner, inner_trainable=inner_trainable, head="shared")
    schedule = kr.linear_meta_step(0.5, 0.0, FLAGS.meta_iterations)
    model.compile(keras.optimizers.SGD(schedule))
    return model


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"Only flags are accepted. Received: {argv[1:]}.")
    kr.one_task_per_core()
    images, labels = draw_glyphs(classes=70, writers=IMAGES)
    train, test = kr.ClassPool.from_arrays(images, labels).split(20, 50)
    options = dict(ways=WAYS, inner_batch_size=5, meta_batch_size=5)
    episodes = kr.episode_dataset(train, shots=5, inner_steps=5, **options)
    tests = kr.episode_dataset(test, shots=1, inner_steps=30, tasks=FLAGS.test_tasks, **options)
    for name in FLAGS.backbone:
        model = model_of(train, **LOOPS[name])
        before = kr.evaluate(model, tests, verbose=0)
        model.fit(episodes, steps_per_epoch=FLAGS.meta_iterations, verbose=0)
        unadapted = tests.map(lambda tasks: {**tasks, "order": tasks["order"][:, :0]})
        print(f"Backbone in the loops: {name}", flush=True)
        print("  before meta-training, after adaptation:", before)
        print("  after meta-training, before adaptation:", kr.evaluate(model, unadapted, verbose=0))
        print("  after meta-training, after adaptation: ", kr.evaluate(model, tests, verbose=0))


if __name__ == "__main__":
    app.run(main)
