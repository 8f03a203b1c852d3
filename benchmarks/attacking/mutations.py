"""Mutated state files, read by the functions that runs read them with, in one process.

A mutation flips a bit, cuts, repeats or inserts bytes, or puts another value, such as NaN or an
object, in the place of a value. What is accepted must be what was there, or a value that the file
may have. Anything else that is accepted is `wrong`.
"""

import contextlib
import copy
import csv
import dataclasses
import io
import json
import math
import random
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from helpers import image_pool, small_convnet

from attacking.verdicts import Verdicts
from keras_reptile import checkpoint
from keras_reptile.datasets.class_split import split_classes
from keras_reptile.errors import RunError
from keras_reptile.experiments import comparison, sweep_results
from keras_reptile.experiments.figures import runs_of
from keras_reptile.export.portable import export_portable
from keras_reptile.files.atomic_file import write_csv
from keras_reptile.recipes import building, named
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs import run_classes, run_length
from keras_reptile.runs.results import best_row
from keras_reptile.runs.run_checks import MAY_CHANGE_ON_RESUME, check_same_run
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.training import train

RECIPE = named.get(
    "glyphs",
    meta_iterations=4,
    checkpoint_every=1,
    ways=3,
    meta_batch_size=2,
    inner_steps=1,
    inner_batch_size=3,
    eval_inner_steps=1,
    eval_inner_batch_size=3,
    validation_tasks=2,
    test_tasks=2,
)
FREE = (*MAY_CHANGE_ON_RESUME, "meta_iterations")
FIGURE = "gradient_combinations"
ODD = (None, True, -1, 0, 0.5, 10**400, 1e308, math.nan, math.inf, "", "x", "1", [], [[]], {}, "\0")
CELLS = ("", "x", "-1", "0.5", "nan", "inf", "1e999", "1" * 400, "0x1", "1_0", " 1", "\0", '"')


class State:
    """A run, an export and a sweep's CSV, whose files are mutated."""

    def __init__(self, folder: Path):
        self.pools = split_classes(image_pool(classes=15), 4, 5)
        network = lambda recipe, shape: small_convnet(recipe.ways, recipe.seed)  # noqa: E731
        with (
            mock.patch.object(building, "load_pools", lambda *_: self.pools),
            mock.patch.object(building, "build_network", network),
        ):
            train(RECIPE, folder / "run", verbose=0)
        self.directory = RunDirectory(folder / "run")
        self.model = self.directory.restore()
        export_portable(self.model, folder / "export")
        self.export = folder / "export"
        self.without_checksum = folder / "without_checksum.keras"
        self.model.save(self.without_checksum)
        self.csv = folder / f"{FIGURE}.csv"
        self.runs = runs_of(FIGURE)
        write_csv(self.csv, [row for item in self.runs.items() for row in _results(*item)])


