"""How a program reads its flags, and goes on to its work."""

import functools
import importlib
import signal
import sys
from collections.abc import Sequence

from absl import app, flags, logging

from keras_reptile.programs import flags_of_programs, start
from keras_reptile.programs.help import show_if_asked
from keras_reptile.programs.start import fail


def run(name: str, arguments: Sequence[str]) -> None:
    """Parses the flags of a program and does its work.

    Exit status: 0 done, 1 the work could not be done, 2 the command line is wrong, 130 stopped by
    the user.
    """
    define(name)
    parse = functools.partial(_parse, name)
    app.run(functools.partial(_work, name), argv=[sys.argv[0], *arguments], flags_parser=parse)


@functools.cache
def define(name: str) -> None:
    """Defines the flags of a program, once in a process, which has flags of one program only."""
    flags_of_programs.PROGRAMS[name]()


def _parse(name: str, argv: Sequence[str]) -> list[str]:
    show_if_asked(name, argv[1:])
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        fail(f"{' '.join(str(error).split())} See --help.", 2)


def _work(name: str, argv: Sequence[str]) -> None:
    if len(argv) > 1:
        fail(f"there are no arguments without dashes. Received: {' '.join(argv[1:])}", 2)
    logging.set_verbosity(logging.WARNING)
    start.load_package()
    # Of these the first imports TensorFlow.
    from keras_reptile.programs.outcome import work

    program = importlib.import_module(f"keras_reptile.programs.{name}")
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # Until now Ctrl-C ended the process at once.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    work(program.main, getattr(program, "threads", dict))
