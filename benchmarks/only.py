"""The flag that chooses a part of a benchmark."""

from collections.abc import Iterable

from absl import flags

flags.disclaim_key_flags()  # `--help` shows the flag as one of the program's own.


def define_only(names: Iterable[str], text: str, more: Iterable[str] = ()) -> None:
    """Defines `--only`, all of the names by default; `more` may be given, too.

    Others end the program with a line.
    """
    known = [*names, *more]
    flags.DEFINE_list("only", list(names), text)
    flags.register_validator(
        "only", lambda given: set(given) <= set(known), f"It must be of {', '.join(known)}."
    )
