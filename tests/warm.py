"""Programs in forks of a process that has imported TensorFlow once."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(path, *arguments, cwd):
    """Status, output and errors of a Python program that ends by itself or is killed."""
    with tempfile.TemporaryDirectory() as folder:
        server = _server()
        job = (str(ROOT / path), [str(a) for a in arguments], str(cwd), folder)
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        out, err = ((Path(folder) / name).read_text() for name in ("out", "err"))
    return status, out, err


@functools.cache
def _server():
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "forked.py")],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **quiet, "PYTHONPATH": path},
    )
