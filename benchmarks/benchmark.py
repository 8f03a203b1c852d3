"""How a benchmark starts, and the file that keeps its figures."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import app, flags

flags.disclaim_key_flags()  # `--help` shows the flag as one of the program's own.
FLAGS = flags.FLAGS


def run(main: Callable[[], None]) -> None:
    """Runs a program with its flags.

    Other arguments end it with a line, and so do errors of the package's users.
    """

    def checked(argv: list[str]) -> None:
        if argv[1:]:
            others = " ".join(argv[1:])
            sys.exit(f"{name()}: only flags are accepted, as --name=value. Received: {others}")
        try:
            main()
        except Exception as error:
            package = sys.modules.get("keras_reptile.errors")
            if not package or not isinstance(error, ValueError | package.RunError):
                raise
            sys.exit(f"{name()}: {error}")

    app.run(checked)


def name() -> str:
    """Returns the name of the program, with which its errors begin."""
    return Path(sys.argv[0]).name


def define_orientations() -> None:
    """Defines the flag `--orientations`, a list."""
    from keras_reptile.algorithm.orientations import ORIENTATIONS

    flags.DEFINE_list("orientations", ["1", "4"], "Numbers of orientations.")
    flags.register_validator(
        "orientations",
        lambda given: bool(given) and {*given} <= {*map(str, ORIENTATIONS)},
        f"It must be one or more of {', '.join(map(str, ORIENTATIONS))}.",
    )


def define_json(text: str) -> None:
    """Defines `--json`. A file that cannot be written ends the program before it measures."""
    flags.DEFINE_string("json", None, text)
    message = "It must be a file in a folder that is there and can be written to."
    flags.register_validator("json", _can_be_written, message)


def _can_be_written(path: str | None) -> bool:
    if path is None:
        return True
    folder = os.path.dirname(path) or "."
    return not os.path.isdir(path) and os.path.isdir(folder) and os.access(folder, os.W_OK)


def facts() -> dict:
    """Returns the command, versions and machine."""
    from keras_reptile.files import provenance

    return provenance.facts()


@contextlib.contextmanager
def figures(about: Callable[[], dict] = facts) -> Iterator[dict]:
    """Yields a dict, which is written to `--json` at the end, with what `about` returns.

    What was measured before a failure is written, too, and marked as incomplete.
    """
    found: dict = {}
    try:
        yield found
    except BaseException:
        if any(found.values()):
            found["incomplete"] = True
            _write({**found, **about()})
        raise
    _write({**found, **about()})


def _write(content: dict) -> None:
    if FLAGS.json:
        Path(FLAGS.json).write_text(json.dumps(content, indent=2) + "\n")
