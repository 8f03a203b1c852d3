"""Ends a program: errors that are not bugs are shown as one line without a traceback."""

import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_reptile.errors import RunError, advice, reason
from keras_reptile.programs.streams import fail, nobody_reads
from keras_reptile.threads import one_task_per_core

OUT_OF_MEMORY = (
    "out of memory ({}). Use a smaller --meta_batch_size, --inner_batch_size, --image_size or "
    "--task_parallelism=separate, or a machine with more memory. Earlier checkpoints are intact."
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
        fail(OUT_OF_MEMORY.format(reason(error)), 1)
    except KeyboardInterrupt:
        fail("stopped.", 130)


def _of_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{reason(error)}. {advice(error)}. Files that were written earlier are complete."
