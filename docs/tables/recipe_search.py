"""Tables of the search for a 5-way recipe."""

from collections.abc import Callable

from search_rows import best_rows, score

from tables.files import rows_of
from tables.words import percent, seconds, table


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


TABLES: dict[str, Callable[[], str]] = {"recipe_search": recipe_search}
VALUES: dict[str, Callable[[], str]] = {}
