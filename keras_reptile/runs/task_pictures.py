"""A picture of a run's first test tasks, with the predictions of the trained network."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_reptile.checks import shown
from keras_reptile.episodes.class_pool import ClassPool
from keras_reptile.files.atomic_file import explained
from keras_reptile.pictures.style import save
from keras_reptile.pictures.task import plot_tasks
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs.run_directory import RunDirectory

FILE = "tasks.png"
# So many tasks are drawn. Longer class names would run into each other.
TASKS = 3
LONGEST_NAME = 10


def has_images(pool: Any) -> bool:
    """Returns whether a pool contains images that can be drawn."""
    shape = pool.image_shape if isinstance(pool, ClassPool) else ()
    return len(shape) == 3 and shape[-1] in (1, 3, 4)


def draw_tasks(
    recipe: Recipe, directory: RunDirectory, pool: ClassPool, model: ReptileModel, writer: Any
) -> None:
    """Writes tasks.png, and the same picture for TensorBoard.

    Args:
        recipe: The run's `Recipe`.
        directory: Its `RunDirectory`.
        pool: The `ClassPool` of its test classes.
        model: The trained `ReptileModel`.
        writer: The `tf.summary.SummaryWriter` of its TensorBoard logs.
    """
    episode = next(iter(building.evaluation_episodes(recipe, pool, min(TASKS, recipe.test_tasks))))
    # Eagerly: a graph for these few tasks would take longer to make than to run.
    _, predictions = model.adapt_and_predict(episode)
    names = [class_names(pool, row) for row in episode["classes"].numpy()]
    path = directory.path / FILE
    save(plot_tasks(episode, predictions.numpy(), names), path)
    with explained(directory.tensorboard), writer.as_default(step=model.meta_iteration):
        tf.summary.image("test tasks", tf.io.decode_png(path.read_bytes())[None])
        writer.flush()


def class_names(pool: ClassPool, positions: np.ndarray) -> list[str] | None:
    """Returns the names of a task's classes; `None` if one of them cannot be written.

    It may be too long for its column, or have characters that the font lacks, such as Chinese ones.
    """
    names = [shown(pool.names[position]) for position in positions]
    fit = max(map(len, names)) <= LONGEST_NAME and set().union(*names) <= characters()
    return names if fit else None


def characters() -> set[str]:
    """Returns all characters that the font of pictures has."""
    # Imported here because matplotlib takes half a second, and training does not need it.
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    return {*map(chr, font.get_charmap())}
