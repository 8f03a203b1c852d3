"""Tables of evaluations that solve each task in several orientations."""

from collections.abc import Callable
from typing import Any

from tables.files import link, record
from tables.full_runs import results
from tables.words import accuracy, table

HEADER = ["1-shot, accuracy in %", "orientations", "inductive", "transductive", "tasks", ""]
# The files by the words of their rows and the number of orientations.
VALIDATION = {
    "5-way Omniglot": {n: f"omniglot_5way_validation_{n}_orientations" for n in (1, 4, 8)},
    "20-way Omniglot": {n: f"omniglot_20way_validation_{n}_orientations" for n in (1, 4, 8)},
    "5-way miniImageNet": {n: f"mini_imagenet_validation_{n}_orientations" for n in (1, 2)},
}
TEST = {
    **{
        f"`{best}`": {1: f"{best}_1_shot", 4: f"{best}_4_orientations"}
        for best in ("omniglot_5way_best", "omniglot_20way_best")
    },
    "`mini_imagenet_fast`": {
        1: "mini_imagenet_fast_1_shot",
        2: "mini_imagenet_fast_2_orientations",
    },
}
OF_5_WAYS = "omniglot_5way_orientations"


def row(name: str, orientations: int, both: list[dict[str, Any]], file: str) -> list[str]:
    tasks = f"{both[0]['tasks']:,}"
    cells = [f"{orientations}", *map(accuracy, both), tasks, link("file", f"{file}.json")]
    return [name, *cells]


def rows(files: dict[str, dict[int, str]]) -> list[list[str]]:
    return [row(name, n, results(f), f) for name, of in files.items() for n, f in of.items()]


def validation() -> str:
    return table(HEADER, rows(VALIDATION))


def test() -> str:
    found = record(OF_5_WAYS)
    of_5_ways = [
        row(f"`{found['model']}`", each["orientations"], each["results"], OF_5_WAYS)
        for each in found["rows"]
    ]
    return table(HEADER, [*of_5_ways, *rows(TEST)])


TABLES: dict[str, Callable[[], str]] = {
    "orientations_validation": validation,
    "orientations_test": test,
}
VALUES: dict[str, Callable[[], str]] = {}
