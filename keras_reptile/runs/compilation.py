"""Whether XLA compiles the inner loops of a run: on a CPU, where the run is long enough to gain."""

import math

import tensorflow as tf

from keras_reptile.execution import compiled_tasks
from keras_reptile.execution.plan import in_series
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.threads import usable_cores

# What XLA has been measured to run faster on a CPU than TensorFlow's own operations: in float32 by
# a fifth, in the halves by factors. The paper's other network, whose images are large and filters
# few, was no faster.
FASTER = ("omniglot_convnet",)
# Pixels that go through the inner loops until the seconds of compilation are gained back, by
# precision; in others nothing was measured.
WORTH = {"float32": 250_000_000, "mixed_bfloat16": 25_000_000, "mixed_float16": 25_000_000}


def of_training(recipe: Recipe) -> bool | str:
    """What a training run passes as `jit_compile`."""
    tasks = recipe.meta_iterations * recipe.meta_batch_size
    return chosen(recipe, tasks * recipe.inner_steps * recipe.inner_batch_size)


def tasks_at_once(recipe: Recipe) -> int:
    """The tasks of a meta-batch that wait for no other."""
    return 1 if in_series(recipe) else recipe.meta_batch_size


def threads(jit_compile: bool | str, tasks: int) -> dict:
    """Returns the arguments of `one_task_per_core` for a number of tasks at once.

    Idle cores are shared where there are fewer tasks than cores, or too many for one graph.

    Example:

    >>> threads(True, 100)
    {'jit_compile': True, 'share_idle_cores': False}
    >>> threads("auto", 100)
    {'jit_compile': False, 'share_idle_cores': False}
    >>> threads(True, 101)
    {'jit_compile': True, 'share_idle_cores': True}
    """
    compiled = jit_compile is True
    kept = usable_cores() <= tasks <= compiled_tasks.MAX_TASKS_PER_GRAPH
    return {"jit_compile": compiled, "share_idle_cores": compiled and not kept}


def of_evaluation(recipe: Recipe, tasks: int) -> bool | str:
    """What an evaluation of so many tasks passes as `jit_compile`."""
    return chosen(recipe, tasks * recipe.eval_inner_steps * recipe.eval_inner_batch_size)


def chosen(recipe: Recipe, images: int) -> bool | str:
    """The recipe's `jit_compile`, decided where a CPU is to compute with so many images.

    Example:

    >>> chosen(Recipe(jit_compile="false"), 10**9)
    False
    >>> chosen(Recipe(network="mini_imagenet_convnet"), 10**9)
    'auto'
    """
    if recipe.jit_compile != "auto":
        return recipe.jit_compile == "true"
    fast = recipe.network in FASTER and recipe.method != "maml"
    long = images * recipe.image_size**2 >= WORTH.get(recipe.precision, math.inf)
    return True if fast and long and not tf.config.list_physical_devices("GPU") else "auto"
