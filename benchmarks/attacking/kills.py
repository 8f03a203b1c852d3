"""Programs that are killed at random moments end like programs that were not, bit for bit.

Each start goes on where the last was killed. A start that ends before its moment comes is no try.
The program then begins anew in another folder.
"""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import processes
import warm
from helpers import SMALL_RUN, assert_same_end

import keras_reptile as kr
from attacking.verdicts import Verdicts
from keras_reptile.checkpoint import check_checksum
from keras_reptile.errors import RunError

# The verdict of a kill after which the program goes on to the end of one that was not killed.
SAME = "goes on to the same end"
DISTURBED = "tests/support/disturbed.py"
TRAIN = (
    "--dataset=sinusoid",
    "--output_dir=run",
    "--meta_iterations=8",
    *SMALL_RUN,
    "--test_tasks=5",
)
WRITTEN = ("checkpoint", "best", "log.csv", "run.json", "curve.png", "summary.json")
FILES = [f"{action} {name}" for action in ("open", "sync", "rename") for name in WRITTEN]
# Where a training may be killed, and at which occurrences.
MOMENTS = [(event, n) for event in (*FILES, "validation", "test") for n in (1, 2)]
MOMENTS += [("step", n) for n in (1, 2, 3)] + [("remove checkpoint", 3)]
SWEPT = ("checkpoint", "best", "log.csv", "gradient_combinations.csv", "summary.json")
SWEEP_MOMENTS = [
    *((f"{action} {name}", 1) for action in ("sync", "rename") for name in SWEPT),
    *(("step", n) for n in (1, 2)),
]
EXPORTED = ("saved_model.pb", "exported", "model", "metadata.json")
EXPORT_MOMENTS = [
    (f"{action} {name}", n)
    for action in ("open", "sync", "rename")
    for name in EXPORTED
    for n in (1, 2)
]
EVALUATE_MOMENTS = [
    *(("test", n) for n in (1, 2)),
    *((f"{action} record.json", 1) for action in ("open", "sync", "rename")),
]


class Program(NamedTuple):
    """A program of bin/ to kill, its flags, its moments, and whether two folders are alike."""

    name: str
    flags: Sequence[str]
    moments: Sequence[tuple[str, int]]
    check: Callable[[Path, Path], None]


def start(folder: Path, program: Program, *moment) -> tuple[int, str, str]:
    told = json.dumps(["kill", *moment] if moment else [])
    return warm.run(DISTURBED, told, program.name, *program.flags, cwd=folder)


def attack(
    number: int, folder: Path, program: Program, prepare: Callable[[Path], None]
) -> Verdicts:
    """Kills a program so many times; its moments are drawn from a seed."""
    verdicts, rs = Verdicts.none(), random.Random(0)
    whole = _prepared(folder / "whole", prepare)
    status, _, err = start(whole, program)
    if status:
        raise RuntimeError(err)
    place, begun, kills = None, 0, 0
    while kills < number:
        if place is None:
            place, begun = _prepared(folder / str(begun), prepare), begun + 1
        status, _, err = start(place, program, *rs.choice(program.moments))
        if status == -9:
            kills += 1
            _add(verdicts, SAME, lambda place=place: _check_whole_files(place))
        elif status:
            kills += 1
            verdicts.add("wrong", err)
        else:
            _add(verdicts, SAME, lambda place=place: program.check(whole, place), tries=0)
            place = None
    if place is not None:
        status, _, err = start(place, program)
        if status:
            verdicts.add("wrong", err)
        else:
            _add(verdicts, SAME, lambda: program.check(whole, place), tries=0)
    return verdicts


def _prepared(folder: Path, prepare: Callable[[Path], None]) -> Path:
    folder.mkdir(parents=True)
    prepare(folder)
    return folder


def _add(verdicts: Verdicts, verdict: str, check: Callable[[], None], tries: int = 1) -> None:
    try:
        check()
        if tries:
            verdicts.add(verdict)
    except (AssertionError, RunError, ValueError, OSError) as error:
        verdicts.add("wrong", repr(error))


def _check_whole_files(folder: Path) -> None:
    """What has its own name is whole."""
    for path in folder.rglob("[!.]*.keras"):
        if not any(part.startswith(".") for part in path.parts):
            check_checksum(path)
    for path in folder.rglob("[!.]*.json"):
        if not any(part.startswith(".") for part in path.parts):
            json.loads(path.read_text())


