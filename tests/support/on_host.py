"""Runs a program in a network namespace: `on_host.py NAMESPACE PROGRAM ARGUMENTS`."""

import ctypes
import os
import runpy
import sys
from pathlib import Path

CLONE_NEWNET = 0x40000000


def enter(namespace):
    """Moves this process, which must have a single thread, to another host's network."""
    file = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(file, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns to {namespace}")


if __name__ == "__main__":
    _, namespace, *sys.argv = sys.argv
    enter(namespace)
    runpy.run_path(str(Path(__file__).with_name(sys.argv[0])), run_name="__main__")
