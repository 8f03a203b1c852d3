"""Tables of the full Omniglot runs, and of the paper."""

from collections.abc import Callable
from typing import Any

from tables.files import link, record
from tables.words import accuracy, seconds, table

SHOTS = ("1_shot", "5_shots")
# The full 5-way runs: the names of their files, by what the command has beside the recipe.
FULL = {
    "": "omniglot_5way",
    "--task_order=serial": "omniglot_5way_serial",
    "--seed=1": "omniglot_5way_seed_1",
    "--seed=1 --split_seed=1": "omniglot_5way_split_1",
}
OF_20_WAYS = "omniglot_20way"
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


def alternating(inductive: list, transductive: list) -> list:
    """One list of the two, in the order of `FOUR_CELLS`."""
    return [cell for pair in zip(inductive, transductive, strict=True) for cell in pair]


def by_mode(run: str) -> list[list[str]]:
    """The cells of 1 and 5 shots, inductively, then transductively."""
    one, five = (results(f"{run}_{shots}") for shots in SHOTS)
    return [[accuracy(a), accuracy(b)] for a, b in zip(one, five, strict=True)]


def label(flags: str) -> str:
    return f"with `{flags}`" if flags else "keras_reptile"


# The row of the settings of a search, with tasks in several orientations.
BETTER = "[searched settings, turned tasks](docs/experiments/recipe_search.md#several-orientations)"


def headline() -> str:
    paper = record("paper")
    inductive, transductive = (
        [*of_5_ways, *of_20_ways]
        for of_5_ways, of_20_ways in zip(by_mode(FULL[""]), by_mode(OF_20_WAYS), strict=True)
    )
    turned = (results(f"omniglot_{n}way_best_4_orientations")[1] for n in (5, 20))
    better = [cell for result in turned for cell in (accuracy(result), "")]
    rows = [
        ["the paper", *paper["omniglot"]["Reptile"]],
        ["keras_reptile", *inductive],
        ["the paper, transductive", *paper["omniglot"]["Reptile, transductive"]],
        ["keras_reptile, transductive", *transductive],
        [f"{BETTER}, transductive", *better],
    ]
    return table(["accuracy in %", *paper["omniglot_columns"]], rows)


def paper_omniglot() -> str:
    found = record("paper")
    rows = [[name, *cells] for name, cells in found["omniglot"].items()]
    return table(["accuracy in %", *found["omniglot_columns"]], [*rows, *re_runs()])


def re_runs() -> list[list[str]]:
    found = record("paper")["re_runs"]["omniglot"]
    return [[f"{name}, run again by others", *map(band, bands)] for name, bands in found.items()]


def band(ends: list[float]) -> str:
    return " to ".join(f"{end:.2f}" for end in ends)


def omniglot_5way() -> str:
    paper = record("paper")["omniglot"]
    rows = [["the paper", *alternating(paper["Reptile"], paper["Reptile, transductive"])[:4]]]
    rows += [[label(flags), *map(accuracy, four(run))] for flags, run in FULL.items()]
    return table(["5-way, accuracy in %", *FOUR_CELLS], rows)


def omniglot_20way() -> str:
    """The 20-way run's cells, the paper's, and where ours lie beside the re-runs."""
    found = record("paper")
    paper, bands = (
        alternating(of["Reptile"], of["Reptile, transductive"])[4:]
        for of in (found["omniglot"], found["re_runs"]["omniglot"])
    )
    own = four(OF_20_WAYS)
    rows = [
        ["the paper", *paper],
        ["range of the re-runs", *map(band, bands)],
        ["keras_reptile", *map(accuracy, own)],
        ["beside the re-runs", *map(beside, map(in_percent, own), bands)],
    ]
    return table(["20-way, accuracy in %", *FOUR_CELLS], rows)


def omniglot_20way_files() -> str:
    return table(["run", "training", "files"], [files_of("", OF_20_WAYS)])


def omniglot_5way_files() -> str:
    return table(["run", "training", "files"], [files_of(*each) for each in FULL.items()])


def files_of(flags: str, run: str) -> list[str]:
    return [label(flags), seconds(record(run)["seconds"]), links_of(run)]


def links_of(run: str) -> str:
    found = [("1 shot", "_1_shot.json"), ("5 shots", "_5_shots.json"), ("training", ".json")]
    return ", ".join(link(text, run + ending) for text, ending in [*found, ("log", ".csv")])


def against_re_runs() -> str:
    """Where each cell lies beside the lowest and highest of the re-runs."""
    bands = alternating(*record("paper")["re_runs"]["omniglot"].values())[:4]
    rows = [
        [label(flags), *map(beside, map(in_percent, four(run)), bands)]
        for flags, run in FULL.items()
    ]
    ranges = ["range of the re-runs", *map(band, bands)]
    return table(["5-way", *FOUR_CELLS], [ranges, *rows])


def in_percent(result: dict[str, Any]) -> float:
    return 100 * result["accuracy"]


def beside(percent: float, ends: list[float]) -> str:
    """In words where a number lies beside a range, both rounded to two digits."""
    low, high = ends
    found = round(percent, 2)
    if found < low:
        return f"{low - found:.2f} below"
    return f"{found - high:.2f} above" if found > high else "within"


FUNCTIONS = (
    headline,
    paper_omniglot,
    omniglot_5way,
    omniglot_20way,
    omniglot_20way_files,
    omniglot_5way_files,
    against_re_runs,
)
TABLES: dict[str, Callable[[], str]] = {f.__name__: f for f in FUNCTIONS}
VALUES: dict[str, Callable[[], str]] = {}
