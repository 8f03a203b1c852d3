"""Programs in forks of a process that has imported TensorFlow once."""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import filelock

ROOT = Path(__file__).resolve().parents[2]
# Environment variables: where the hub of this test run is, and the process that began the run.
FOLDER, OWNER = "KERAS_REPTILE_WARM_FOLDER", "KERAS_REPTILE_WARM_OWNER"
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
    questions, answers = _server(program, tuple(environment.items()))
    questions.write(json.dumps(job) + "\n")
    questions.flush()
    return json.loads(answers.readline())


@functools.cache
def _server(program, environment):
    """A pair of files, to ask a server and to read its answers."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_hub())
    questions, answers = connection.makefile("w"), connection.makefile("r")
    questions.write(json.dumps([program, dict(environment)]) + "\n")
    return questions, answers


def _hub():
    """The path of the socket of `warm_hub`, which the first who asks for it starts."""
    folder = os.environ[FOLDER]
    path = os.path.join(folder, "socket")
    with filelock.FileLock(os.path.join(folder, "lock")):
        if not os.path.exists(path):
            hub = [sys.executable, str(ROOT / "tests" / "support" / "warm_hub.py")]
            modules = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            started = subprocess.Popen(
                [*hub, path, os.environ[OWNER]],
                text=True,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **QUIET, "PYTHONPATH": modules},
            )
            assert started.stdout.readline() == "listening\n"
    return path


def begin():
    """Gives this process's test run, if it is not a part of one, a folder for the hub."""
    if FOLDER not in os.environ:
        os.environ.update({FOLDER: tempfile.mkdtemp(prefix="warm"), OWNER: str(os.getpid())})


def end():
    if os.environ[OWNER] == str(os.getpid()):
        shutil.rmtree(os.environ[FOLDER])
