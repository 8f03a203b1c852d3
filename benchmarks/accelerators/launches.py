"""What a device launches in a run of a compiled program: how often, of what kind, at what cost."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from accelerators.hlo import CALLS, Instruction, Program, called, callees, trips

# Operations that are names of values, not work.
FREE = {
    "add-dependency",
    "after-all",
    "bitcast",
    "constant",
    "get-tuple-element",
    "opt-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
}
# A fusion is counted as the first of these that it contains, else as element-wise.
MAIN = (
    "convolution",
    "dot",
    "scatter",
    "sort",
    "reduce",
    "reduce-window",
    "gather",
    "concatenate",
    "pad",
    "transpose",
)


class Launch(NamedTuple):
    """An operation that a device is given to do.

    loop: String, the name of the loop it is in, "" outside of loops.
    turns: Integer, how often it is launched in a run of the program.
    microseconds: Float, the GPU cost model's time of it, 0 where there is none.
    cycles: Integer, the TPU compiler's estimate of it, 0 where there is none.
    """

    name: str
    kind: str
    loop: str
    turns: int
    microseconds: float
    cycles: int


class Loop(NamedTuple):
    name: str
    turns: int
    launches: int


def launches(program: Program) -> list[Launch]:
    """Every launch of a program, in the order of its schedule."""
    return list(_launches(program, program.entry, "", 1))


def _launches(program: Program, computation: str, loop: str, turns: int) -> Iterator[Launch]:
    for each in program.computations[computation]:
        if each.opcode == "while":
            within = f"{loop}/{each.name}" if loop else each.name
            inner = turns * trips(program, each)
            # A loop whose number of turns is known is repeated without its condition.
            yield from _launches(program, called(each, "body"), within, inner)
        elif each.opcode in CALLS:
            for name in callees(each):
                yield from _launches(program, name, loop, turns)
        elif each.opcode not in FREE and not each.opcode.endswith("-done"):
            kind, cost = kind_of(program, each), (_microseconds(each), _cycles(each))
            yield Launch(each.name, kind, loop, turns, *cost)


def kind_of(program: Program, instruction: Instruction) -> str:
    """What a launch mainly does, in a word of HLO: "dot", "reduce", "element-wise"..."""
    if instruction.opcode == "fusion":
        within = set(_opcodes(program, called(instruction, "calls")))
        return next((opcode for opcode in MAIN if opcode in within), "element-wise")
    if instruction.opcode == "custom-call":
        (target,) = re.findall(r'custom_call_target="([^"]*)"', instruction.rest)
        return "dot" if "matmul" in target or "gemm" in target else target
    return instruction.opcode


def _opcodes(program: Program, computation: str) -> Iterator[str]:
    for each in program.computations[computation]:
        yield each.opcode
        if each.opcode in ("fusion", "call"):
            for name in callees(each):
                yield from _opcodes(program, name)


def _microseconds(instruction: Instruction) -> float:
    found = re.search(r'"exec_time_us":([\d.eE+-]+)', instruction.rest)
    return float(found[1]) if found else 0.0


def _cycles(instruction: Instruction) -> int:
    found = re.search(r'"estimated_cycles":"(\d+)"', instruction.rest)
    return int(found[1]) if found else 0


def loops(found: Iterable[Launch]) -> list[Loop]:
    """Each loop's name, turns in a run, and launches in a turn."""
    number = Counter((launch.loop, launch.turns) for launch in found if launch.loop)
    return [Loop(name, turns, count) for (name, turns), count in number.items()]


def kinds(found: Iterable[Launch]) -> dict[str, int]:
    """How many launches of a run are of each kind, the most frequent first."""
    number: Counter = Counter()
    for launch in found:
        number[launch.kind] += launch.turns
    return dict(number.most_common())


def summary(found: list[Launch]) -> dict[str, Any]:
    """The counts of a program, for a table and for JSON."""
    outside = [launch for launch in found if not launch.loop]
    unknown = [launch for launch in found if not (launch.microseconds or launch.cycles)]
    return {
        "launches": sum(launch.turns for launch in found),
        "launches_outside_loops": len(outside),
        "loops": [loop._asdict() for loop in loops(found)],
        "kinds": kinds(found),
        "kinds_outside_loops": kinds(outside),
        "kinds_without_estimate": kinds(unknown),
    }
