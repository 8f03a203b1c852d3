"""The command `reptile`: its help, and the choice of the program."""

import inspect
import sys

from keras_reptile.checks import did_you_mean
from keras_reptile.programs.flags_of_programs import PROGRAMS
from keras_reptile.programs.help import ASKS
from keras_reptile.version import __version__

USAGE = """Reptile meta-learning in Keras.

Usage: reptile PROGRAM [--flag=value ...]

{}

reptile PROGRAM --help shows its flags. reptile --version shows {}."""


def chosen(name: str) -> str:
    """Returns the name of a program. For a request of help, or an unknown name, it ends."""
    if name in PROGRAMS:
        return name
    if name in (*ASKS, "help"):
        print(usage())
        sys.exit(0)
    if name == "--version":
        print(__version__)
        sys.exit(0)
    near = did_you_mean(name, PROGRAMS)
    print(
        f"reptile: there is no program {name!r}.{near} There are {', '.join(PROGRAMS)}.",
        file=sys.stderr,
    )
    sys.exit(2)


def usage() -> str:
    """Returns the help of the command, with a line for each program."""
    lines = [
        f"  {name:<9} {str(inspect.getdoc(define)).splitlines()[0]}"
        for name, define in PROGRAMS.items()
    ]
    return USAGE.format("\n".join(lines), __version__)
