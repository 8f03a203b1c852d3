"""Threads for small networks: each core runs its own task."""

import ctypes
import os
import warnings

import tensorflow as tf

from keras_reptile.checks import INT32, check_boolean, check_integer

# What mallopt(3) calls them.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4

# glibc keeps the memory of each worker thread in heaps of 64 MB; what is larger is still mapped by
# itself there.
LIMITS = {M_TRIM_THRESHOLD: 1 << 30, M_TOP_PAD: 64 << 20, M_MMAP_MAX: 0}


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_for_tasks() -> int:
    """The operations that TensorFlow runs at once, each a task on a core of its own."""
    return tf.config.threading.get_inter_op_parallelism_threads() or usable_cores()


ON_A_CPU = {
    # Matrix products of one task would wait for threads that compute another.
    "--xla_cpu_multi_thread_eigen": "false",
    # As wide as the registers are: with AVX-512 else only half of one is used.
    "--xla_cpu_prefer_vector_width": "512",
}
ON_A_GPU = {
    # Trying kernels out takes half of the time to the first step, and the next run may find others
    # faster, whose rounding differs.
    "--xla_gpu_autotune_level": "0",
    # Without a trial cuBLAS chooses better than Triton.
    "--xla_gpu_enable_triton_gemm": "false",
}


TOO_LATE = (
    "`one_task_per_core` was called after TensorFlow had started, whose threads stay as they are. "
    "Numbers are the same but for rounding; training on a CPU takes longer. Call it at the top of "
    "the program, or restart the notebook's kernel and call it first."
)


def one_task_per_core(
    cores: int | None = None,
    *,
    jit_compile: bool = False,
    share_idle_cores: bool = False,
    lend: bool | None = None,
) -> int:
    """Has TensorFlow run every operation on one thread, and as many operations as there are cores.

    The operations of a small network on a few images are too short to divide among cores; the
    tasks of a meta-batch are not. Memory that operations free is kept for the next ones. On a GPU
    XLA is told to choose kernels without trying them out, so that every run has the same ones,
    which may be slower ones (docs/how_to/devices.md). Flags in `XLA_FLAGS` stay as they are.
    Call it before TensorFlow does anything: its threads are fixed at its first operation. Later,
    as in a notebook that has computed something, the call warns, and everything goes on with the
    threads that there are. The programs in `bin/` call it by themselves.

    Args:
        cores: Integer. Defaults to `None`, those that this process may use.
        jit_compile: Boolean, whether XLA is to compile the inner loops, with `jit_compile=True` in
            `compile`: then it is told to use one thread for a task, and all of a register's width.
            Defaults to `False`.
        share_idle_cores: Boolean, whether XLA may run parts of a task on another core. It is faster
            with fewer tasks than cores, with more than 100 tasks, and for networks with many
            parallel branches. Otherwise it is slower. Defaults to `False`.
        lend: The earlier name of `share_idle_cores`. Defaults to `None`.

    Returns:
        The number of operations that TensorFlow runs at once: `cores`, if it was in time.

    Raises:
        ValueError: If `cores` is not at least 1.

    Example:

    ```python
    import keras_reptile as kr

    kr.one_task_per_core()
    ```
    """
    if lend is not None:
        warnings.warn("`lend` is now called `share_idle_cores`.", DeprecationWarning, stacklevel=2)
        share_idle_cores = lend
    check_boolean("share_idle_cores", share_idle_cores)
    if cores is not None:
        check_integer("cores", cores, 1, INT32)
    cores = cores or usable_cores()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(cores if share_idle_cores else 1)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
    except RuntimeError:
        warnings.warn(TOO_LATE, stacklevel=2)
    on_a_gpu = ON_A_GPU if tf.config.list_physical_devices("GPU") else {}
    ours = {**(ON_A_CPU if jit_compile else {}), **on_a_gpu}
    if ours:
        os.environ["XLA_FLAGS"] = with_defaults(os.environ.get("XLA_FLAGS", ""), ours)
    keep_freed_memory()
    return cores_for_tasks()


def with_defaults(given: str, flags: dict[str, str]) -> str:
    """XLA's flags, with those of `flags` that are not given; the name of a file of flags stays.

    Example:

    >>> with_defaults("--xla_cpu_prefer_vector_width=256", ON_A_CPU)
    '--xla_cpu_prefer_vector_width=256 --xla_cpu_multi_thread_eigen=false'
    """
    if given and not given.startswith("-"):
        return given
    ours = [f"{name}={value}" for name, value in flags.items() if name not in given]
    return " ".join([*given.split(), *ours])


def keep_freed_memory() -> bool:
    """Has the C library keep freed memory, rather than return it to the system at once.

    An inner step allocates and frees the same few megabytes again and again. Where glibc returns
    them every time, the system clears them page by page for the next operation: in the worker
    threads of a cluster that took half of the time. The process's memory stays near its peak, also
    of what it needed for a moment only, as to read its data.

    Returns:
        Whether it did: `False` where the C library is not glibc.

    Example:

    >>> keep_freed_memory() in (True, False)
    True
    """
    try:
        glibc = ctypes.CDLL("libc.so.6")
        glibc.gnu_get_libc_version  # noqa: B018
    except (OSError, AttributeError):
        return False
    return all([glibc.mallopt(name, limit) == 1 for name, limit in LIMITS.items()])
