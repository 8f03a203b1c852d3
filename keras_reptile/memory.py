"""Memory that operations free is kept for the next ones."""

import ctypes

# What mallopt(3) calls them.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
# glibc keeps the memory of each worker thread in heaps of 64 MB; what is larger is still mapped by
# itself there.
LIMITS = {M_TRIM_THRESHOLD: 1 << 30, M_TOP_PAD: 64 << 20, M_MMAP_MAX: 0}


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
