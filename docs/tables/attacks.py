"""The table of attacks on the files of runs."""

from tables.files import link, record
from tables.words import duration, table

# The verdicts of single files, in words.
WORDS = {
    "accepted": "read as another value that the file may have",
    "accepted, as it was": "read as before",
    "read": "read, in time proportional to their number",
    "refused": "refused in one line",
}


def attacks() -> str:
    found = record("attacks")
    rows = [
        [f"{row['what']} (`{row['attack']}`)", f"{row['tries']:,}", _verdicts(row["verdicts"])]
        for row in found["rows"]
    ]
    seconds = duration(sum(row["seconds"] for row in found["rows"]))
    source = link("attacks.json", "attacks.json")
    about = f"`python benchmarks/attacks.py`, {seconds} on {found['machine']['cores']} busy cores"
    return f"{table(['attack', 'how often', 'what happened'], rows)}\n\nFrom {source}: {about}."


def _verdicts(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        (verdict,) = counts
        return WORDS.get(verdict, verdict)
    return "; ".join(f"{n:,} {WORDS.get(verdict, verdict)}" for verdict, n in counts.items())


TABLES = {"attacks": attacks}
VALUES: dict = {}
