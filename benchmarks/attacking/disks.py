"""Disks that are full or fail, and clocks that jump, under a whole training run."""

import os
import random
import subprocess
import sys
from pathlib import Path

import warm

from attacking.kills import DISTURBED, TRAIN, _same_run
from attacking.verdicts import Verdicts

ROOT = Path(__file__).resolve().parents[2]
# The functions of the C library that bring TensorBoard's events to the disk, which fail.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int failing(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return strstr(path, "tfevents") && !access(getenv("FAIL_IF"), F_OK);
}
int fflush(FILE *file) {
  int (*plain)(FILE *) = dlsym(RTLD_NEXT, "fflush");
  if (file && failing(fileno(file))) { errno = EIO; return EOF; }
  return plain(file);
}
int fsync(int fd) {
  int (*plain)(int) = dlsym(RTLD_NEXT, "fsync");
  if (failing(fd)) { errno = EIO; return -1; }
  return plain(fd);
}
"""
# Beside the seed's own state, which the program may use.
JUMPING = """
import random, time
plain, jumps = time.time, random.Random(0)
time.time = lambda: plain() + jumps.uniform(-3e8, 3e8)
"""


def start(folder: Path, **variables: str) -> tuple[int, str]:
    """Trains in a process of its own; returns its status and its errors."""
    command = [sys.executable, str(ROOT / DISTURBED), "[]", "train", *TRAIN]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return ended.returncode, ended.stderr


def one_line(status: int, err: str, words: str) -> bool:
    lines = [line for line in err.splitlines() if line.startswith("train: ")]
    return status == 1 and "Traceback" not in err and len(lines) == 1 and words in lines[0]


def _whole(folder: Path) -> Path:
    (folder / "whole").mkdir()
    status, _, err = warm.run(DISTURBED, "[]", "train", *TRAIN, cwd=folder / "whole")
    assert status == 0, err
    return folder / "whole"


def _finish(verdicts: Verdicts, whole: Path, place: Path, **variables: str) -> None:
    """Starts a run that failed again: it must end like the one that did not."""
    status, err = start(place, **variables)
    if status:
        return verdicts.add("wrong", err[-300:])
    try:
        _same_run(whole, place)
        verdicts.add("one line, then it goes on to the same end")
    except AssertionError as error:
        verdicts.add("wrong", repr(error))


def tensorboard(number: int, folder: Path) -> Verdicts:
    """Writes to TensorBoard's files fail with EIO."""
    verdicts, whole = Verdicts.none(), _whole(folder)
    (folder / "shim.c").write_text(SHIM)
    library = folder / "shim.so"
    build = ["gcc", "-shared", "-fPIC", "-o", str(library), str(folder / "shim.c"), "-ldl"]
    subprocess.run(build, check=True)
    for i in range(number):
        place, flag = folder / str(i), folder / f"{i}.failing"
        place.mkdir()
        flag.touch()
        variables = {"LD_PRELOAD": str(library), "FAIL_IF": str(flag)}
        status, err = start(place, **variables)
        if not one_line(status, err, "run/tensorboard cannot be written: "):
            verdicts.add("wrong", f"{status} {err[-300:]}")
            continue
        flag.unlink()
        _finish(verdicts, whole, place, **variables)
    return verdicts


def full_disk(number: int, folder: Path) -> Verdicts:
    """A run on a file system of a few 100 kB, each time of another size; needs root."""
    verdicts, whole, rs = Verdicts.none(), _whole(folder), random.Random(0)
    for i in range(number):
        place = folder / str(i)
        place.mkdir()
        size = f"size={rs.randrange(30, 300)}k"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)], check=True)
        try:
            status, err = start(place)
            if not one_line(status, err, "No space left on device. Free some space"):
                verdicts.add("wrong", f"{size} {status} {err[-300:]}")
                continue
            command = ["mount", "-o", "remount,size=50m", str(place)]
            subprocess.run(command, check=True)
            _finish(verdicts, whole, place)
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)
    return verdicts


def other_file_systems(number: int, folder: Path) -> Verdicts:
    """Temporary files and the run's directory, a link, lie on other file systems than the link."""
    verdicts, whole = Verdicts.none(), _whole(folder)
    for i in range(number):
        place, other = folder / str(i), folder / f"{i}.mounted"
        place.mkdir()
        other.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(other)], check=True)
        try:
            (other / "run").mkdir()
            (other / "tmp").mkdir()
            (place / "run").symlink_to(other / "run")
            status, err = start(place, TMPDIR=str(other / "tmp" if i % 2 else folder))
            if status:
                verdicts.add("wrong", err[-300:])
            else:
                _same_run(whole, place)
                verdicts.add("the same end")
        except AssertionError as error:
            verdicts.add("wrong", repr(error))
        finally:
            subprocess.run(["umount", "-l", str(other)], check=True)
    return verdicts


def clocks(number: int, folder: Path) -> Verdicts:
    """The time of day jumps by up to ten years, forth and back, at every look at it."""
    verdicts, whole = Verdicts.none(), _whole(folder)
    for i in range(number):
        place, site = folder / str(i), folder / f"{i}.site"
        place.mkdir()
        site.mkdir()
        (site / "sitecustomize.py").write_text(JUMPING)
        path = os.pathsep.join([str(site), str(ROOT), str(ROOT / "tests" / "support")])
        status, err = start(place, PYTHONPATH=path)
        if status:
            verdicts.add("wrong", err[-300:])
            continue
        try:
            _same_run(whole, place)
            log = (place / "run" / "log.csv").read_text().splitlines()
            column = log[0].split(",").index("seconds")
            seconds = [float(line.split(",")[column]) for line in log[1:]]
            assert seconds == sorted(seconds) and seconds[0] > 0 and seconds[-1] < 600, seconds
            verdicts.add("the same end")
        except AssertionError as error:
            verdicts.add("wrong", repr(error))
    return verdicts
