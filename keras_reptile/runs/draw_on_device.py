"""Where the training tasks of a run are drawn, and how many meta-iterations are one program."""

from typing import Any

import tensorflow as tf

from keras_reptile.kernels.row_sums import largest_divisor
from keras_reptile.recipes.recipe import Recipe

DRAW_ON_DEVICE: dict[str, bool | str] = {"auto": "auto", "true": True, "false": False}
# A signal is answered after this many meta-iterations at most.
TOGETHER = 10


def choose(recipe: Recipe, model: Any, episodes: tf.data.Dataset) -> str:
    """Sets where a `ReptileModel` draws the training tasks. Returns a sentence for the user.

    It is "" if the recipe chooses the host, or if "auto" finds only a CPU.

    Raises:
        ValueError: If the recipe demands that the device draws, and it cannot.
    """
    wanted, steps = DRAW_ON_DEVICE[recipe.draw_on_device], together(recipe.checkpoint_every)
    model.set_execution(draw_on_device=wanted, steps_on_device=steps)
    return str(model._task_source(episodes))


def together(steps: int) -> int:
    """Returns the number of meta-iterations in one program. It divides those of an epoch.

    Example:

    >>> together(1000), together(14), together(11)
    (10, 7, 1)
    """
    return largest_divisor(steps, TOGETHER)
