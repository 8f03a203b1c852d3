"""Sets TensorFlow's threads for small networks: each core computes a task of its own."""

import ctypes
import os
import warnings

import tensorflow as tf

from keras_reptile.checks import INT32, check_boolean, check_integer

# Parameters of mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4

# With these limits, glibc keeps up to 1 GB of freed memory, and maps no block by itself. Worker
# threads have heaps of 64 MB. There, larger blocks are still mapped by themselves.
LIMITS = {M_TRIM_THRESHOLD: 1 << 30, M_TOP_PAD: 64 << 20, M_MMAP_MAX: 0}


def usable_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_for_tasks() -> int:
    """Returns the number of operations that TensorFlow runs at the same time, one on each core."""
    return tf.config.threading.get_inter_op_parallelism_threads() or usable_cores()


ON_A_CPU = {
    # Otherwise matrix products of one task would wait for threads that compute another task.
    "--xla_cpu_multi_thread_eigen": "false",
    # By default XLA uses only half of an AVX-512 register.
    "--xla_cpu_prefer_vector_width": "512",
}
ON_A_GPU = {
    # Autotuning takes half of the time until the first step. Another run may choose other kernels,
    # whose rounding differs.
    "--xla_gpu_autotune_level": "0",
    # Without autotuning, cuBLAS's kernels are faster than Triton's.
    "--xla_gpu_enable_triton_gemm": "false",
}


TOO_LATE = (
    "`one_task_per_core` was called after TensorFlow had started. Its threads cannot change any "
    "more. Results are the same up to rounding, but training on a CPU is slower. Call it at the "
    "top of the program, or restart the notebook's kernel and call it first."
)


def one_task_per_core(
    cores: int | None = None,
    *,
    jit_compile: bool = False,
    share_idle_cores: bool = False,
    lend: bool | None = None,
) -> int:
    """Makes TensorFlow run each operation on one thread, and as many operations as there are cores.

    The operations of a small network on a few images are too short to be divided among cores, but
    the tasks of a meta-batch are long enough. Freed memory is kept for the next operations. On a
    GPU, XLA chooses kernels without autotuning: each run has the same kernels, which may be slower
    ones (docs/how_to/devices.md). Flags that are set in `XLA_FLAGS` stay as they are.

    Call it before TensorFlow's first operation, which fixes its threads. A later call, as in a
    notebook, warns and leaves the threads as they are. The programs in `bin/` call it themselves.

    Args:
        cores: Integer. Defaults to `None`, those that this process may use.
        jit_compile: Boolean, whether XLA will compile the inner loops, as `compile` with
            `jit_compile=True` does. XLA then uses one thread for each task, and the whole width of
            registers. Defaults to `False`.
        share_idle_cores: Boolean, whether XLA may run parts of a task on another core. This is
            faster with fewer tasks than cores, with more than 100 tasks, and for networks with many
            parallel branches. Otherwise it is slower. Defaults to `False`.
        lend: The earlier name of `share_idle_cores`. Defaults to `None`.

    Returns:
        Integer, the number of operations that TensorFlow runs at the same time. It is `cores` if
        the call came before TensorFlow's first operation.

    Raises:
        ValueError: If `cores` is not at least 1, or another argument is not a boolean.

    Example:

    ```python
    import keras_reptile as kr

    kr.one_task_per_core()
    ```
    """
    if lend is not None:
        warnings.warn("`lend` is now called `share_idle_cores`.", DeprecationWarning, stacklevel=2)
        share_idle_cores = lend
    check_boolean("jit_compile", jit_compile)
    check_boolean("share_idle_cores", share_idle_cores)
    if cores is not None:
        cores = check_integer("cores", cores, 1, INT32)
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
    """Returns XLA's flags, with defaults for those that are not given.

    A value that is the name of a file of flags is returned as it is.

    Example:

    >>> with_defaults("--xla_cpu_prefer_vector_width=256", ON_A_CPU)
    '--xla_cpu_prefer_vector_width=256 --xla_cpu_multi_thread_eigen=false'
    """
    if given and not given.startswith("-"):
        return given
    ours = [f"{name}={value}" for name, value in flags.items() if name not in given]
    return " ".join([*given.split(), *ours])


def keep_freed_memory() -> bool:
    """Makes the C library keep freed memory instead of returning it to the system.

    Each inner step allocates and frees the same few megabytes. If glibc returns them each time, the
    system has to clear their pages for the next operation. In the worker threads of a cluster this
    took half of the time. The process's memory stays near its peak, also after its data are loaded.

    Returns:
        Boolean, whether the C library is glibc and has accepted the limits.

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
