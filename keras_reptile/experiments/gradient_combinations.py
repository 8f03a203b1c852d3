"""Figure 3 of the paper: meta-learning with different sums of the inner loop's gradients."""

import dataclasses
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from keras_reptile.experiments.experiment_run import ExperimentRun
from keras_reptile.pictures.style import COLOURS, styled, thousands
from keras_reptile.recipes.recipe import Recipe

# The fields of `Recipe` that each curve sets.
SET_BY_CURVE = ("method", "inner_steps", "train_shots", "tail_shots", "minibatches")


class Combination(NamedTuple):
    """A sum of the gradients g_1 .. g_k of k inner steps.

    label: String, the sum as a formula of matplotlib.
    method: String, `"reptile"` for g_1 + .. + g_k, `"fomaml"` for g_k alone.
    inner_steps: Integer, k.
    divisor: Integer, divides the sum.
    """

    label: str
    method: str
    inner_steps: int
    divisor: int = 1


# The keys are the names of the authors' checkpoints, in the order of the legend.
COMBINATIONS = {
    "g1": Combination("$g_1$", "reptile", 1),
    "g2": Combination("$g_2$", "fomaml", 2),
    "half_g1_g2": Combination(r"$\frac{1}{2}(g_1+g_2)$", "reptile", 2, 2),
    "g1_g2": Combination("$g_1+g_2$", "reptile", 2),
    "g3": Combination("$g_3$", "fomaml", 3),
    "third_g1_g2_g3": Combination(r"$\frac{1}{3}(g_1+g_2+g_3)$", "reptile", 3, 3),
    "g1_g2_g3": Combination("$g_1+g_2+g_3$", "reptile", 3),
    "g4": Combination("$g_4$", "fomaml", 4),
    "fourth_g1_g2_g3_g4": Combination(r"$\frac{1}{4}(g_1+g_2+g_3+g_4)$", "reptile", 4, 4),
    "g1_g2_g3_g4": Combination("$g_1+g_2+g_3+g_4$", "reptile", 4),
}


def runs(recipe: Recipe) -> dict[str, ExperimentRun]:
    """Returns the run of each combination, by its name.

    With inner SGD of learning rate a, and g_j the gradient of minibatch j's loss at W_{j-1}:

        theta - W_k = a * (g_1 + .. + g_k)    Reptile
        W_{k-1} - W_k = a * g_k               FOMAML

    A mean of gradients is a sum with a smaller meta-step size. A task has as many support images as
    its k minibatches take, so minibatches are disjoint.

    Args:
        recipe: A `Recipe`, the settings of all curves. `meta_step_size` is that of the sums.

    Returns:
        Dict of `ExperimentRun`.

    Raises:
        ValueError: If minibatches cannot have equally many images of each class.

    Example:

    >>> from keras_reptile.recipes import named
    >>> run = runs(named.get("gradient_combinations"))["half_g1_g2"]
    >>> run.recipe.method, run.recipe.inner_steps, run.recipe.meta_step_size
    ('reptile', 2, 0.125)

    Reference: [Nichol, Achiam, Schulman, 2018](https://arxiv.org/abs/1803.02999), section 6.2.
    """
    field, ways = recipe.field_of_training_ways, recipe.ways_in_training
    if recipe.inner_batch_size % ways:
        raise ValueError(
            f"For disjoint minibatches `inner_batch_size` must be a multiple of `{field}`. "
            f"Received: inner_batch_size={recipe.inner_batch_size}, {field}={ways}. "
            f"Use a multiple such as --inner_batch_size={5 * ways}."
        )
    return {
        name: ExperimentRun(_of(recipe, c), {"curve": name}) for name, c in COMBINATIONS.items()
    }


def _of(recipe: Recipe, combination: Combination) -> Recipe:
    k = combination.inner_steps
    return dataclasses.replace(
        recipe,
        method=combination.method,
        inner_steps=k,
        train_shots=k * recipe.inner_batch_size // recipe.ways_in_training,
        meta_step_size=recipe.meta_step_size / combination.divisor,
        meta_step_size_final=recipe.meta_step_size_final / combination.divisor,
    )


@styled()
def picture(rows: list[dict[str, Any]], title: str) -> Figure:
    """Draws test accuracy against meta-iterations, with a curve for each combination.

    The colour is the number of gradients. The line of g_k alone is dotted, that of a mean is dashed
    and that of a sum is solid. Bands are 95 % intervals over tasks. A run without a curve is shown
    by its final accuracy.

    Args:
        rows: List of dicts, the rows of results, see `sweep.sweep`.
        title: String, above the picture.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for name, combination in COMBINATIONS.items():
        own = [r for r in rows if r["run"] == name]
        if own:
            _curve(axes, [r for r in own if r["measured"] == "curve"] or own, combination)
    axes.set(title=title, xlabel="meta-iterations", ylabel="test accuracy (%)")
    axes.grid(True)
    thousands(axes.xaxis)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _curve(axes, rows, combination) -> None:
    x = [int(r["meta_iteration"]) for r in rows]
    mean = [100 * float(r["accuracy"]) for r in rows]
    half = [100 * float(r["confidence_95"]) for r in rows]
    line = ":" if combination.method == "fomaml" else "--" if combination.divisor > 1 else "-"
    colour = COLOURS[combination.inner_steps - 1]
    axes.plot(x, mean, line, color=colour, marker=".", label=combination.label)
    low, high = ([m + s * h for m, h in zip(mean, half, strict=True)] for s in (-1, 1))
    axes.fill_between(x, low, high, color=colour, alpha=0.08, linewidth=0)
