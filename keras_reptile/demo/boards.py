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
# The files of the blocks' JavaScript.
SCRIPTS = ("picture.js", "page.js", "upload.js")
# An arrow out of a tray.
ARROW = (
    '<svg viewBox="0 0 16 16" aria-hidden="true">'
    '<path d="M8 11V2M4.5 5.5 8 2l3.5 3.5M2.5 10v3.5h11V10"/></svg>'
)
# The one row of the block for the new drawing.
NEW = "a new one"


def text_of(file: str) -> str:
    """Returns the content of a file in this module's folder."""
    return (FOLDER / file).read_text(encoding="utf-8")


def board_script() -> str:
    """Returns the JavaScript of a block of canvases."""
    return "".join(map(text_of, SCRIPTS))


def board_html(name: str, rows: Sequence[str]) -> str:
    """Returns a block of rows of canvases, with its title and buttons.

    Args:
        name: String, `"examples"` or `"query"`.
        rows: Sequence of strings, the names of the rows.
    """
    lines = "".join(_row_html(number, row) for number, row in enumerate(rows))
    buttons = "".join(
        f'<button type="button" data-{action}>{text}</button>' for action, text in BUTTONS[name]
    )
    if name == "query":
        buttons = _upload_html(0, WORDS["upload"], WORDS["upload_query"]) + buttons
    heading = f'<div class="title"><h2>{WORDS[name]}</h2>{buttons}</div>'
    message = '<div class="message" data-message role="status" aria-live="polite"></div>'
    return f'<div class="board {name}">{heading}{message}{lines}</div>'


def _row_html(number: int, row: str) -> str:
    upload = _upload_html(number, ARROW, WORDS["upload_row"].format(name=row))
    name = f'<div class="name">{row}{"" if row == NEW else upload}</div>'
    return f'<div class="row" data-row="{row}">{name}<div class="pads"></div></div>'


def _upload_html(number: int, shown: str, label: str) -> str:
    """Returns a button that takes a picture for a row, by its number."""
    return (
        f'<label class="upload">{shown}<input type="file" accept="image/*" title="{label}" '
        f'aria-label="{label}" data-upload="{number}"></label>'
    )


def names_of(ways: int) -> list[str]:
    """Returns letters as names, or numbers if there are too few letters."""
    if ways <= len(string.ascii_uppercase):
        return list(string.ascii_uppercase[:ways])
    return [str(way + 1) for way in range(ways)]
