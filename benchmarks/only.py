"""The flag that chooses parts of a benchmark."""

from collections.abc import Iterable

from absl import flags

flags.disclaim_key_flags()  # `--help` shows the flag as one of the program's own.


def define_only(names: Iterable[str], text: str, more: Iterable[str] = ()) -> None:
    """Defines `--only`, all of the names by default; `more` may be given, too.

    Others, and none, end the program with a line.
    """
    known = [*names, *more]
    flags.DEFINE_list("only", list(names), text)
    is_known = lambda given: bool(given) and set(given) <= set(known)  # noqa: E731
    message = f"It must be one or more of {', '.join(known)}."
    flags.register_validator("only", is_known, message)
