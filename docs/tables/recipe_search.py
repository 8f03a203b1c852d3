"""Tables of the searches for recipes, and of the recipes that they found."""

import functools
from collections.abc import Callable

from search_rows import best_rows, score

from tables.files import record, rows_of
from tables.omniglot import one_shot
from tables.words import percent, seconds, table

# By ways: the paper's recipe with its meta-iterations, the recipe that was found, and the trials.
PAPERS = {5: ("omniglot_5way", 100_000), 20: ("omniglot_20way", 200_000)}
BEST = {5: "omniglot_5way_best", 20: "omniglot_20way_best"}
TRIALS = {5: "recipe_search", 20: "recipe_search_20way"}
# Runs of other lengths.
LENGTHS = {
    20: {
        "the same, 4,000 meta-iterations": "omniglot_20way_best_4000_1_shot",
        "the same, 75,000 meta-iterations": "omniglot_20way_best_75000_1_shot",
    }
}
# The column of 1 shot in the paper's table.
COLUMN = {5: 0, 20: 2}
# The recipe's settings that the search chose, and those of the paper's run.
CHOSEN = {
    "head": "head",
    "inner_batch_size": "images in an inner step",
    "inner_steps": "inner steps of a training task",
    "inner_learning_rate": "inner rate",
    "eval_inner_batch_size": "images in an inner step of evaluation",
    "eval_inner_steps": "inner steps in evaluation",
    "meta_batch_size": "tasks in a meta-iteration",
    "meta_iterations": "meta-iterations",
}


def trials(ways: int) -> str:
    """A row for each trial, by rung, the best first."""
    rows = best_rows(rows_of(TRIALS[ways]))
    rows = sorted(rows, key=lambda r: (int(r["budget"]), -score(r)))
    header = ["candidate", "what it changes", "budget", "meta-iterations"]
    header += ["inductive", "transductive", "training"]
    return table(header, [trial(row) for row in rows])


def trial(row: dict[str, str]) -> list[str]:
    cells = [
        f"{percent(float(row[mode]))} ± {percent(float(row[f'{mode}_95']))}"
        for mode in ("inductive", "transductive")
    ]
    settings = f"`{row['settings']}`" if row["settings"] else "nothing"
    numbers = [f"{int(row[column]):,}" for column in ("budget", "meta_iterations")]
    return [f"`{row['candidate']}`", settings, *numbers, *cells, seconds(float(row["seconds"]))]


def best(ways: int) -> str:
    """The recipe beside the paper, this package's full run, and methods with more derivatives."""
    of_paper, own, (full, iterations) = record("paper")["omniglot"], BEST[ways], PAPERS[ways]
    paper = [of_paper[name][COLUMN[ways]] for name in ("Reptile", "Reptile, transductive")]
    found = record(f"{own}_1_shot")["meta_iteration"]
    rows = [["Reptile, the paper", *paper, ""]]
    rows += one_shot({f"Reptile, `{full}`, {iterations:,} meta-iterations": f"{full}_1_shot"})
    rows += one_shot({f"Reptile, `{own}`, {found:,} meta-iterations": f"{own}_1_shot"})
    rows += one_shot(LENGTHS.get(ways, {}))
    maml = of_paper["MAML, transductive"][COLUMN[ways]]
    rows += [["MAML, second derivatives", "", maml, "the paper's table"]]
    rows += [
        [f"{name}, {other['gradients']}", "", other["accuracy"], other["source"]]
        for name, other in record("other_papers")[f"omniglot_{ways}way_1_shot"].items()
    ]
    return table([f"{ways}-way 1-shot, accuracy in %", "inductive", "transductive", ""], rows)


def chosen(ways: int) -> str:
    """The settings in which the recipe's run and the full run differ."""
    runs = BEST[ways], PAPERS[ways][0]
    own, full = (record(f"{run}_1_shot")["settings"] for run in runs)
    # Full runs were recorded before there was the field.
    full = {"head": "separate", **full}
    rows = [
        [text, written(full[field]), written(own[field])]
        for field, text in CHOSEN.items()
        if full[field] != own[field]
    ]
    return table(["setting", f"`{runs[1]}`", f"`{runs[0]}`"], rows)


def written(value: str | int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value}"


TABLES: dict[str, Callable[[], str]] = {
    f"{name}_{ways}way": functools.partial(rows, ways)
    for name, rows in (("trials", trials), ("best", best), ("chosen", chosen))
    for ways in BEST
}
VALUES: dict[str, Callable[[], str]] = {}
