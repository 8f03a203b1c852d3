import platform

import pytest
import warm

pytestmark = [pytest.mark.process, pytest.mark.slow]

PROGRAM = """
import ctypes, resource, sys, threading
from keras_reptile.threads import keep_freed_memory
glibc = ctypes.CDLL("libc.so.6")
glibc.malloc.restype, glibc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
glibc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
glibc.free.argtypes = [ctypes.c_void_p]

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def allocate_and_free():
    number, size = int(sys.argv[2]), int(sys.argv[3]) << 20
    for _ in range(20):
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


def faults(folder, how, *blocks):
    status, out, err = warm.run_source(PROGRAM, folder, how, *blocks)
    assert status == 0, err
    return int(out)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's mallopt")
@pytest.mark.parametrize(("number", "megabytes"), [(8, 3), (1, 40)])
def test_a_thread_that_frees_and_allocates_gets_the_same_pages_again(number, megabytes, tmp_path):
    # Pages of 4 KB, touched for the first time once, or 20 times.
    kept, returned = (faults(tmp_path, how, number, megabytes) for how in ("kept", "returned"))
    assert kept < 3 * number * megabytes * 256
    assert returned > 5 * kept
