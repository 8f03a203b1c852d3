"""Compiled HLO as text: its computations, their instructions, and how often loops turn."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# Operations whose computations do the work.
CALLS = ("async-start", "call", "conditional")


class Instruction(NamedTuple):
    """`%name = shape opcode(rest`."""

    name: str
    opcode: str
    rest: str


class Program(NamedTuple):
    """The instructions of each computation, and which computation runs first."""

    computations: dict[str, list[Instruction]]
    entry: str


def parse(text: str) -> Program:
    """A `Program` from the text that XLA prints of a module."""
    computations: dict[str, list[Instruction]] = {}
    entry, body = "", []
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.<>-]+) .*\{\s*$", line)
        if head and not line.startswith("HloModule"):
            body = computations[head[2]] = []
            entry = head[2] if head[1] else entry
        elif instruction := _instruction(line):
            body.append(instruction)
    if not entry:
        raise ValueError(f"No ENTRY computation in HLO text that begins with {text[:60]!r}.")
    return Program(computations, entry)


def _instruction(line: str) -> Instruction | None:
    named = re.match(r"\s+(?:ROOT )?%?([\w.-]+) = (.*)", line)
    if not named:
        return None
    opcode, _, rest = _after_shape(named[2]).partition("(")
    return Instruction(named[1], opcode.strip(), rest)


def _after_shape(text: str) -> str:
    """What follows the shape: `f32[2]{0} add(...` and `(f32[], s32[2]{0:T(8)}) while(...`."""
    depth = 0
    for i, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and character == " ":
            return text[i + 1 :]
    return ""


def called(instruction: Instruction, key: str) -> str:
    """The computation that an attribute names, as in `body=%region_0.2`."""
    found = re.search(rf"\b{key}=%?([\w.<>-]+)", instruction.rest)
    if not found:
        raise ValueError(f"No {key} of {instruction.opcode} {instruction.name}.")
    return found[1]


def callees(instruction: Instruction) -> list[str]:
    several = re.search(r"branch_computations=\{([^}]*)\}", instruction.rest)
    if several:
        return re.findall(r"[\w.<>-]+", several[1])
    keys = ("to_apply", "calls", "true_computation", "false_computation")
    return [called(instruction, key) for key in keys if f"{key}=" in instruction.rest]


def trips(program: Program, loop: Instruction) -> int:
    """The turns of a loop: those that XLA notes, or n of its condition `i < n`; i begins with 0."""
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.rest)
    if known:
        return int(known[1])
    bounds = list(_bounds(program, called(loop, "condition")))
    if not bounds:
        raise ValueError(f"The number of turns of the loop {loop.name} is not in the program.")
    return min(bounds)


def trip_counts(program: Program, computation: str | None = None) -> list[int]:
    """The turns of every loop, in the order in which they begin."""
    found = []
    for each in program.computations[computation or program.entry]:
        if each.opcode == "while":
            found += [trips(program, each), *trip_counts(program, called(each, "body"))]
        elif each.opcode in CALLS:
            found += [n for name in callees(each) for n in trip_counts(program, name)]
    return found


def loops_without_count(program: Program) -> int:
    """How many loops have a number of turns that XLA has not noted: a GPU's host waits in each."""
    found = [each for body in program.computations.values() for each in body]
    return sum(each.opcode == "while" and "known_trip_count" not in each.rest for each in found)


def _bounds(program: Program, computation: str) -> Iterator[int]:
    """The constants n of comparisons `i < n`."""
    instructions = program.computations[computation]
    constants = {i.name: i.rest.split(")")[0] for i in instructions if i.opcode == "constant"}
    for each in instructions:
        if each.opcode == "compare" and "direction=LT" in each.rest:
            names = re.findall(r"%([\w.-]+)", each.rest.split(")")[0])
            yield from (int(constants[name]) for name in names[1:] if name in constants)
