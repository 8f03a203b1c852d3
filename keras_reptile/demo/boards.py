"""The blocks of canvases as HTML, on which the page's JavaScript draws."""

import string
from collections.abc import Sequence
from pathlib import Path

from keras_reptile.demo.words import WORDS

FOLDER = Path(__file__).parent
# For each block of canvases, the actions and texts of its buttons.
BUTTONS = {
    "examples": [("examples", "Examples"), ("undo", "Undo"), ("clear", "Clear")],
    "query": [("examples", "Example"), ("undo", "Undo"), ("clear", "Clear")],
}
# The one row of the block for the new drawing.
NEW = "a new one"


def text_of(file: str) -> str:
    """Returns the content of a file in this module's folder."""
    return (FOLDER / file).read_text(encoding="utf-8")


def board_html(name: str, rows: Sequence[str]) -> str:
    """Returns a block of rows of canvases, with its title and buttons.

    Args:
        name: String, `"examples"` or `"query"`.
        rows: Sequence of strings, the names of the rows.
    """
    lines = "".join(
        f'<div class="row" data-row="{row}"><div class="name">{row}</div>'
        '<div class="pads"></div></div>'
        for row in rows
    )
    buttons = "".join(
        f'<button type="button" data-{action}>{text}</button>' for action, text in BUTTONS[name]
    )
    heading = f'<div class="title"><h2>{WORDS[name]}</h2>{buttons}</div>'
    return f'<div class="board {name}">{heading}{lines}</div>'


def names_of(ways: int) -> list[str]:
    """Returns letters as names, or numbers if there are too few letters."""
    if ways <= len(string.ascii_uppercase):
        return list(string.ascii_uppercase[:ways])
    return [str(way + 1) for way in range(ways)]
