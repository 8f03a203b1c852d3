"""How a program reads its flags, and goes on to its work."""

import functools
import importlib
import re
import signal
import sys
from collections.abc import Sequence

from absl import app, flags, logging

from keras_reptile.checks import did_you_mean
from keras_reptile.programs import flags_of_programs, help, recipe_listing, start
from keras_reptile.programs.streams import fail


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
    help.show_if_asked(name, argv[1:])
    try:
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        near = did_you_mean(error.flagname, help.of_program())
        fail(f"Unknown command line flag {error.flagname!r}.{near} See --help.", 2)
    except flags.Error as error:
        message = " ".join(str(error).split())
        fail(f"{message}.{_near_choice(message)} See --help.", 2)


def _near_choice(message: str) -> str:
    """A question, where a value is like one of the choices that the message lists."""
    found = re.search(r"=(.*): value should be one of <(.*)>", message)
    return did_you_mean(found[1], found[2].split("|")) if found else ""


def _work(name: str, argv: Sequence[str]) -> None:
    if len(argv) > 1:
        fail(f"there are no arguments without dashes. Received: {' '.join(argv[1:])}", 2)
    logging.set_verbosity(logging.WARNING)
    if name == "train":
        _check_recipe()
    start.load_package()
    # Imported here: it imports TensorFlow.
    from keras_reptile.programs.outcome import work

    program = importlib.import_module(f"keras_reptile.programs.{name}")
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # Until now Ctrl-C ended the process at once.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    work(program.main, getattr(program, "threads", dict))


def _check_recipe() -> None:
    """Ends with one line for settings that no recipe has, or with what is to be shown instead."""
    try:
        recipe_listing.chosen()
        recipe_listing.show_if_asked()
    except ValueError as error:
        fail(" ".join(str(error).split()), 1)
