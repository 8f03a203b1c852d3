"""The help of a program."""

import inspect
import sys
from collections.abc import Sequence

from absl import flags

from keras_reptile.programs import flags_of_programs

ASKS = ("-h", "-help", "--help", "-?", "-helpshort", "--helpshort")


def show_if_asked(name: str, arguments: Sequence[str]) -> None:
    """Prints the help of a program and ends, if the arguments ask for it."""
    if any(argument in ASKS for argument in arguments):
        print(text(name))
        sys.exit(0)


def text(name: str) -> str:
    """What a program does, with examples, and its flags."""
    about = inspect.getdoc(flags_of_programs.PROGRAMS[name])
    modules = flags.FLAGS.flags_by_module_dict()
    ours = [f for module in modules if "keras_reptile" in module for f in modules[module]]
    lines = [f"--{flag.name}: {flag.help}" for flag in ours]
    return "\n".join([str(about), "", *lines])
