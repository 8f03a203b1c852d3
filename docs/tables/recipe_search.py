"""Tables of the searches for recipes, and of the recipes that they found."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from search_candidates import SEARCHES
from search_rows import best_rows, score

from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import Recipe
from tables.files import record, rows_of
from tables.full_runs import FOUR_CELLS, alternating, four, links_of, results
from tables.omniglot import one_shot
from tables.words import accuracy, duration, percent, seconds, table


class Found(NamedTuple):
    """A search on Omniglot, and where its tables have their numbers.

    recipe: String, the name of the paper's recipe.
    best: String, the name of the better recipe.
    column: Integer, the column of 1 shot in the paper's table.
    others: Dict, the files of other runs, by the words of their rows.
    """

    recipe: str
    best: str
    column: int
    others: dict[str, str]


def in_four_orientations(best: str) -> dict[str, str]:
    file = f"{best}_4_orientations"
    return {f"the same, in four orientations, {results(file)[0]['tasks']:,} tasks": file}


# The files of the runs, by what the tables say of their settings.
ON_MINI_IMAGENET = {
    "the paper's settings": "mini_imagenet_30000",
    "`mini_imagenet_fast`": "mini_imagenet_fast",
}
SEARCHED_5WAY = "omniglot_5way_searched"
# By the ending of the tables' names.
ON_OMNIGLOT = {
    "5way": Found(
        "omniglot_5way",
        "omniglot_5way_best",
        0,
        in_four_orientations("omniglot_5way_best")
        | {
            "Reptile, training tasks of 5 ways, "
            f"{record(f'{SEARCHED_5WAY}_1_shot')['meta_iteration']:,} meta-iterations": (
                f"{SEARCHED_5WAY}_1_shot"
            )
        },
    ),
    "20way": Found(
        "omniglot_20way",
        "omniglot_20way_best",
        2,
        in_four_orientations("omniglot_20way_best")
        | {
            "the same, on another machine": "omniglot_20way_best_earlier_1_shot",
            "the same, 4,000 meta-iterations": "omniglot_20way_best_4000_1_shot",
            "the same, 75,000 meta-iterations": "omniglot_20way_best_75000_1_shot",
        },
    ),
}
# The paper's recipe and the better one.
BETTER = {
    **{name: (found.recipe, found.best) for name, found in ON_OMNIGLOT.items()},
    "mini_imagenet": ("mini_imagenet_5way_1shot", "mini_imagenet_fast"),
}
# The recipe's settings that the search chose, and those of the paper's run.
CHOSEN = {
    "head": "head",
    "train_ways": "classes in a training task",
    "train_shots": "training shots",
    "inner_batch_size": "images in an inner step",
    "inner_steps": "inner steps of a training task",
    "inner_learning_rate": "inner rate",
    "eval_inner_batch_size": "images in an inner step of evaluation",
    "eval_inner_steps": "inner steps in evaluation",
    "meta_batch_size": "tasks in a meta-iteration",
    "meta_iterations": "meta-iterations",
}


def trials(recipe: str) -> str:
    """A row for each trial, by rung, the best first."""
    rows = best_rows(rows_of(SEARCHES[recipe].results))
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


def best(ways: str) -> str:
    """The recipe beside the paper, this package's full run, and methods with more derivatives."""
    full, own, column, others = ON_OMNIGLOT[ways]
    iterations = named.get(full).meta_iterations
    of_paper = record("paper")["omniglot"]
    paper = [of_paper[name][column] for name in ("Reptile", "Reptile, transductive")]
    found = record(f"{own}_1_shot")["meta_iteration"]
    rows = [["Reptile, the paper", *paper, ""]]
    rows += one_shot({f"Reptile, `{full}`, {iterations:,} meta-iterations": f"{full}_1_shot"})
    rows += one_shot({f"Reptile, `{own}`, {found:,} meta-iterations": f"{own}_1_shot"})
    rows += one_shot(others)
    maml = of_paper["MAML, transductive"][column]
    rows += [["MAML, second derivatives", "", maml, "the paper's table"]]
    rows += [
        [f"{name}, {other['gradients']}", "", other["accuracy"], other["source"]]
        for name, other in record("other_papers")[f"omniglot_{ways}_1_shot"].items()
    ]
    return table([f"{ways[:-3]}-way 1-shot, accuracy in %", "inductive", "transductive", ""], rows)


def found_mini_imagenet() -> str:
    """The recipe beside all rows of the paper's table 2."""
    of_paper = record("paper")["mini_imagenet"]
    rows = [
        [f"{name}, second derivatives" if name == "MAML" else name, "", one, "", five]
        for name in ("MAML", "FOMAML")
        for one, five in [of_paper[f"{name}, transductive"]]
    ]
    reptile = alternating(of_paper["Reptile"], of_paper["Reptile, transductive"])
    rows.append(["Reptile, the paper", *reptile])
    for settings, run in ON_MINI_IMAGENET.items():
        found = record(f"{run}_1_shot")["meta_iteration"]
        rows.append([f"Reptile, {settings}, {found:,} meta-iterations", *map(accuracy, four(run))])
    return table(["5-way, accuracy in %", *FOUR_CELLS], rows)


def mini_imagenet_files() -> str:
    """How long the runs on miniImageNet took, how many tasks tested them, and their files."""
    rows = [
        [
            f"{settings}, {record(f'{run}_1_shot')['meta_iteration']:,} meta-iterations",
            duration(record(run)["seconds"]),
            *(f"{results(f'{run}_{shots}')[0]['tasks']:,}" for shots in ("1_shot", "5_shots")),
            links_of(run),
        ]
        for settings, run in ON_MINI_IMAGENET.items()
    ]
    return table(["run", "training", "1-shot tasks", "5-shot tasks", "files"], rows)


def chosen(recipe: str, own: str) -> str:
    """The settings in which a better recipe differs from the paper's."""
    paper = _settings(named.get(recipe))
    settings = _settings(Recipe(**record(f"{own}_1_shot")["settings"]))
    rows = [
        [text, written(paper[field]), written(settings[field])]
        for field, text in CHOSEN.items()
        if paper[field] != settings[field]
    ]
    return table(["setting", f"`{recipe}`", f"`{own}`"], rows)


def _settings(recipe: Recipe) -> dict[str, Any]:
    return dataclasses.asdict(recipe) | {"train_ways": recipe.ways_in_training}


def written(value: str | int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value}"


TABLES: dict[str, Callable[[], str]] = {
    "found_mini_imagenet": found_mini_imagenet,
    "mini_imagenet_files": mini_imagenet_files,
    **{f"best_{ways}": functools.partial(best, ways) for ways in ON_OMNIGLOT},
    **{f"trials_{name}": functools.partial(trials, each[0]) for name, each in BETTER.items()},
    **{f"chosen_{name}": functools.partial(chosen, *each) for name, each in BETTER.items()},
}
VALUES: dict[str, Callable[[], str]] = {}
