"""Tables of other runs on Omniglot and on glyphs."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tables.files import link, record
from tables.full_runs import SHOTS, results
from tables.words import accuracy, duration, milliseconds, percent, table


def other_test_classes() -> str:
    found = record("other_test_classes")
    rows = [
        [mode, percent(of["accuracy"])]
        + [f"± {percent(of[f'confidence_95_over_{over}'])}" for over in ("tasks", "classes")]
        for mode, of in ((mode, found[mode]) for mode in ("inductive", "transductive"))
    ]
    return table(["5-way 1-shot", "accuracy in %", "95 %, over tasks", "95 %, over classes"], rows)


def loss_reduction() -> str:
    """Runs whose inner loss is the sum over a minibatch, and the mean."""
    rows = [
        ["5-way 1-shot, 100,000 meta-iterations"],
        ["5-way 5-shot, the same runs"],
        ["5-way 1-shot, 5,000 meta-iterations"],
        ["glyphs, 5-way 1-shot, 1,500 meta-iterations"],
    ]
    sums = [*(results(f"omniglot_5way_{shots}") for shots in SHOTS)]
    means = [*(results(f"omniglot_5way_{shots}_mean") for shots in SHOTS)]
    sums += [results("omniglot_5way_5000_sum"), [record("glyphs_sum")["result"]]]
    means += [record("omniglot_5way_5000")["evaluations"], [record("glyphs")["result"]]]
    for row, of_sum, of_mean in zip(rows, sums, means, strict=True):
        cells = [*map(accuracy, [*of_sum, *of_mean])]
        row += cells if len(cells) == 4 else [cells[0], "", cells[1], ""]
    header = ["accuracy in %", "sum", "sum, transductive", "mean", "mean, transductive"]
    return table(header, rows)


def shared_head() -> str:
    found = record("shared_head")
    rows = [[head, accuracy(found[head]["result"])] for head in ("separate", "shared")]
    return table(["5-way 1-shot, inductive, 1,000 test tasks", "accuracy in %"], rows)


def fast() -> str:
    runs = {
        "`omniglot_5way_fast`": "omniglot_5way_fast_1_shot",
        "the same with queries, 39,000 meta-iterations": "omniglot_5way_fast_39000_1_shot",
        "the same with queries, 30,000 meta-iterations": "omniglot_5way_fast_30000_1_shot",
        "`omniglot_5way`": "omniglot_5way_1_shot",
    }
    return table(["5-way 1-shot, accuracy in %", "inductive", "transductive", ""], one_shot(runs))


def one_shot(runs: dict[str, str]) -> list[list[str]]:
    """A row for each file of 1 shot, with a link to it."""
    return [
        [name, *map(accuracy, results(file)), link("file", f"{file}.json")]
        for name, file in runs.items()
    ]


def fast_cost() -> str:
    rows = [
        [
            f"`{row['recipe']}`",
            milliseconds(row["meta_step_in_fit_ms"]),
            f"{row['meta_iterations']:,}",
            duration(3600 * row["all_meta_iterations_hours"]),
        ]
        for row in record("fast_and_full")["recipes"]
    ]
    return table(["recipe", "a meta-iteration in `fit`", "meta-iterations", "all of them"], rows)


def omniglot_5000() -> str:
    mean = "omniglot_5way_5000"
    rows = one_shot({"the recipe": f"{mean}_sum"})
    averaged = [*map(accuracy, record(mean)["evaluations"]), link("file", f"{mean}.json")]
    rows += [["losses averaged", *averaged]]
    rows += one_shot({"10 inner steps of 5 images instead of 5 of 10": f"{mean}_batches_of_5"})
    authors = record("authors_5000")
    cells = [percent(authors[mode], 1) for mode in ("inductive", "transductive")]
    rows += [["the authors' program", *cells, link("file", "authors_5000.json")]]
    return table(["5-way 1-shot, accuracy in %", "inductive", "transductive", ""], rows)


def inner_rate() -> str:
    runs = {
        "40,000 meta-iterations at 5e-3": "omniglot_5way_40000_rate_5e-3",
        "100,000 meta-iterations at 1e-3": "omniglot_5way_1_shot",
    }
    return table(["5-way 1-shot, accuracy in %", "inductive", "transductive", ""], one_shot(runs))


def within_alphabet() -> str:
    """Rows of the tasks that a program draws."""
    runs = {
        f"characters of {words}{turned}": f"omniglot_background_{tasks}{ending}"
        for tasks, words in (
            ("any", "any evaluation alphabets"),
            ("within_alphabet", "one evaluation alphabet"),
        )
        for turned, ending in (("", ""), (", in four orientations", "_4_orientations"))
    }
    header = ["20-way 1-shot, accuracy in %", "inductive", "transductive", ""]
    return table(header, one_shot(runs))


def omniglot_runs() -> str:
    """Errors on the fixed tasks, of others and of this package."""
    found, file = record("omniglot_runs"), link("file", "omniglot_runs.json")
    rows = [
        [name, other["error"], "", other["source"]]
        for name, other in record("other_papers")["omniglot_runs_errors"].items()
    ]
    for row in found["rows"]:
        turned = "four orientations" if row["orientations"] == 4 else "one orientation"
        rows.append([f"keras_reptile, {turned}", *map(error, row["results"]), file])
    return table(["error in % on the 20 fixed tasks", "inductive", "transductive", ""], rows)


def error(result: dict[str, Any]) -> str:
    """An error in percent with its interval, from a result with an accuracy."""
    return accuracy(result | {"accuracy": 1 - result["accuracy"]})


def error_on(tasks: str) -> str:
    """The inductive error on tasks of evaluation alphabets."""
    inductive, _ = results(f"omniglot_background_{tasks}")
    return f"{percent(1 - inductive['accuracy'], 1)} %"


def baseline_error() -> str:
    return f"{percent(record('omniglot_runs')['baseline_error'])} %"


def glyphs() -> str:
    """The last lines that `bin/train` prints."""
    run = record("glyphs")
    result, rate = run["result"], run["meta_iterations_per_second"]
    iterations = run["settings"]["meta_iterations"]
    found = f"{percent(result['accuracy'])} % ± {percent(result['confidence_95'])}"
    kind = f"{result['ways']}-way {result['shots']}-shot, inductive, {result['tasks']} tasks"
    lines = [
        "```",
        f"Trained {iterations:,} meta-iterations in {run['seconds']:.0f} s ({rate:.1f} a second, "
        "validation included).",
        f"Test accuracy {found} ({kind}).",
        "In runs/glyphs: checkpoints/, log.csv, curve.png, tasks.png, summary.json.",
        "Evaluate: bin/evaluate --checkpoint=runs/glyphs --both",
        "Export:   bin/export --checkpoint=runs/glyphs --output=exported/glyphs",
        "```",
    ]
    return "\n".join(lines)


FUNCTIONS = (
    other_test_classes,
    loss_reduction,
    fast,
    fast_cost,
    omniglot_5000,
    inner_rate,
    shared_head,
    within_alphabet,
    omniglot_runs,
    glyphs,
)
TABLES: dict[str, Callable[[], str]] = {f.__name__: f for f in FUNCTIONS}
VALUES: dict[str, Callable[[], str]] = {
    "baseline_error": baseline_error,
    **{f"error_{tasks}": partial(error_on, tasks) for tasks in ("any", "within_alphabet")},
}
