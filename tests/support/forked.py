"""Runs programs in forks of a process that has imported TensorFlow once, which takes seconds.

Reads a line of JSON for each program, [path, arguments, working directory, folder], and answers
with the status; what the program printed lies in the folder's `out` and `err`.
"""

import json
import os
import runpy
import sys
from pathlib import Path

# Imported, and not used: a fork that used TensorFlow would share its threads' locks.
import matplotlib.backends.backend_agg  # noqa: F401
import tensorflow  # noqa: F401

import keras_reptile.runs.training  # noqa: F401


def become(path, arguments, cwd, folder):
    for name, number in (("out", 1), ("err", 2)):
        file = os.open(Path(folder) / name, os.O_CREAT | os.O_WRONLY)
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(cwd)
    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(path))
    runpy.run_path(path, run_name="__main__")


def serve():
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            return job
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


if __name__ == "__main__":
    job = serve()
    if job:
        become(*job)
