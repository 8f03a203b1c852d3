"""Checks XLA_FLAGS. XLA ends the process if it does not accept one of the flags."""

import os
import re
from typing import Any

from keras_reptile.programs.streams import fail

# Messages of XLA on standard error before it ends the process.
REASONS = re.compile(r"\] (Unknown flags? in XLA_FLAGS: .*|Couldn't interpret value .*)")


def check(tensorflow: Any) -> None:
    """Ends the program with one line if XLA does not accept the flags in XLA_FLAGS.

    A child process tries them, in some tenths of a second.

    Args:
        tensorflow: The module. It must not have been used, because a child process does not have
            the threads of its parent.
    """
    given = os.environ.get("XLA_FLAGS")
    if not given or not hasattr(os, "fork"):
        return
    if reason := reason_in(_errors_of_a_child(tensorflow)):
        fail(f"XLA_FLAGS={given!r} cannot be used: {reason} Correct it, or unset it.")


def reason_in(errors: str) -> str | None:
    """Returns XLA's reason as a sentence, or `None`.

    Example:

    >>> reason_in("F0000 00:00:1 7 parse.cc:234] Unknown flag in XLA_FLAGS: --xla_nonsense=1")
    'Unknown flag in XLA_FLAGS: --xla_nonsense=1.'
    """
    found = REASONS.search(errors)
    return found[1].strip().rstrip(".") + "." if found else None


def _errors_of_a_child(tensorflow: Any) -> str:
    """Returns the standard error of a child process in which XLA compiles an addition."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(writing, 2)
            # XLA also knows the flags of GPUs without a GPU.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
            tensorflow.function(lambda x: x + 1, jit_compile=True)(1.0)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, errors="replace") as errors:
        text = errors.read()
    os.waitpid(child, 0)
    return text
