"""Tables of accuracies on Omniglot, and of the paper's."""

from collections.abc import Iterable
from typing import Any

from tables.files import link, record
from tables.words import accuracy, duration, milliseconds, seconds, table

SHOTS = ("1_shot", "5_shots")
# The full 5-way runs: the names of their files, by what the command has beside the recipe.
FULL = {
    "": "omniglot_5way",
    "--task_order=serial": "omniglot_5way_serial",
    "--seed=1": "omniglot_5way_seed_1",
    "--seed=1 --split_seed=1": "omniglot_5way_split_1",
}
FOUR_CELLS = ("1-shot", "1-shot, transductive", "5-shot", "5-shot, transductive")


def results(name: str) -> list[dict[str, Any]]:
    """Inductive and transductive result of a file that `bin/evaluate --both --record` wrote."""
    found = record(name)["results"]
    if [result["transductive"] for result in found] != [False, True]:
        raise ValueError(f"{name}.json must hold an inductive and a transductive result.")
    return found


def four(run: str) -> list[dict[str, Any]]:
    """A run's results in the order of `FOUR_CELLS`."""
    return [result for shots in SHOTS for result in results(f"{run}_{shots}")]


def by_mode(run: str) -> Iterable[list[str]]:
    """The cells of 1 and 5 shots, inductively, then transductively."""
    one, five = (results(f"{run}_{shots}") for shots in SHOTS)
    return [[accuracy(a), accuracy(b)] for a, b in zip(one, five, strict=True)]


def label(flags: str) -> str:
    return f"with `{flags}`" if flags else "keras_reptile"


def headline() -> str:
    paper = record("paper")["omniglot"]
    (own, own_transductive) = by_mode("omniglot_5way")
    rows = [
        ["the paper", *paper["Reptile"][:2]],
        ["keras_reptile", *own],
        ["the paper, transductive", *paper["Reptile, transductive"][:2]],
        ["keras_reptile, transductive", *own_transductive],
    ]
    return table(["accuracy in %", "5-way 1-shot", "5-way 5-shot"], rows)


def paper_omniglot() -> str:
    found = record("paper")
    names = ["accuracy in %", "5-way 1-shot", "5-way 5-shot", "20-way 1-shot", "20-way 5-shot"]
    rows = [[name, *cells] for name, cells in found["omniglot"].items()]
    return table(names, [*rows, *re_runs()])


def re_runs() -> list[list[str]]:
    found = record("paper")["re_runs"]["omniglot"]
    return [[f"{name}, run again by others", *map(band, bands)] for name, bands in found.items()]


def band(ends: list[float]) -> str:
    return "–".join(f"{end:.2f}" for end in ends)


def paper_mini_imagenet() -> str:
    rows = [[name, *cells] for name, cells in record("paper")["mini_imagenet"].items()]
    return table(["5-way, accuracy in %", "1-shot", "5-shot"], rows)


def omniglot_5way() -> str:
    paper = record("paper")["omniglot"]
    of_paper = [c for pair in zip(paper["Reptile"], paper["Reptile, transductive"]) for c in pair]  # noqa: B905
    rows = [["the paper", *of_paper[:4]]]
    rows += [[label(flags), *map(accuracy, four(run))] for flags, run in FULL.items()]
    return table(["5-way, accuracy in %", *FOUR_CELLS], rows)


def omniglot_5way_files() -> str:
    return table(["run", "training", "files"], [files_of(*each) for each in FULL.items()])


def files_of(flags: str, run: str) -> list[str]:
    found = [("1 shot", "_1_shot.json"), ("5 shots", "_5_shots.json"), ("training", ".json")]
    links = [link(text, run + ending) for text, ending in [*found, ("log", ".csv")]]
    return [label(flags), seconds(record(run)["seconds"]), ", ".join(links)]


