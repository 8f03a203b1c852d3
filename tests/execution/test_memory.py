import platform
import subprocess
import sys

import pytest

from keras_reptile import memory

pytestmark = pytest.mark.process

PROGRAM = """
import ctypes, resource, runpy, sys, threading
keep_freed_memory = runpy.run_path(sys.argv[2])["keep_freed_memory"]
glibc = ctypes.CDLL("libc.so.6")
glibc.malloc.restype, glibc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
glibc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
glibc.free.argtypes = [ctypes.c_void_p]

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def allocate_and_free():
    number, size = int(sys.argv[3]), int(sys.argv[4]) << 20
    for _ in range(50):
        blocks = [glibc.malloc(size) for _ in range(number)]
        for block in blocks:
            glibc.memset(block, 1, size)
        for block in blocks:
            glibc.free(block)

def faults_of(function):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults_of(allocate_and_free))
"""


def faults(how, *blocks):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, memory.__file__, *map(str, blocks)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's mallopt")
@pytest.mark.parametrize(("number", "megabytes"), [(8, 3), (1, 40)])
def test_a_thread_that_frees_and_allocates_gets_the_same_pages_again(number, megabytes):
    # Pages of 4 KB, touched for the first time once, or 50 times.
    kept, returned = (faults(how, number, megabytes) for how in ("kept", "returned"))
    assert kept < 3 * number * megabytes * 256
    assert returned > 10 * kept
