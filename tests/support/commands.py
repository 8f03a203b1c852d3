"""The programs in bin/, as a user starts them."""

import os
import subprocess
import sys
from pathlib import Path

import warm
from helpers import SMALL_RUN

ROOT = Path(__file__).resolve().parents[2]
# A run of seconds, on real glyphs.
SHORT = [
    "--meta_iterations=4",
    *SMALL_RUN,
    "--test_tasks=2",
]
# The same with a network of one layer.
SHORTEST = [*SHORT, "--network=small_network:build"]


def start(program, *arguments, cwd):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "bin" / program), *map(str, arguments)],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )


def run(program, *arguments, cwd):
    """Status, output and errors of a program that ends by itself, started from a warm process."""
    return warm.run(f"bin/{program}", *arguments, cwd=cwd)
