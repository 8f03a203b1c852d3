"""Decides whether XLA compiles the inner loops of a run on a CPU. A run must be long enough."""

import math

import tensorflow as tf

from keras_reptile.execution import compiled_tasks
from keras_reptile.execution.plan import in_series
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.threads import usable_cores

# Networks that XLA runs faster on a CPU than TensorFlow's own operations: 20 % faster in float32,
# several times faster in float16 and bfloat16. The paper's other network, with large images and few
# filters, was not faster.
FASTER = ("omniglot_convnet",)
# By precision, the pixels that a run must compute until it has regained the seconds of compilation.
# Other precisions were not measured.
WORTH = {"float32": 250_000_000, "mixed_bfloat16": 25_000_000, "mixed_float16": 25_000_000}


def of_training(recipe: Recipe) -> bool | str:
    """Returns the `jit_compile` of a training run."""
    tasks = recipe.meta_iterations * recipe.meta_batch_size
    return chosen(recipe, tasks * recipe.inner_steps * recipe.inner_batch_size)


def tasks_at_once(recipe: Recipe) -> int:
    """Returns the number of tasks in a meta-batch that can be computed at the same time."""
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
    """Returns the `jit_compile` of an evaluation of this number of tasks."""
    return chosen(recipe, tasks * recipe.eval_inner_steps * recipe.eval_inner_batch_size)


def chosen(recipe: Recipe, images: int) -> bool | str:
    """Returns the recipe's `jit_compile`. If it is "auto", a CPU and the images decide.

    Args:
        recipe: A `Recipe`.
        images: Integer, the number of images in all inner steps of the run.

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
