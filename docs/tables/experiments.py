"""Tables of the paper's figures, of our study, and of the examples."""

from collections.abc import Callable
from functools import partial
from statistics import mean
from typing import Any

from tables.files import final_rows, record
from tables.words import accuracy, loss, percent, seconds, table

OVERLAP = {
    "reptile_cycling": "Reptile, cycling",
    "reptile_replacement": "Reptile, replacement",
    "fomaml_separate": "FOMAML, separate tail",
    "fomaml_shared": "FOMAML, shared tail",
}
# Of each panel of the paper's figure 4: the column that varies, and what all its points share.
PANELS = {
    "a": ("inner_steps", "inner steps", {"inner_batch_size": "25", "meta_step_size": 0.25}),
    "b": (
        "inner_batch_size",
        "images in a minibatch",
        {"inner_steps": "4", "meta_step_size": 0.25},
    ),
    "c": ("meta_step_size", "meta-step size", {"inner_steps": "8", "inner_batch_size": "25"}),
}
ACTIVATIONS = ("relu", "tanh")
Row = dict[str, Any]


def sinusoid() -> str:
    rows = [
        [name, *map(loss, found["errors"].values()), taken(found)]
        for name, found in record("sinusoid")["methods"].items()
    ]
    steps = ["before", "8 steps", "16 steps", "32 steps"]
    return table(["mean squared error", *steps, "training"], rows)


def sinusoid_trials() -> str:
    """A row for each recipe and meta-step size, a column for each activation."""
    found: dict[tuple, dict[str, str]] = {}
    for row in record("sinusoid_trials")["rows"]:
        cells = found.setdefault((row["recipe"], row["meta_step_size"]), {})
        cells[row["network"]] = loss(row) if row["loss"] and row["loss"] < 1000 else "diverged"
    rows = [
        [f"`{recipe}`", f"{size:g}", *(cells.get(f"sine_mlp_{name}", "") for name in ACTIVATIONS)]
        for (recipe, size), cells in found.items()
    ]
    return table(["recipe", "meta-step size", "ReLU", "tanh"], rows)


def taken(found: Row) -> str:
    return seconds(found["seconds"]) if "seconds" in found else ""


def gradient_combinations() -> str:
    rows = final_rows("gradient_combinations")
    cells = [[f"`{row['curve']}`", accuracy(row, 1), seconds(row["seconds"])] for row in rows]
    return table(["sum", "accuracy in %", "training"], cells)


def tail_overlap(panel: str) -> str:
    field, name, shared = PANELS[panel]
    found = [row for row in final_rows("tail_overlap") if panel in row["panels"]]
    if any(row[key] != value for row in found for key, value in shared.items()):
        raise ValueError(f"Points of panel {panel} must share {shared}. Received: {found}.")
    values = sorted({float(row[field]) for row in found})
    curves = [curve for curve in OVERLAP if curve in {row["curve"] for row in found}]
    rows = [[OVERLAP[curve], *cells_at(found, curve, field, values)] for curve in curves]
    return table([name, *(f"{value:g}" for value in values), "training"], rows)


def cells_at(found: list[Row], curve: str, field: str, values: list[float]) -> list[str]:
    """A curve's accuracy at each value of a field, and the seconds of all of them."""
    points = {float(row[field]): row for row in found if row["curve"] == curve}
    cells = [accuracy(points[value], 1) for value in values]
    return [*cells, ", ".join(f"{points[value]['seconds']:,.0f}" for value in values) + " s"]


def study() -> str:
    by_curve: dict[str, list] = {}
    for row in final_rows("study"):
        by_curve.setdefault(row["curve"], []).append(row)
    paper = mean_of(by_curve["paper"])
    rows = [
        [f"`{curve}`", *map(accuracy, runs), *beside(mean_of(runs), paper)]
        for curve, runs in by_curve.items()
    ]
    seeds = [f"seed {row['seed']}" for row in by_curve["paper"]]
    header = ["transductive accuracy in %, 1,000 test tasks", *seeds, "mean", "beside `paper`"]
    return table(header, rows)


def mean_of(runs: list[Row]) -> float:
    return 100 * mean(row["accuracy"] for row in runs)


def beside(found: float, reference: float) -> list[str]:
    """A number and what it is more than the reference."""
    return [f"{found:.1f}", f"{found - reference:+.1f}"]


def new_alphabet() -> str:
    names = {"meta-learned": "the meta-learned initialization", "from scratch": "random weights"}
    curves = record("new_alphabet")["curves"]
    rows = [
        [f"from {words}", *(percent(curve[name]["accuracy"][-1], 1) for curve in curves.values())]
        for name, words in names.items()
    ]
    shots = [f"{n} shot{'s' if n != '1' else ''}" for n in curves]
    steps = curves["1"]["meta-learned"]["steps"][-1]
    return table([f"accuracy in % after {steps} steps", *shots], rows)


def pool_of_mini_imagenet() -> str:
    (found,) = record("episodes_mini_imagenet")["pools"]
    size = found["images"] * 84 * 84 * 3 / 1e6
    cells = [f"{size:,.0f} MB", f"{found['memory_mb_more']:,.0f} MB"]
    cells = [f"{found['images']:,}", *cells, f"{found['episodes_per_second']:,.0f}"]
    return table(["images", "the pool", "peak of memory higher by", "episodes a second"], [cells])


def other_data() -> str:
    """The examples of text, series, several inputs and a backbone."""

    def cell(row: dict[str, Any], when: str) -> str:
        value, half = row[when]
        if row["measure"] == "accuracy":
            return f"{percent(value, 1)} % ± {percent(half, 1)}"
        return f"{value:.4f} ± {half:.4f}"

    header = ["program", "", "measure", "before meta-training", "after it"]
    return table(
        header,
        [
            [
                f"`{row['program']}`",
                row["case"],
                row["measure"],
                cell(row, "before"),
                cell(row, "after"),
            ]
            for row in record("other_data")["rows"]
        ],
    )


TABLES: dict[str, Callable[[], str]] = {
    f.__name__: f
    for f in (
        sinusoid,
        sinusoid_trials,
        gradient_combinations,
        study,
        new_alphabet,
        pool_of_mini_imagenet,
        other_data,
    )
}
TABLES |= {f"tail_overlap_{panel}": partial(tail_overlap, panel) for panel in PANELS}
VALUES: dict[str, Callable[[], str]] = {}
