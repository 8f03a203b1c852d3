"""An extension of griffe, which reads the docstrings: they are written for a reader of the code."""

import re
from typing import Any

import griffe

# Lines from `>>>` to the next empty line.
EXAMPLE = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?! *\n| *$).*)*", re.MULTILINE)
# Several arguments that share a description, and its further lines.
SHARED = re.compile(r"^    (?P<names>\w+(?:, \w+)+):(?P<text>.*(?:\n {8}.*)*)", re.MULTILINE)


def fenced(text: str) -> str:
    """A docstring whose doctests stand between fences."""

    def block(match: re.Match) -> str:
        indent = match["indent"]
        return f"{indent}```pycon\n{match[0]}\n{indent}```"

    return EXAMPLE.sub(block, text)


def one_each(text: str) -> str:
    """A docstring whose every argument has a description of its own.

    Example:

    >>> print(one_each("Args:\\n    a, b: See there."))
    Args:
        a: See there.
        b: See there.
    """

    def lines(match: re.Match) -> str:
        return "\n".join(f"    {name}:{match['text']}" for name in match["names"].split(", "))

    return SHARED.sub(lines, text)


class Docstrings(griffe.Extension):
    """Fences doctests, and divides descriptions that several arguments share."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fenced(one_each(obj.docstring.value))
