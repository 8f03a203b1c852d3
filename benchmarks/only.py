"""The flag that chooses a part of a benchmark."""

from collections.abc import Iterable

from absl import flags

flags.disclaim_key_flags()  # `--help` shows the flag as one of the program's own.


def define_only(names: Iterable[str], text: str) -> None:
    """Defines `--only`, all of the names by default; others end the program with a line."""
    known = list(names)
    flags.DEFINE_list("only", known, text)
    flags.register_validator(
        "only", lambda given: set(given) <= set(known), f"It must be of {', '.join(known)}."
    )
