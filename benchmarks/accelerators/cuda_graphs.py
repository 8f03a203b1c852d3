"""XLA's list of thunks as text: which launches a GPU gets in CUDA graphs, and which by themselves.

A thunk is the next thing that XLA's runtime does: it launches a kernel or a product of cuBLAS,
copies, or loops. The thunks of a command buffer are launched together, as one CUDA graph.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

GRAPH, LOOP = "kCommandBuffer", "kWhile"
# Thunks that launch nothing themselves.
HOLDERS = {GRAPH, LOOP, "kSequential", "kConditional"}
NO_WORK = {*HOLDERS, "kWaitForStreams", "kAsyncDone"}


class Thunk(NamedTuple):
    """A thunk and the thunks that it holds; a loop holds its body."""

    kind: str
    held: list["Thunk"]


def parse(text: str) -> list[Thunk]:
    """The thunks that XLA prints with `--xla_dump_to`, one a line, indented in their holder."""
    top = Thunk("", [])
    holders = [(-1, top)]
    for line in text.splitlines():
        if line.strip() == "body:":
            # XLA does not run the condition of a loop whose number of turns it knows.
            while holders[-1][1].kind != LOOP:
                holders.pop()
            holders[-1][1].held.clear()
        elif found := re.match(r"( *)\d+: (k\w+)", line):
            while holders[-1][0] >= len(found[1]):
                holders.pop()
            thunk = Thunk(found[2], [])
            holders[-1][1].held.append(thunk)
            if thunk.kind in HOLDERS:
                holders.append((len(found[1]), thunk))
    return top.held


def loops(thunks: Sequence[Thunk]) -> int:
    """The number of loops, nested ones too."""
    return sum((thunk.kind == LOOP) + loops(thunk.held) for thunk in thunks)


def summary(thunks: Sequence[Thunk], trips: Sequence[int]) -> dict[str, Any]:
    """How a run of the program is launched.

    Args:
        thunks: What `parse` returns.
        trips: The turns of each loop, in the order in which the loops begin.

    Returns:
        Dict of the CUDA graphs that are launched, the launches within them, those by themselves,
        the latter by kind, and the structure in words.
    """
    if loops(thunks) != len(trips):
        raise ValueError(f"{loops(thunks)} loops of thunks, with the turns of {len(trips)} loops.")
    found, words = Counter(), _words(thunks, iter(trips))
    for kind, number in _runs(thunks, iter(trips), 1, False):
        found[kind] += number
    alone = {k.removeprefix("alone "): n for k, n in found.items() if k.startswith("alone ")}
    return {
        "graphs": found["graph"],
        "launches_in_graphs": found["in a graph"],
        "launches_alone": sum(alone.values()),
        "alone": alone,
        "structure": words,
    }


def _runs(thunks, trips: Iterator[int], turns: int, in_graph: bool) -> Iterator[tuple[str, int]]:
    """A name and a number for everything that is launched."""
    for thunk in thunks:
        inner = turns * next(trips) if thunk.kind == LOOP else turns
        if thunk.kind == GRAPH and not in_graph:
            yield "graph", turns
        elif thunk.kind not in NO_WORK:
            yield "in a graph" if in_graph else f"alone {thunk.kind}", turns
        yield from _runs(thunk.held, trips, inner, in_graph or thunk.kind == GRAPH)


def _words(thunks: Sequence[Thunk], trips: Iterator[int], unit: str = " alone") -> str:
    """As "graph(44), 5 x (graph(93)), 2 alone"."""
    parts, counted = [], 0
    for thunk in thunks:
        if thunk.kind not in NO_WORK:
            counted += 1
            continue
        if counted:
            parts.append(f"{counted}{unit}")
            counted = 0
        if thunk.kind == GRAPH:
            parts.append(f"graph({_words(thunk.held, trips, '')})")
        elif thunk.kind == LOOP:
            parts.append(f"{next(trips)} x ({_words(thunk.held, trips, unit)})")
        elif thunk.held:
            parts.append(_words(thunk.held, trips, unit))
    return ", ".join([*parts, f"{counted}{unit}"] if counted else parts)
