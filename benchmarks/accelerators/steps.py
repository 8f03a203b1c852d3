"""The steps whose programs are compiled, as serialized HLO: a program of its own, with TensorFlow.

  python steps.py omniglot_5way/train gpu STEP.pb

prints as JSON the bytes that a host sends with every program, and the meta-steps of a program that
draws its tasks itself.
"""

import contextlib
import json
import math
import os
import sys
from pathlib import Path
from unittest import mock

# Other recipes have similar steps. MAML's training is not compiled as a whole.
TRAINED = (
    "omniglot_5way",
    "omniglot_5way_fast",
    "omniglot_20way",
    "mini_imagenet_5way_1shot",
    "gradient_combinations",
    "sinusoid",
)
TESTED = TRAINED[:4]
STEPS = (*(f"{name}/train" for name in TRAINED), *(f"{name}/test" for name in TESTED))
# Several training steps with tasks drawn on the device, of which the host sends the first number.
TOGETHER = (
    "omniglot_5way/together",
    "omniglot_20way/together",
    "mini_imagenet_5way_1shot/together",
)
# A training step of so many models with different seeds, in one program.
AT_ONCE = {"omniglot_5way/seeds": 3}
# Bytes of the pool that programs draw from: a copy of it would show in a program's memory.
POOL = 100e6
# Tasks of an evaluation, of which a step computes a meta-batch.
TEST_TASKS = 1000


def pool_of(recipe, size: float = 0):
    """Made-up images of at least so many bytes. No number of a compiled program depends on them."""
    import numpy as np

    import keras_reptile as kr
    from keras_reptile.recipes import building

    if recipe.dataset == "sinusoid":
        return building.load_pools(recipe, None).train
    each = max(recipe.train_shots, recipe.shots) + recipe.queries
    image = (recipe.image_size, recipe.image_size, recipe.channels)
    classes = max(recipe.ways, recipe.ways_in_training, -int(-size // (each * math.prod(image))))
    return kr.ClassPool(np.zeros((classes * each, *image), np.uint8), [each] * classes)


def built(recipe_name: str, pool_size: float = 0) -> tuple:
    """A recipe, its model with all variables, and a pool."""
    from keras_reptile.recipes import building, named

    recipe = named.get(recipe_name)
    building.set_precision(recipe)
    pool = pool_of(recipe, pool_size)
    model = building.build_model(recipe, pool.image_shape)
    model.optimizer.build(model.trainable_variables)
    return recipe, model, pool


def step_of(name: str) -> tuple:
    """A compiled step of a model that is built from a recipe, and an element of its dataset."""
    import tensorflow as tf

    from keras_reptile.recipes import building

    recipe_name, kind = name.split("/")
    recipe, model, pool = built(recipe_name)
    training = building.training_episodes(recipe, pool)
    if kind == "train":
        step, episode = model.train_step, next(iter(training))
    else:
        tests = building.evaluation_episodes(recipe, pool, TEST_TASKS)
        step, episode = model.test_step, next(iter(tests))
    sent = sum(t.numpy().nbytes for t in tf.nest.flatten(episode))
    return tf.function(step, jit_compile=True, autograph=False), (episode,), {"host_bytes": sent}


def steps_of(name: str) -> tuple:
    """The program of several training steps, a pool with the two numbers that the host sends."""
    import tensorflow as tf

    from keras_reptile.episodes.streams import stream_of
    from keras_reptile.execution import on_device
    from keras_reptile.recipes import building
    from keras_reptile.runs.draw_on_device import together

    recipe, model, pool = built(name.split("/")[0], POOL)
    stream = stream_of(building.training_episodes(recipe, pool))
    number, size = together(recipe.checkpoint_every), recipe.meta_batch_size
    steps = lambda data: [model.train_step(*data)]  # noqa: E731
    results = [model.task_metrics.container.result]
    run = on_device.program(steps, results, stream.meta_batches, size, number, compiled=True)
    numbers = (tf.constant(stream.seed, tf.int64),), (tf.constant(0, tf.int64),)
    sent = sum(n.numpy().nbytes for n in tf.nest.flatten(numbers))
    return (
        run,
        (stream.meta_batches.tensors(pool), *numbers),
        {"host_bytes": sent, "meta_steps": number},
    )


def step_of_seeds(name: str) -> tuple:
    """The program of one training step of several models, and a meta-batch for each."""
    import tensorflow as tf

    from keras_reptile.model.joint_steps import joint_step
    from keras_reptile.recipes import building

    each = [built(name.split("/")[0]) for _ in range(AT_ONCE[name])]
    run = joint_step([model for _, model, _ in each])
    data = [next(iter(building.training_episodes(recipe, pool))) for recipe, _, pool in each]
    sent = sum(t.numpy().nbytes for t in tf.nest.flatten(data))
    known = {"host_bytes": sent, "seeds": len(each)}
    return tf.function(run, jit_compile=True, autograph=False), (data,), known


def made(name: str) -> tuple:
    """A program, its arguments, and what is known of it."""
    make = step_of_seeds if name in AT_ONCE else steps_of if name in TOGETHER else step_of
    return make(name)


def as_on(device: str) -> contextlib.AbstractContextManager:
    """A context in which TensorFlow traces as where there is such a device."""
    import tensorflow as tf

    kind = device.upper()
    there = [tf.config.LogicalDevice(f"/device:{kind}:0", kind)]
    return mock.patch.object(tf.config, "list_logical_devices", lambda *_: there)


def traced(name: str, device: str) -> tuple[bytes, dict[str, int]]:
    """A program's HLO as TensorFlow makes it where there is such a device, and what is known of it.

    The HLO is traced for the CPU: for other platforms TensorFlow gives none to a host without them.
    """
    with as_on(device):
        run, arguments, known = made(name)
        return hlo_of(run, arguments), known


def hlo_of(run, arguments) -> bytes:
    return run.experimental_get_compiler_ir(*arguments)(stage="hlo_serialized")


def prepare_process() -> None:
    """Quiet, without a GPU that there may be, and without the flags of the compiler."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.pop("XLA_FLAGS", None)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main(name: str, device: str, file: str) -> None:
    prepare_process()
    hlo, known = traced(name, device)
    Path(file).write_bytes(hlo)
    print(json.dumps(known))


if __name__ == "__main__":
    main(*sys.argv[1:])
