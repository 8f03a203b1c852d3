"""The verdicts of an attack."""

from collections import Counter
from typing import NamedTuple

# The verdicts that no attack may have.
FAILED = ("traceback", "wrong")


class Verdicts(NamedTuple):
    """What became of each try, counted, and the first that failed.

    counts: The number of tries by verdict, such as `"refused"`.
    failures: Lines about tries that failed.
    """

    counts: Counter
    failures: list[str]

    @classmethod
    def none(cls) -> "Verdicts":
        return cls(Counter(), [])

    def add(self, verdict: str, about: str = "") -> None:
        self.counts[verdict] += 1
        if verdict in FAILED and len(self.failures) < 20:
            self.failures.append(f"{verdict}: {about}"[:500])

    def failed(self) -> int:
        return sum(self.counts[verdict] for verdict in FAILED)
