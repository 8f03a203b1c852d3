"""How the programs in `bin/` start and fail: one clear line, never a traceback."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from absl import app, flags, logging

from keras_reptile.errors import RunError, advice, reason
from keras_reptile.threads import one_task_per_core

OUT_OF_MEMORY = (
    "out of memory ({}). Use a smaller --meta_batch_size, --inner_batch_size, --image_size or "
    "--task_parallelism=separate, or a machine with more memory. Earlier checkpoints are intact."
)


def run(main: Callable[[], Any], threads: Callable[[], dict] = dict) -> None:
    """Parses the flags, sets the threads and calls `main`; errors of use end in one line.

    `threads` makes of the flags what `one_task_per_core` is told.

    Exit status: 0 done, 1 the work could not be done, 2 the command line is wrong, 130 stopped by
    the user.
    """

    def guarded(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            fail(f"there are no arguments without dashes. Received: {' '.join(argv[1:])}", 2)
        logging.set_verbosity(logging.WARNING)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            # Until now Ctrl-C ended the process at once.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            one_task_per_core(**threads())
            main()
            sys.stdout.flush()
        except (RunError, ValueError) as error:
            fail(" ".join(str(error).split()), 1)
        except BrokenPipeError:
            # Python would try again at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            fail("nobody reads what it prints. Send it to a file, or read it to its end.", 1)
        except OSError as error:
            fail(_of_the_system(error), 1)
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            fail(OUT_OF_MEMORY.format(reason(error)), 1)
        except KeyboardInterrupt:
            fail("stopped.", 130)

    app.run(guarded, flags_parser=_parse)


def _of_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{reason(error)}. {advice(error)}; all that was written before is whole."


def fail(message: str, status: int) -> None:
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def _parse(argv):
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        fail(f"{' '.join(str(error).split())} See --help.", 2)
