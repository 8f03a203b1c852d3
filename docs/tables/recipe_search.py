"""Tables of the search for a 5-way recipe, and of the recipe that it found."""

from collections.abc import Callable

from search_rows import best_rows, score

from tables.files import record, rows_of
from tables.omniglot import one_shot
from tables.words import percent, seconds, table

BEST = "omniglot_5way_best"
# The recipe's settings that the search chose, and those of the paper's run.
CHOSEN = {
    "head": "head",
    "inner_batch_size": "images in an inner step",
    "inner_steps": "inner steps of a training task",
    "inner_learning_rate": "inner rate",
    "eval_inner_steps": "inner steps in evaluation",
    "meta_batch_size": "tasks in a meta-iteration",
    "meta_iterations": "meta-iterations",
}


def recipe_search() -> str:
    """A row for each trial, by rung, the best first."""
    rows = sorted(best_rows(rows_of("recipe_search")), key=lambda r: (int(r["budget"]), -score(r)))
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


def best() -> str:
    """The recipe beside the paper, this package's full run, and methods with more derivatives."""
    paper, iterations = record("paper")["omniglot"], record(f"{BEST}_1_shot")["meta_iteration"]
    rows = [["Reptile, the paper", paper["Reptile"][0], paper["Reptile, transductive"][0], ""]]
    rows += one_shot({"Reptile, `omniglot_5way`, 100,000 meta-iterations": "omniglot_5way_1_shot"})
    rows += one_shot({f"Reptile, `{BEST}`, {iterations:,} meta-iterations": f"{BEST}_1_shot"})
    rows += [["MAML, second derivatives", "", paper["MAML, transductive"][0], "the paper's table"]]
    rows += [
        [f"{name}, {found['gradients']}", "", found["accuracy"], found["source"]]
        for name, found in record("other_papers")["omniglot_5way_1_shot"].items()
    ]
    return table(["5-way 1-shot, accuracy in %", "inductive", "transductive", ""], rows)


def chosen() -> str:
    """The settings in which the recipe's run and the full run differ."""
    own, full = (record(f"{run}_1_shot")["settings"] for run in (BEST, "omniglot_5way"))
    # Full runs were recorded before there was the field.
    full = {"head": "separate", **full}
    rows = [[text, written(full[field]), written(own[field])] for field, text in CHOSEN.items()]
    return table(["setting", "`omniglot_5way`", f"`{BEST}`"], rows)


def written(value: str | int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value}"


TABLES: dict[str, Callable[[], str]] = {
    each.__name__: each for each in (recipe_search, best, chosen)
}
VALUES: dict[str, Callable[[], str]] = {}