def nothing(folder: Path) -> None:
    """Prepares nothing."""


def _same_run(whole: Path, other: Path) -> None:
    assert_same_end(whole / "run", other / "run")
    summaries = [json.loads((p / "run" / "summary.json").read_text()) for p in (whole, other)]
    assert summaries[0]["result"] == summaries[1]["result"]
    _check_nothing_is_left(other)


def _check_nothing_is_left(folder: Path) -> None:
    left = [p.name for p in folder.rglob(".*") if p.name.startswith((".partial", ".replaced"))]
    assert left == [], left


def train(number: int, folder: Path) -> Verdicts:
    return attack(number, folder, Program("train", TRAIN, MOMENTS, _same_run), nothing)


def train_float16(number: int, folder: Path) -> Verdicts:
    flags = (*TRAIN, "--precision=mixed_float16")
    return attack(number, folder, Program("train", flags, MOMENTS, _same_run), nothing)


def _trained(folder: Path) -> None:
    status, _, err = start(folder, Program("train", TRAIN, (), _same_run))
    assert status == 0, err


def _same_record(whole: Path, other: Path) -> None:
    records = [json.loads((p / "record.json").read_text()) for p in (whole, other)]
    for name in ("results", "settings", "meta_iteration"):
        assert records[0][name] == records[1][name]
    _check_nothing_is_left(other)


def evaluate(number: int, folder: Path) -> Verdicts:
    flags = ("--checkpoint=run", "--tasks=45", "--record=record.json")
    program = Program("evaluate", flags, EVALUATE_MOMENTS, _same_record)
    return attack(number, folder, program, _trained)


def _same_export(whole: Path, other: Path) -> None:
    weights = [kr.pretrained(p / "exported").get_weights() for p in (whole, other)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    files = [sorted(p.name for p in (f / "exported").rglob("*")) for f in (whole, other)]
    assert files[0] == files[1]
    _check_nothing_is_left(other)


def export(number: int, folder: Path) -> Verdicts:
    flags = ("--checkpoint=run", "--output=exported", "--overwrite", "--only_model")
    program = Program("export", flags, EXPORT_MOMENTS, _same_export)
    return attack(number, folder, program, _trained)


SWEEP = (
    "--figure=gradient_combinations",
    "--dataset=glyphs",
    "--output_dir=sweep",
    "--only=g1,g2",
    "--meta_iterations=2",
    "--checkpoint_every=1",
    "--meta_batch_size=2",
    "--eval_inner_steps=2",
    "--curve_tasks=2",
    "--test_tasks=3",
)


def _same_sweep(whole: Path, other: Path) -> None:
    for name in ("g1", "g2"):
        assert_same_end(whole / "sweep" / "runs" / name, other / "sweep" / "runs" / name)
    tables = [(p / "sweep" / "gradient_combinations.csv").read_text() for p in (whole, other)]
    rows = [[line.rsplit(",", 1)[0] for line in table.splitlines()] for table in tables]
    assert rows[0] == rows[1]
    _check_nothing_is_left(other)


def sweep(number: int, folder: Path) -> Verdicts:
    return attack(number, folder, Program("sweep", SWEEP, SWEEP_MOMENTS, _same_sweep), nothing)


def workers(number: int, folder: Path) -> Verdicts:
    """Kills one of two workers, each time after another meta-iteration; both are started again."""
    verdicts, rs = Verdicts.none(), random.Random(0)
    _train_together(folder, "whole")
    for i in range(number):
        ended = _train_together(folder, f"run{i}", KILL_AT=str(rs.randrange(1, 6)))
        again = _train_together(folder, f"run{i}")
        if -9 not in [e.status for e in ended] or any(e.status for e in again):
            verdicts.add("wrong", f"{ended} {again}")
            continue
        ends = [folder / "chief" / name for name in ("whole", f"run{i}")]
        _add(verdicts, SAME, lambda ends=ends: assert_same_end(*ends))
    return verdicts


def _train_together(folder: Path, name: str, **variables: str) -> list[warm.Ended]:
    addresses = processes.free_addresses(2)
    for worker in ("chief", "other"):
        (folder / worker).mkdir(exist_ok=True)
    command = ("tests/support/train_small.py", f"--output_dir={name}", "--connect_timeout=200")
    environments = processes.of_workers(addresses)
    environments[1] |= variables
    return warm.run_together([command] * 2, [folder / "chief", folder / "other"], environments)
