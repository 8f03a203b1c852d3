"""Figure 4 of the paper: test accuracy when the last minibatch overlaps the others."""

import dataclasses
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from keras_reptile.experiments.experiment_run import ExperimentRun
from keras_reptile.pictures.style import COLOURS, MARKERS, styled
from keras_reptile.recipes.recipe import Recipe

# The fields of `Recipe` that each curve or point sets.
SET_BY_CURVE = ("method", "minibatches", "tail_shots", "inner_steps", "inner_batch_size")


class Curve(NamedTuple):
    """A method with the way in which its minibatches are drawn.

    label: String, for the legend.
    method, minibatches, tail_shots: As in `Recipe`.
    """

    label: str
    method: str
    minibatches: str
    tail_shots: int = 0


CURVES = {
    "reptile_cycling": Curve("Reptile, cycling", "reptile", "cycling"),
    "reptile_replacement": Curve("Reptile, replacement", "reptile", "replacement"),
    "fomaml_separate": Curve("FOMAML, separate tail", "fomaml", "cycling", 5),
    "fomaml_shared": Curve("FOMAML, shared tail, cycling", "fomaml", "cycling"),
    "fomaml_shared_replacement": Curve("FOMAML, shared tail, replacement", "fomaml", "replacement"),
}

# Points of the panels: inner steps, images in a minibatch, and factors of the recipe's meta-step
# size. Panels (a) and (b) vary one of the first two and set the other to STEPS or BATCH.
INNER_STEPS, INNER_BATCH_SIZES, FACTORS = (2, 4, 5, 8), (10, 25, 50), (0.25, 1.0, 4.0)
STEPS, BATCH = 4, 25
# Panel (c) varies the meta-step size for these curves, with enough steps that the tail overlaps.
STEPS_OVERLAPPING = 8
CURVES_OVERLAPPING = ("reptile_cycling", "fomaml_separate", "fomaml_shared")

# By panel: the field that varies, its name on the axis, and the title.
PANELS = {
    "a": ("inner_steps", "inner steps", f"(a) minibatches of {BATCH} images"),
    "b": ("inner_batch_size", "images in a minibatch", f"(b) {STEPS} inner steps"),
    "c": ("meta_step_size", "meta-step size", f"(c) {STEPS_OVERLAPPING} steps of {BATCH} images"),
}
EXHAUSTED = "the minibatches are the support set, once"


def points(curve: str) -> dict[tuple, str]:
    """Returns the points `(inner steps, minibatch, factor)` of a curve, with their panels.

    Example:

    >>> points("fomaml_shared")[4, 25, 1.0]
    'ab'
    """
    in_panels = [(k, BATCH, 1.0, "a") for k in INNER_STEPS]
    in_panels += [(STEPS, b, 1.0, "b") for b in INNER_BATCH_SIZES]
    if curve in CURVES_OVERLAPPING:
        in_panels += [(STEPS_OVERLAPPING, BATCH, f, "c") for f in FACTORS]
    panels: dict[tuple, str] = {}
    for *point, panel in in_panels:
        panels[tuple(point)] = panels.get(tuple(point), "") + panel
    return panels


def runs(recipe: Recipe) -> dict[str, ExperimentRun]:
    """Returns the run of each point, by a name such as `fomaml_shared_k8_b25_e0.25`.

    First-order MAML takes the gradient g_k of the last minibatch at W_{k-1}. If k minibatches have
    more images than the support set, W_{k-1} was already fitted to images of the last minibatch.

    Args:
        recipe: A `Recipe`, the settings of all points.

    Returns:
        Dict of `ExperimentRun`, with the columns curve and panels.

    Example:

    >>> from keras_reptile.recipes import named
    >>> run = runs(named.get("tail_overlap"))["fomaml_separate_k4_b25_e0.25"]
    >>> run.recipe.method, run.recipe.tail_shots, run.columns["panels"]
    ('fomaml', 5, 'ab')

    Raises:
        ValueError: If training tasks have other ways than test tasks.

    Reference: [Nichol, Achiam, Schulman, 2018](https://arxiv.org/abs/1803.02999), section 6.3.
    """
    if recipe.ways_in_training != recipe.ways:
        raise ValueError(
            "The figure counts a training task's images with `ways`. Received: "
            f"train_ways={recipe.train_ways}, ways={recipe.ways}. Leave --train_ways out."
        )
    result = {}
    for name, curve in CURVES.items():
        for (k, batch, factor), panels in points(name).items():
            changed = dataclasses.replace(
                recipe,
                method=curve.method,
                minibatches=curve.minibatches,
                tail_shots=curve.tail_shots,
                inner_steps=k,
                inner_batch_size=batch,
                meta_step_size=factor * recipe.meta_step_size,
            )
            run_name = f"{name}_k{k}_b{batch}_e{changed.meta_step_size:g}"
            result[run_name] = ExperimentRun(changed, {"curve": name, "panels": panels})
    return result


@styled()
def picture(rows: list[dict[str, Any]], title: str) -> Figure:
    """Draws the final test accuracy against inner steps, minibatch and meta-step size.

    Bars are 95 % intervals over tasks. To the right of the grey line, a shared tail overlaps the
    other minibatches.

    Args:
        rows: List of dicts, the rows of results, see `sweep.sweep`.
        title: String, above the picture.
    """
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    figure.suptitle(title)
    for axes, panel in zip(figure.subplots(1, 3, sharey=True), PANELS, strict=True):
        _panel(axes, panel, [r for r in rows if r["measured"] == "final" and panel in r["panels"]])
    figure.axes[0].set_ylabel("test accuracy (%)")
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    labels = [n for n in (*(c.label for c in CURVES.values()), EXHAUSTED) if n in handles]
    figure.legend([handles[label] for label in labels], labels, loc="outside lower center", ncols=3)
    return figure


def _panel(axes, panel, rows) -> None:
    column, label, title = PANELS[panel]
    if rows and panel in "ab":
        support_set = int(rows[0]["ways"]) * int(rows[0]["train_shots"])
        whole = support_set / {"a": BATCH, "b": STEPS}[panel]
        axes.axvline(whole, color="grey", linestyle=":", label=EXHAUSTED)
    for i, (name, curve) in enumerate(CURVES.items()):
        own = sorted((r for r in rows if r["curve"] == name), key=lambda r: float(r[column]))
        if own:
            x = [float(r[column]) for r in own]
            mean, half = ([100 * float(r[c]) for r in own] for c in ("accuracy", "confidence_95"))
            axes.errorbar(
                x, mean, half, color=COLOURS[i], marker=MARKERS[i], capsize=3, label=curve.label
            )
    axes.set(title=title, xlabel=label)
    axes.grid(True)
    if panel == "c":
        axes.set_xscale("log")
    ticks = sorted({float(r[column]) for r in rows})
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
