"""Exports a run's checkpoint."""

import os
from collections.abc import Sequence
from typing import Any

from keras_reptile.checkpoint import read_score
from keras_reptile.checks import check_choice
from keras_reptile.export import portable, saved_model
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs import own_layers
from keras_reptile.runs.evaluating import WHICH, load_chosen, read_run
from keras_reptile.runs.origin import RESUMED, later_parts
from keras_reptile.runs.other_ways import with_ways
from keras_reptile.runs.results import best_validation
from keras_reptile.runs.run_checks import check_checkpoint
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.run_length import HISTORY, have_same_end


def export_run(
    output_dir: str | os.PathLike,
    path: str | os.PathLike,
    *,
    which: str = "last",
    class_names: Sequence[str] | None = None,
    only_model: bool = False,
    overwrite: bool = False,
    orientations: int = 1,
) -> dict[str, Any]:
    """Exports a run's initialization, with a description of the run as metadata.

    Args:
        output_dir: String or path, the output directory of a training run.
        path: String or path of the directory to write.
        which: String, `"last"` for the newest checkpoint or `"best"` for the one with the best
            validation accuracy. Defaults to `"last"`.
        class_names: Sequence of strings, one for each output. Defaults to `None`, no names.
        only_model: Boolean, whether to write only the files that `keras_reptile.pretrained` loads,
            without the SavedModel. Defaults to `False`.
        overwrite: Boolean, whether to replace an earlier export. Defaults to `False`.
        orientations: Integer, the orientations in which the SavedModel solves a task, as in
            `ReptileModel.adapt`. Defaults to `1`.

    Returns:
        Dict, the metadata of the run.

    Raises:
        RunError: If there is no run, or its checkpoint cannot be read.
        ValueError: If the model cannot be exported, the names do not fit, the path is taken, there
            is no such choice of `which`, or `orientations` is not 1, 2, 4 or 8, or is given
            together with `only_model`.
    """
    check_choice("which", which, WHICH)
    if only_model and orientations != 1:
        raise ValueError(
            "`orientations` are those of a SavedModel. Received: "
            f"orientations={orientations}, only_model=True. Leave one of them out: `adapt` of "
            "`keras_reptile.pretrained` takes orientations."
        )
    if not only_model:
        saved_model.check_path(path)
    directory = RunDirectory(output_dir)
    run = read_run(directory)
    recipe = Recipe(**run["settings"])
    building.prepare(recipe)
    model = load_chosen(directory, which)
    check_checkpoint(recipe, model, directory.checkpoints)
    own_layers.warn_of_changes(directory, model.network)
    metadata = run_metadata(directory, run, model, which)
    model = with_ways(model, recipe.ways)
    if only_model:
        portable.export_portable(model, path, class_names, metadata, overwrite)
    else:
        model.export_learner(
            path,
            class_names=class_names,
            metadata=metadata,
            overwrite=overwrite,
            steps=run["settings"]["eval_inner_steps"],
            orientations=orientations,
        )
    return metadata


def run_metadata(directory: RunDirectory, run: dict, model, which: str) -> dict[str, Any]:
    """Returns the origin of an initialization, and its accuracy if it was tested.

    The accuracy in summary.json belongs to the last meta-iteration of the run as it was then. Other
    checkpoints have no accuracy.
    """
    settings, iteration = run["settings"], model.meta_iteration
    summary = directory.read_run("summary.json") or {}
    is_end = iteration == settings["meta_iterations"]
    of_this_end = is_end and bool(summary) and have_same_end(summary, run)
    best = _best_validation(directory, summary, iteration) if which == "best" else None
    return {
        "dataset": settings["dataset"],
        "images": building.describe_images(Recipe(**settings)),
        "ways": settings["ways"],
        "shots": settings["shots"],
        "meta_iteration": iteration,
        "checkpoint": which,
        "result": summary.get("result") if of_this_end else None,
        "best_validation": best,
        "settings": settings,
        # Only runs whose number of meta-iterations was changed have a history.
        **{name: run[name] for name in (HISTORY,) if name in run},
        "trained_with": _trained_with(run),
    }


def _best_validation(
    directory: RunDirectory, summary: dict[str, Any], iteration: int
) -> dict[str, Any] | None:
    """Returns the validation of the best checkpoint: its own, or for earlier versions the run's.

    It is `None` if a run that trains has replaced the checkpoint since it was loaded.
    """
    score = read_score(directory.best)
    found = best_validation(score) if score else summary.get("best_validation")
    same = isinstance(found, dict) and found.get("meta_iteration") == iteration
    return found if same else None


def _trained_with(run: dict[str, Any]) -> dict[str, Any]:
    """Returns the versions and the machine of a run, and those of later parts that differ."""
    first = {name: run.get(name) for name in ("versions", "machine")}
    later = later_parts(run)
    return {**first, RESUMED: later} if later else first