def against_re_runs() -> str:
    """Where each cell lies beside the lowest and highest of the re-runs."""
    found = record("paper")["re_runs"]["omniglot"]
    bands = [b for pair in zip(*found.values(), strict=True) for b in pair][:4]
    rows = [
        [label(flags), *(beside(100 * r["accuracy"], b) for r, b in zip(four(run), bands, strict=True))]
        for flags, run in FULL.items()
    ]
    ranges = ["range of the re-runs", *map(band, bands)]
    return table(["5-way", *FOUR_CELLS], [ranges, *rows])


def beside(percent: float, ends: list[float]) -> str:
    """In words where a number lies beside a range, both rounded to two digits."""
    low, high = ends
    found = round(percent, 2)
    if found < low:
        return f"{low - found:.2f} below"
    return f"{found - high:.2f} above" if found > high else "within"


def other_test_classes() -> str:
    found = record("other_test_classes")
    rows = [
        [mode, f"{100 * found[mode]['accuracy']:.2f}"]
        + [f"± {100 * found[mode][f'confidence_95_over_{over}']:.2f}" for over in ("tasks", "classes")]
        for mode in ("inductive", "transductive")
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


def omniglot_20way() -> str:
    paper = record("paper")["omniglot"]
    inductive, transductive = by_mode("omniglot_20way_10000")
    rows = [
        ["the paper, 200,000 meta-iterations", *paper["Reptile"][2:]],
        ["10,000 meta-iterations", *inductive],
        ["the paper, 200,000, transductive", *paper["Reptile, transductive"][2:]],
        ["10,000, transductive", *transductive],
    ]
    return table(["accuracy in %", "20-way 1-shot", "20-way 5-shot"], rows)


def omniglot_5000() -> str:
    mean = "omniglot_5way_5000"
    rows = one_shot({"the recipe": f"{mean}_sum"})
    rows += [["losses averaged", *map(accuracy, record(mean)["evaluations"]), link("file", f"{mean}.json")]]
    rows += one_shot({"10 inner steps of 5 images instead of 5 of 10": f"{mean}_batches_of_5"})
    authors = record("authors_5000")
    cells = [f"{100 * authors[mode]:.1f}" for mode in ("inductive", "transductive")]
    rows += [["the authors' program", *cells, link("file", "authors_5000.json")]]
    return table(["5-way 1-shot, accuracy in %", "inductive", "transductive", ""], rows)


def inner_rate() -> str:
    runs = {
        "40,000 meta-iterations at 5e-3": "omniglot_5way_40000_rate_5e-3",
        "100,000 meta-iterations at 1e-3": "omniglot_5way_1_shot",
    }
    return table(["5-way 1-shot, accuracy in %", "inductive", "transductive", ""], one_shot(runs))


def glyphs() -> str:
    """The last lines that `bin/train` prints."""
    run = record("glyphs")
    result, rate = run["result"], run["meta_iterations_per_second"]
    iterations = run["settings"]["meta_iterations"]
    found = f"{100 * result['accuracy']:.2f} % ± {100 * result['confidence_95']:.2f}"
    kind = f"{result['ways']}-way {result['shots']}-shot, inductive, {result['tasks']} tasks"
    lines = [
        "```",
        f"Trained {iterations:,} meta-iterations in {run['seconds']:.0f} s ({rate:.1f} a second, "
        "validation included).",
        f"Test accuracy {found} ({kind}).",
        "In runs/glyphs: checkpoints/, tensorboard/, log.csv, curve.png, summary.json.",
        "```",
    ]
    return "\n".join(lines)


TABLES = {
    f.__name__: f
    for f in (
        headline,
        paper_omniglot,
        paper_mini_imagenet,
        omniglot_5way,
        omniglot_5way_files,
        against_re_runs,
        other_test_classes,
        loss_reduction,
        fast,
        fast_cost,
        omniglot_20way,
        omniglot_5000,
        inner_rate,
        glyphs,
    )
}
VALUES: dict = {}
