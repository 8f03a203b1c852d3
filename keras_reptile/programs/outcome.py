"""Ends a program: errors that are not bugs are shown as one line without a traceback."""

import sys
from collections.abc import Callable, Collection
from typing import Any

import tensorflow as tf
from absl import flags

from keras_reptile.errors import RunError, advice, reason
from keras_reptile.programs.streams import fail, nobody_reads
from keras_reptile.threads import one_task_per_core

# Flags with which a computation needs less memory: of a training, or else of an evaluation.
SMALLER = (
    ("meta_batch_size", "inner_batch_size", "image_size"),
    ("eval_inner_batch_size", "queries"),
)


def work(main: Callable[[], Any], threads: Callable[[], dict] = dict) -> None:
    """Sets the threads and calls `main`. Errors that are not bugs end the program with one line.

    Args:
        main: Function without arguments.
        threads: Function without arguments, to the arguments of `one_task_per_core`.
    """
    try:
        one_task_per_core(**threads())
        main()
        sys.stdout.flush()
    except (RunError, ValueError) as error:
        fail(" ".join(str(error).split()), 1)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and nobody_reads():
            raise
        fail(_of_the_system(error), 1)
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        fail(out_of_memory(reason(error), {*flags.FLAGS}), 1)
    except KeyboardInterrupt:
        fail("stopped.", 130)


def out_of_memory(why: str, known: Collection[str]) -> str:
    """Returns the message for too little memory, with advice that the program can follow.

    Args:
        why: String, the reason.
        known: Collection of strings, the names of the program's flags.

    Example:

    >>> out_of_memory("4 GiB", {"queries", "eval_inner_batch_size"}).split("=")[0]
    'out of memory (4 GiB). Use a smaller --eval_inner_batch_size, --queries or --task_parallelism'
    >>> out_of_memory("4 GiB", set())
    'out of memory (4 GiB). Use a machine with more memory. Earlier checkpoints are intact.'
    """
    names = next((names for names in SMALLER if all(name in known for name in names)), ())
    smaller = ", ".join(f"--{name}" for name in names)
    less = f"a smaller {smaller} or --task_parallelism=separate, or " if smaller else ""
    return (
        f"out of memory ({why}). Use {less}a machine with more memory. Earlier checkpoints are "
        "intact."
    )


def _of_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{reason(error)}. {advice(error)}. Files that were written earlier are complete."
