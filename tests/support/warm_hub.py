"""Imports TensorFlow once for a test run. The tests' servers are its forks.

All workers of the test run share this process. It listens on a socket. A connection's first line
is JSON, [program, environment variables]: a fork runs that program of tests/support/, and its
standard input and output are the connection. It ends after the process that the run began with.
"""

import functools
import gc
import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

# Imported, and not used: a fork that used TensorFlow would share its threads' locks.
import matplotlib.backends.backend_agg  # noqa: F401
import tensorflow  # noqa: F401

import keras_reptile.experiments.sweep
import keras_reptile.export.saved_model
import keras_reptile.runs.training  # noqa: F401
from keras_reptile.datasets import glyphs

HERE = Path(__file__).parent


def draw_once():
    """Draws the characters that most programs read. Nobody can write into them."""
    glyphs.draw_glyphs = functools.cache(glyphs.draw_glyphs)
    for array in glyphs.draw_glyphs(700, 20, 28, 0):
        array.flags.writeable = False


def is_there(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def connections(listening, process):
    """Those that are made as long as a process is there."""
    listening.settimeout(1)
    while is_there(process):
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        connection.setblocking(True)
        yield connection


def become(connection):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (0, 1):
        os.dup2(connection.fileno(), number)
    connection.close()
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    program, environment = json.loads(sys.stdin.readline())
    os.environ.update(environment)
    sys.argv = [str(HERE / program)]
    runpy.run_path(sys.argv[0], run_name="__main__")


def serve(path, process):
    """The connection that a fork is to answer; `None` where the test run has ended."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        print("listening", flush=True)
        for connection in connections(listening, process):
            if os.fork() == 0:
                return connection
            connection.close()
    return None


if __name__ == "__main__":
    draw_once()
    # No fork's collector looks through, and so copies, what was imported.
    gc.freeze()
    # Nobody waits for the forks.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    connection = serve(sys.argv[1], int(sys.argv[2]))
    if connection:
        become(connection)
