"""Tables of evaluations that solve each task in several orientations."""

from collections.abc import Callable
from typing import Any

from tables.files import link, record
from tables.full_runs import results
from tables.words import accuracy, table

HEADER = ["orientations", "inductive", "transductive", "tasks", ""]
# By the number of orientations.
VALIDATION = {n: f"omniglot_20way_validation_{n}_orientations" for n in (1, 4, 8)}
OF_20_WAYS = {1: "omniglot_20way_best_1_shot", 4: "omniglot_20way_best_4_orientations"}
OF_5_WAYS = "omniglot_5way_orientations"


def row(orientations: int, both: list[dict[str, Any]], file: str) -> list[str]:
    tasks = f"{both[0]['tasks']:,}"
    return [f"{orientations}", *map(accuracy, both), tasks, link("file", f"{file}.json")]


def validation() -> str:
    return table(HEADER, [row(n, results(file), file) for n, file in VALIDATION.items()])


def test() -> str:
    found = [("omniglot_20way_best", row(n, results(f), f)) for n, f in OF_20_WAYS.items()]
    found += [
        ("omniglot_5way", row(each["orientations"], each["results"], OF_5_WAYS))
        for each in record(OF_5_WAYS)["rows"]
    ]
    rows = [[f"`{model}`", *cells] for model, cells in found]
    return table(["1-shot, accuracy in %", *HEADER], rows)


TABLES: dict[str, Callable[[], str]] = {
    "orientations_validation": validation,
    "orientations_test": test,
}
VALUES: dict[str, Callable[[], str]] = {}
