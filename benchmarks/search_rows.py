"""The rows of the search for a recipe: which is the better, without TensorFlow."""

from collections.abc import Iterable


def score(row: dict) -> float:
    """Returns the mean of the inductive and the transductive accuracy of a row."""
    return (float(row["inductive"]) + float(row["transductive"])) / 2


def best_rows(rows: Iterable[dict]) -> list[dict]:
    """Returns the row of each trial with the better number of evaluation steps."""
    best: dict[tuple, dict] = {}
    for row in rows:
        trial = row["candidate"], int(row["budget"])
        if trial not in best or score(row) > score(best[trial]):
            best[trial] = row
    return [*best.values()]


def ranked(rows: Iterable[dict], budget: int, candidates: Iterable[str]) -> list[str]:
    """Returns the candidates that have rows of a budget, the best first."""
    own = [r for r in rows if int(r["budget"]) == budget and r["candidate"] in candidates]
    return [row["candidate"] for row in sorted(best_rows(own), key=score, reverse=True)]
