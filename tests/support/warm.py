"""Programs in forks of a process that has imported TensorFlow once."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Ended(NamedTuple):
    """A program's exit status, what it printed, and the monotonic time at which it ended."""

    status: int
    out: str
    err: str
    time: float


def run(path, *arguments, cwd):
    """Status, output and errors of a Python program that ends by itself or is killed."""
    (ended,) = run_together([(path, *arguments)], cwd)
    return ended[:3]


def run_source(source, cwd, *arguments):
    """The same of a program that is given as text, and lies in the file `program.py` there."""
    path = Path(cwd) / "program.py"
    path.write_text(source)
    return run(path, *arguments, cwd=cwd)


def run_together(programs, cwd, environments=None):
    """What became of Python programs that run at the same time, as a list of `Ended`.

    Args:
        programs: A list of tuples of a path, which is relative to this repository, and arguments.
        cwd: The working directory of all, or a list of theirs.
        environments: None or a list of each one's own environment variables.
    """
    folders = cwd if isinstance(cwd, list) else [cwd] * len(programs)
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(i) for i in range(len(programs))]
        for place in places:
            place.mkdir()
        jobs = [
            (str(ROOT / path), [str(a) for a in arguments], str(cwd), str(place), own)
            for (path, *arguments), cwd, place, own in zip(
                programs, folders, places, environments or [{}] * len(programs), strict=True
            )
        ]
        ended = ask("forked.py", *jobs)
        printed = [[(p / name).read_text() for name in ("out", "err")] for p in places]
    return [Ended(s, *text, time) for (s, time), text in zip(ended, printed, strict=True)]


def ask(program, *job, **environment):
    """What a program of tests/support/ answers to a line of JSON; it is started only once."""
    process = _server(program, tuple(environment.items()))
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@functools.cache
def _server(program, environment):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "support" / program)],
        text=True,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET, **dict(environment), "PYTHONPATH": path},
    )
