"""Reads the flags of a program, and then runs it."""

import functools
import importlib
import logging as standard_logging
import re
import signal
import sys
import warnings
from collections.abc import Sequence

from absl import app, flags, logging

from keras_reptile.checks import did_you_mean
from keras_reptile.programs import flags_of_programs, help, recipe_listing, start
from keras_reptile.programs.streams import called, fail


def run(name: str, arguments: Sequence[str]) -> None:
    """Parses the flags of a program and runs it.

    The exit status is 0 after success, 1 after an error, 2 if the command line is wrong, and 130
    if the user has stopped the program.
    """
    define(name)
    parse = functools.partial(_parse, name)
    app.run(functools.partial(_work, name), argv=[sys.argv[0], *arguments], flags_parser=parse)


@functools.cache
def define(name: str) -> None:
    """Defines the flags of a program. A process runs only one program."""
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
    """Returns a suggestion if the wrong value is similar to one of the listed choices."""
    found = re.search(r"=(.*): value should be one of <(.*)>", message)
    return did_you_mean(found[1], found[2].split("|")) if found else ""


def _work(name: str, argv: Sequence[str]) -> None:
    if len(argv) > 1:
        fail(f"only flags are accepted, as --name=value. Received: {' '.join(argv[1:])}", 2)
    logging.set_verbosity(logging.WARNING)
    name_the_program_in_warnings()
    if name == "train":
        _check_recipe()
        start.keep_kernels(recipe_listing.output_dir())
    with start.collecting_no_garbage():
        start.load_package()
        # Imported here: it imports TensorFlow.
        from keras_reptile.programs.outcome import work

        program = importlib.import_module(f"keras_reptile.programs.{name}")
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # Until here, Ctrl-C ends the process at once, see `start.end_at_ctrl_c`.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    work(program.main, getattr(program, "threads", dict))


def name_the_program_in_warnings() -> None:
    """Shows a warning for the user as a line: the program's name and the text, as errors are."""
    of_source = warnings.formatwarning

    def formatted(message, category, *place, **line) -> str:
        if issubclass(category, UserWarning):
            return f"{called()}: {message}\n"
        return of_source(message, category, *place, **line)

    warnings.formatwarning = formatted
    # absl's own lines begin with the time, the thread and the place in the source.
    line = standard_logging.Formatter(f"{called().replace('%', '%%')}: %(message)s")
    logging.get_absl_handler().setFormatter(line)


def _check_recipe() -> None:
    """Ends the program if the recipe is invalid, or if the flags only ask to show recipes."""
    try:
        recipe_listing.chosen()
        recipe_listing.show_if_asked()
    except ValueError as error:
        fail(" ".join(str(error).split()), 1)
