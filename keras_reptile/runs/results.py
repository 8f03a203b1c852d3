"""Results of evaluations, in the format of log.csv, summary.json and `bin/evaluate`."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_reptile.evaluation import BOTH, Evaluation, evaluate, evaluate_both, evaluate_loss
from keras_reptile.files import provenance
from keras_reptile.files.atomic_file import finite, write_json
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.reptile_model import ReptileModel


def measure(
    recipe: Recipe,
    model: ReptileModel,
    episodes: tf.data.Dataset,
    verbose: int = 0,
    orientations: int = 1,
) -> dict[str, Any]:
    """Evaluates the accuracy over tasks of a classifier, or else their loss.

    Returns:
        Dict of the accuracy or loss, with its 95 % interval and the settings. The interval of a
        single task is `None`, and so is a mean loss that is not finite. `non_finite_tasks` is the
        number of tasks with predictions, or a loss, that are not finite.
    """
    how: dict[str, Any] = {"transductive": recipe.transductive, "verbose": verbose}
    if not model._is_classifier:
        loss = evaluate_loss(model, episodes, **how)
        return {
            "loss": finite(loss.loss),
            "confidence_95": finite(loss.confidence_95),
            "tasks": len(loss.losses),
            "non_finite_tasks": loss.non_finite_tasks,
            "shots": recipe.shots,
            "inner_steps": recipe.eval_inner_steps,
        }
    result = evaluate(model, episodes, orientations=orientations, **how)
    return _of_accuracy(recipe, result, recipe.transductive)


def measure_both(
    recipe: Recipe,
    model: ReptileModel,
    episodes: tf.data.Dataset,
    verbose: int = 0,
    orientations: int = 1,
) -> list[dict[str, Any]]:
    """Evaluates the inductive and the transductive accuracy over the same tasks."""
    results = evaluate_both(model, episodes, orientations=orientations, verbose=verbose)
    return [_of_accuracy(recipe, *pair) for pair in zip(results, BOTH.values(), strict=True)]


def _of_accuracy(recipe: Recipe, result: Evaluation, transductive: bool) -> dict[str, Any]:
    return {
        "accuracy": result.accuracy,
        "confidence_95": finite(result.confidence_95),
        "tasks": len(result.accuracies),
        "non_finite_tasks": result.non_finite_tasks,
        "ways": recipe.ways,
        "shots": recipe.shots,
        "transductive": transductive,
        "orientations": result.orientations,
    }


def write_record(
    path: Path,
    results: list[dict[str, Any]],
    recipe: Recipe,
    model: ReptileModel,
    how: dict[str, Any],
) -> None:
    """Writes the results with the meta-iteration, the settings, the versions and the machine."""
    content = {
        "results": results,
        "meta_iteration": model.meta_iteration,
        **how,
        "settings": dataclasses.asdict(recipe),
        **provenance.facts(),
    }
    write_json(path, content)


# The columns of log.csv that rank checkpoints: 1 if the highest value is the best, -1 if the
# lowest. The first column that a run has decides.
RANKED_BY = {"val_accuracy": 1, "val_loss_after": -1}


def best_row(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns the earliest row with the highest validation accuracy, or else with the lowest loss.

    Args:
        rows: List of dicts, rows of log.csv.

    Returns:
        One of the rows, or `None` if no row has a validation.

    Example:

    >>> best_row([{"val_loss_after": "2.0"}, {"val_loss_after": 1.0}, {"val_loss_after": 1.0}])
    {'val_loss_after': 1.0}
    """
    for column, sign in RANKED_BY.items():
        validated = [r for r in rows if r.get(column) not in (None, "") and _finite(r[column])]
        if validated:
            return max(validated, key=lambda row: sign * float(row[column]))
    return None


def score_of(row: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the part of a row of log.csv that its checkpoint keeps; `None` without validation.

    Example:

    >>> score_of({"meta_iteration": 9, "val_accuracy": 0.5, "val_loss_after": 2.0, "accuracy": 1.0})
    {'meta_iteration': 9, 'val_accuracy': 0.5, 'val_loss_after': 2.0}
    """
    if best_row([row]) is None:
        return None
    return finite({k: v for k, v in row.items() if k in ("meta_iteration", *RANKED_BY)})


def best_validation(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """Returns the description of the best checkpoint in summary.json.

    Example:

    >>> best_validation({"meta_iteration": "9", "val_accuracy": "0.5", "val_loss_after": "2.0"})
    {'meta_iteration': 9, 'accuracy': 0.5}
    """
    if row is None:
        return None
    name, column = "accuracy", "val_accuracy"
    if row.get(column) in (None, ""):
        name, column = "loss", "val_loss_after"
    return {"meta_iteration": int(row["meta_iteration"]), name: float(row[column])}


def _finite(value) -> bool:
    return math.isfinite(float(value))
