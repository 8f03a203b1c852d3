"""Numbers as the pages write them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; all rows must be as long as the header."""
    lines = [header, ["---"] * len(header), *rows]
    if any(len(line) != len(header) for line in lines):
        raise ValueError(f"All rows must have {len(header)} cells. Received: {lines}.")
    return "\n".join(
        "|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in lines
    )


def percent(fraction: float, digits: int = 2) -> str:
    return f"{100 * fraction:.{digits}f}"


def accuracy(result: Mapping[str, Any], digits: int = 2) -> str:
    """An accuracy with its interval, in percent."""
    return f"{percent(result['accuracy'], digits)} ± {percent(result['confidence_95'], digits)}"


def loss(result: Mapping[str, float]) -> str:
    return f"{result['loss']:.2f} ± {result['confidence_95']:.2f}"


def milliseconds(ms: float) -> str:
    return f"{ms:.1f} ms" if ms < 100 else f"{ms:,.0f} ms"


def seconds(s: float) -> str:
    return f"{s:.1f} s" if s < 10 else f"{s:,.0f} s"


def duration(s: float) -> str:
    """Seconds, minutes or hours, whichever gives a number of 1.5 or more."""
    units = {"hours": 3600, "minutes": 60, "seconds": 1}
    unit = next((unit for unit, length in units.items() if s >= 1.5 * length), "seconds")
    number = s / units[unit]
    return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"


def times(ratio: float) -> str:
    """How many times as much, with as many digits as matter."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def two_digits(number: float) -> str:
    """A number rounded to two significant digits, without an exponent."""
    return f"{float(f'{number:.2g}'):,.10g}"
