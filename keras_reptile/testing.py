"""Measuring a finished run on other tasks than those of its summary."""

import dataclasses
import os
from typing import Any

from keras_reptile import building
from keras_reptile.networks import check_positive
from keras_reptile.recipes import Recipe, check_fields
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.results import measure
from keras_reptile.run_directory import RunDirectory, RunError, load_checkpoint
from keras_reptile.training import bar_verbosity, check_outputs


def test(
    output_dir: str | os.PathLike,
    *,
    which: str = "last",
    split: str = "test",
    tasks: int = 1000,
    seed: int = 0,
    data_dir: str | None = None,
    verbose: int = 1,
    **overrides: Any,
) -> dict[str, Any]:
    """Accuracy of a run's initialization over tasks of unseen classes, or its loss on fresh sines.

    Args:
        output_dir: String or path, the output directory of a training run.
        which: String, `"last"` for the newest checkpoint or `"best"` for the one with the best
            validation. Defaults to `"last"`.
        split: String, `"test"`, `"validation"` or `"train"`. Defaults to `"test"`.
        tasks: Integer. Defaults to `1000`.
        seed: Integer, decides the tasks. Defaults to `0`.
        data_dir: String, TFDS's data directory. Defaults to `None`, TFDS's own choice.
        verbose: Integer, 1 shows a progress bar. Defaults to `1`.
        **overrides: Fields of `Recipe` that replace the run's, such as `shots`.

    Returns:
        Dict of accuracy and confidence_95 in [0, 1], tasks, ways, shots, transductive; of sine
        waves loss, the mean squared error, and confidence_95, tasks, shots, inner_steps.

    Raises:
        RunError: If there is no run, or its checkpoint cannot be read or is of another network.
        ValueError: If the numbers do not fit together or the data cannot be read.
    """
    check_positive("tasks", tasks)
    directory = RunDirectory(output_dir)
    recipe = _recipe(directory, overrides)
    building.set_precision(recipe)
    model = load_chosen(directory, which)
    check_outputs(recipe, model)
    pool = getattr(building.load_pools(recipe, data_dir), split)
    episodes = building.evaluation_episodes(recipe, pool, tasks, seed)
    return measure(recipe, model, episodes, bar_verbosity(verbose))


def _recipe(directory: RunDirectory, overrides: dict[str, Any]) -> Recipe:
    run = directory.read_json("run.json")
    if run is None:
        raise RunError(f"{directory.path} holds no run: there is no run.json in it.")
    recipe = Recipe(**run["settings"])
    check_fields(recipe.dataset, overrides)
    return dataclasses.replace(recipe, **overrides)


def load_chosen(directory: RunDirectory, which: str) -> ReptileModel:
    """The newest checkpoint of a run, or the best one."""
    if which == "best" and directory.best.exists():
        return load_checkpoint(directory.best)
    if which == "best":
        raise RunError(f"{directory.path} holds no best checkpoint: the run did not validate.")
    model = directory.restore()
    if model is None:
        raise RunError(f"{directory.path} holds no checkpoint yet.")
    return model
