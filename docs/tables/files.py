"""The files in docs/results."""

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"


@cache
def record(name: str) -> Any:
    """The content of a JSON file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


@cache
def rows_of(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with open(RESULTS / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def final_rows(name: str) -> list[dict[str, Any]]:
    """A sweep's tests at the end of its runs, with numbers as floats."""
    numbers = ("accuracy", "confidence_95", "seconds", "meta_step_size")
    return [
        {**row, **{key: float(row[key]) for key in numbers}}
        for row in rows_of(name)
        if row["measured"] == "final"
    ]


def link(text: str, file: str) -> str:
    """A link to a file in docs/results, which must be there."""
    if not (RESULTS / file).exists():
        raise FileNotFoundError(f"{RESULTS / file} is not there.")
    return f"[{text}](results/{file})"
