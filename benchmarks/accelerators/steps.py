"""The steps whose programs are compiled, as serialized HLO: a program of its own, with TensorFlow.

  python steps.py omniglot_5way/train gpu STEP.pb

prints as JSON the bytes that a host sends with every step.
"""

import json
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
# Tasks of an evaluation, of which a step computes a meta-batch.
TEST_TASKS = 1000


def pool_of(recipe):
    """Made-up images: no number of a compiled program depends on them."""
    import numpy as np

    import keras_reptile as kr
    from keras_reptile.recipes import building

    if recipe.dataset == "sinusoid":
        return building.load_pools(recipe, None).train
    each = max(recipe.train_shots, recipe.shots) + recipe.queries
    shape = (recipe.ways * each, recipe.image_size, recipe.image_size, recipe.channels)
    return kr.ClassPool(np.zeros(shape, np.uint8), [each] * recipe.ways)


def step_of(name: str):
    """A step of a model that is built from a recipe, and an element of its dataset."""
    from keras_reptile.recipes import building, named

    recipe_name, kind = name.split("/")
    recipe = named.get(recipe_name)
    building.set_precision(recipe)
    pool = pool_of(recipe)
    model = building.build_model(recipe, pool.image_shape)
    model.optimizer.build(model.trainable_variables)
    if kind == "train":
        return model.train_step, next(iter(building.training_episodes(recipe, pool)))
    return model.test_step, next(iter(building.evaluation_episodes(recipe, pool, TEST_TASKS)))


def traced(name: str, device: str) -> tuple[bytes, int]:
    """A step's HLO as TensorFlow makes it where there is such a device, and bytes from the host.

    The HLO is traced for the CPU: for other platforms TensorFlow gives none to a host without them.
    """
    import tensorflow as tf

    kind = device.upper()
    there = [tf.config.LogicalDevice(f"/device:{kind}:0", kind)]
    with mock.patch.object(tf.config, "list_logical_devices", lambda *_: there):
        step, episode = step_of(name)
        compiled = tf.function(step, jit_compile=True, autograph=False)
        hlo = compiled.experimental_get_compiler_ir(episode)(stage="hlo_serialized")
    return hlo, sum(t.numpy().nbytes for t in tf.nest.flatten(episode))


def prepare_process() -> None:
    """Quiet, without a GPU that there may be, and without the flags of the compiler."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.pop("XLA_FLAGS", None)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main(name: str, device: str, file: str) -> None:
    prepare_process()
    hlo, host_bytes = traced(name, device)
    Path(file).write_bytes(hlo)
    print(json.dumps({"host_bytes": host_bytes}))


if __name__ == "__main__":
    main(*sys.argv[1:])