def _results(name, run) -> list[dict]:
    measured = {"accuracy": 0.5, "confidence_95": 0.1, "tasks": 9, "seconds": 1.5}
    about, end = sweep_results.about_run(name, run), run.recipe.meta_iterations
    places = (("curve", end // 2), ("final", end))
    return [{**about, "measured": m, "meta_iteration": i, **measured} for m, i in places]


# What reads each file; what it returns is checked beside the content before the mutation.


def read_settings(state: State) -> Any:
    """As a run that goes on reads run.json, and an evaluation."""
    earlier = check_same_run(state.directory, RECIPE, FREE)
    run_length.check(state.directory, RECIPE)
    run_length.history(earlier, RECIPE, 2)
    return dataclasses.asdict(Recipe(**earlier["settings"])) if earlier else None


def right_settings(before: dict, after: dict | None) -> bool:
    kinds = {field.name: type(field.default) for field in dataclasses.fields(Recipe)}
    return after is not None and all(
        after[name] == value if name not in FREE else _of_kind(after[name], kinds[name])
        for name, value in before.items()
    )


def _of_kind(value, kind) -> bool:
    return type(value) in ((int, float) if kind is float else (kind,)) or value is None


def read_log(state: State) -> Any:
    rows = state.directory.rows()
    best_row(rows)
    with contextlib.suppress(RunError):
        comparison.training_seconds(comparison.read_log(str(state.directory.path)))
    return rows


def right_log(before: list, after: list) -> bool:
    """Rows may be missing, and values may be others that a run can have."""
    iterations = [int(row["meta_iteration"]) for row in after]
    return iterations == sorted(iterations) and all(map(_right_row, after))


def _right_row(row) -> bool:
    accuracies = [row.get(name) for name in ("accuracy", "val_accuracy", "test_accuracy")]
    return (
        0 <= float(row["seconds"]) < math.inf
        and all(0 <= float(a) <= 1 for a in accuracies if a)
        and None not in row.values()
    )


def read_summary(state: State) -> Any:
    run = next(iter(state.runs.values()))._replace(recipe=RECIPE)
    return sweep_results.rows_of("a", run, state.directory)


def right_results(before: list, after: list) -> bool:
    return all(
        row["measured"] in ("curve", "final")
        and 0 <= float(row["accuracy"]) <= 1
        and not float(row["confidence_95"]) < 0
        and int(row["meta_iteration"]) >= 0
        and int(row["tasks"]) >= 0
        and 0 <= float(row["seconds"]) < math.inf
        for row in after
    )


def read_classes(state: State) -> Any:
    run_classes.check_same(state.directory, state.pools)
    return {k: v for k, v in json.loads(_text(state, run_classes.FILE)).items()}


def right_classes(before: dict, after: dict) -> bool:
    """Entries under other names are not read."""
    left_out = {part: after["left_out"][part] for part in before["left_out"]}
    return before == {name: after[name] for name in before} | {"left_out": left_out}


def _text(state, name) -> str:
    return (state.directory.path / name).read_text()


def read_sweep(state: State) -> Any:
    rows = sweep_results.read_rows(state.csv)
    for name, run in state.runs.items():
        sweep_results.check_same_results(name, run, rows, state.csv.name)
    return [
        row for name, run in state.runs.items() for row in sweep_results.rows_kept(name, run, rows)
    ]


def read_metadata(state: State) -> Any:
    # The package has a function of the module's name.
    module = sys.modules["keras_reptile.pretrained"]
    with mock.patch.object(module, "load_checkpoint", lambda path: state.model):
        return module.pretrained(state.export).metadata


def right_metadata(before: dict, after: dict) -> bool:
    return isinstance(after.get("trained_on_bytes", False), bool)


def read_with_checksum(state: State) -> Any:
    checkpoint.check_checksum(state.directory.saved()[-1])


def read_score(state: State) -> Any:
    return checkpoint.read_score(state.directory.best)


def equal(before: Any, after: Any) -> bool:
    return before == after


def read_without_checksum(state: State) -> Any:
    checkpoint.check_checksum(state.without_checksum)
    with zipfile.ZipFile(state.without_checksum) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# File, what reads it, what may be accepted, and the kind of its content.
FILES: dict[str, tuple] = {
    "run.json": (lambda s: s.directory.path / "run.json", read_settings, right_settings, "json"),
    "log.csv": (lambda s: s.directory.log, read_log, right_log, "csv"),
    "summary.json": (
        lambda s: s.directory.path / "summary.json",
        read_summary,
        right_results,
        "json",
    ),
    "classes.json": (
        lambda s: s.directory.path / "classes.json",
        read_classes,
        right_classes,
        "json",
    ),
    "a sweep's CSV": (lambda s: s.csv, read_sweep, right_results, "csv"),
    "metadata.json": (lambda s: s.export / "metadata.json", read_metadata, right_metadata, "json"),
    "checkpoints": (lambda s: s.directory.saved()[-1], read_with_checksum, equal, "bytes"),
    "best.keras": (lambda s: s.directory.best, read_score, equal, "bytes"),
    "checkpoints without a checksum": (
        lambda s: s.without_checksum,
        read_without_checksum,
        equal,
        "bytes",
    ),
}


def attack(number: int, folder: Path, seed: int = 0) -> Verdicts:
    """Mutates each file so many times in all, equally often."""
    state, verdicts, rs = State(folder), Verdicts.none(), random.Random(seed)
    share = -(-number // len(FILES))
    for name, (path_of, read, is_right, kind) in FILES.items():
        path = path_of(state)
        content, before = path.read_bytes(), read(state)
        for mutated in mutations(content, kind, share, rs):
            path.write_bytes(mutated)
            verdict, about = verdict_of(read, state, before, is_right)
            verdicts.add(verdict, f"{name}: {about}")
            if verdict in ("traceback", "wrong"):
                path.with_name(f"failed-{verdicts.counts.total()}").write_bytes(mutated)
        path.write_bytes(content)
    return verdicts


def verdict_of(read: Callable, state: State, before: Any, is_right: Callable) -> tuple[str, str]:
    """What became of a mutated file: refused, accepted, traceback or wrong."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            after = read(state)
        if after == before:
            return "accepted, as it was", ""
        return ("accepted", "") if is_right(before, after) else ("wrong", repr(after)[:200])
    except (RunError, ValueError) as error:
        lines = " ".join(str(error).split())
        return "refused", lines
    except Exception as error:
        return "traceback", repr(error)[:300]


def mutations(content: bytes, kind: str, number: int, rs: random.Random) -> Iterator[bytes]:
    """Mutated contents, all other than the content."""
    of_kind = {"json": _json_mutated, "csv": _csv_mutated}.get(kind)
    while number:
        mutated = (
            of_kind(content, rs) if of_kind and rs.random() < 0.6 else _bytes_mutated(content, rs)
        )
        if mutated != content:
            number -= 1
            yield mutated


def _bytes_mutated(content: bytes, rs: random.Random) -> bytes:
    a = rs.randrange(len(content))
    b = min(len(content), a + rs.choice((1, 2, 8, 100, 5000)))
    flipped = bytearray(content)
    flipped[a] ^= 1 << rs.randrange(8)
    return rs.choice(
        [
            bytes(flipped),
            bytes(flipped),
            content[:a],
            content[:a] + content[b:],
            content[:b] + content[a:],
            content[:a] + rs.randbytes(b - a) + content[a:],
            content[:a] + bytes(b - a) + content[b:],
        ]
    )


def _json_mutated(content: bytes, rs: random.Random) -> bytes:
    tree = json.loads(content)
    places = [*_places(tree)]
    holder, key = rs.choice(places)
    action = rs.randrange(6)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[rs.choice(("x", "settings", "result", "train", f"{key}_"))] = rs.choice(ODD)
    elif action == 2:
        other, at = rs.choice(places)
        holder[key] = copy.deepcopy(other[at])
    elif action == 3 and isinstance(holder[key], int | float):
        holder[key] = holder[key] * rs.choice((2, -1, 0.5, 1e30))
    else:
        holder[key] = rs.choice(ODD)
    return json.dumps(tree, indent=2).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Each holder and key of a value in a tree of dicts and lists."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _csv_mutated(content: bytes, rs: random.Random) -> bytes:
    rows = [*csv.reader(io.StringIO(content.decode()))]
    row = rs.choice(rows)
    action = rs.randrange(5)
    if action == 0:
        rows.remove(row)
    elif action == 1:
        rows.insert(rs.randrange(len(rows)), row)
    elif action == 2:
        rs.shuffle(rows)
    elif action == 3:
        column = rs.randrange(len(rows[0]))
        for each in rows:
            del each[column]
    else:
        row[rs.randrange(len(row))] = rs.choice(CELLS)
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode()
