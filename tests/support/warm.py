"""Programs in forks of a process that has imported TensorFlow once."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(path, *arguments, cwd):
    """Status, output and errors of a Python program that ends by itself or is killed."""
    with tempfile.TemporaryDirectory() as folder:
        job = (str(ROOT / path), [str(a) for a in arguments], str(cwd), folder)
        status = ask("forked.py", *job)
        out, err = ((Path(folder) / name).read_text() for name in ("out", "err"))
    return status, out, err


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
