"""Runs programs in forks of `warm_hub`, which has imported TensorFlow once. That takes seconds.

Reads a line of JSON, a list of programs that run at the same time. Each is [path, arguments,
working directory, folder, environment variables]. Answers with a list of [status, the monotonic
time at which it ended]; what a program printed lies in its folder's `out` and `err`.
"""

import gc
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path

LONGEST = 600


def become(path, arguments, cwd, folder, environment):
    for name, number in (("out", 1), ("err", 2)):
        file = os.open(Path(folder) / name, os.O_CREAT | os.O_WRONLY)
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(cwd)
    os.environ.update(environment)
    # Of a program that waits without end.
    signal.alarm(LONGEST)
    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(path))
    runpy.run_path(path, run_name="__main__")


def fork_each(jobs):
    """The children's ids, in order; in a child, the job that it is to become."""
    children = []
    for job in jobs:
        child = os.fork()
        if child == 0:
            return None, job
        children.append(child)
    return children, None


def wait_for(children):
    ended = {}
    while len(ended) < len(children):
        child, status = os.wait()
        ended[child] = os.waitstatus_to_exitcode(status), time.monotonic()
    return [ended[child] for child in children]


def serve():
    for line in sys.stdin:
        children, job = fork_each(json.loads(line))
        if job:
            return job
        print(json.dumps(wait_for(children)), flush=True)
    return None


if __name__ == "__main__":
    # TensorFlow's graphs are many small objects. The collector looks through them less often.
    gc.set_threshold(50_000, 20, 50)
    job = serve()
    if job:
        become(*job)
