import platform
import subprocess
import sys

import pytest

from keras_reptile import memory

PROGRAM = """
import resource, runpy, sys, threading
import numpy as np
keep_freed_memory = runpy.run_path(sys.argv[2])["keep_freed_memory"]

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def allocate_and_free():
    for _ in range(50):
        [np.ones(3 << 20, np.uint8) for _ in range(8)]

def faults_of(function):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults_of(allocate_and_free))
"""


def faults(how):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, memory.__file__],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's mallopt")
def test_a_thread_that_frees_and_allocates_gets_the_same_pages_again():
    # 24 MB are 6,144 pages of 4 KB: touched for the first time once, or 50 times.
    kept, returned = faults("kept"), faults("returned")
    assert kept < 3 * 6_144
    # How many depends on where NumPy asks for huge pages.
    assert returned > 1.5 * kept
