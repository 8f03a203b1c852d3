"""The static page: one HTML file that contains the network and needs no server."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_reptile.demo.answers import heading_html, status_html, without_drawing
from keras_reptile.demo.boards import NEW, board_html, board_script, names_of, text_of
from keras_reptile.demo.browser_network import browser_network
from keras_reptile.demo.description import described
from keras_reptile.demo.drawings import DRAWN, FAINT
from keras_reptile.demo.drawn_task import (
    MOST_STEPS,
    SHOTS,
    STEPS,
    check_steps,
    check_ways,
)
from keras_reptile.demo.models import load_model
from keras_reptile.demo.words import HTML, SURE, TITLE, WORDS
from keras_reptile.files.atomic_file import check_writable, write_text
from keras_reptile.reptile_model import ReptileModel

# The page may run its own code, and load nothing.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data:"
)
# The files that the page's workers run, and those of the page itself.
ARITHMETIC = (
    "matrices.js",
    "windows.js",
    "network.js",
    "optimizers.js",
    "adaptation.js",
    "minibatches.js",
    "learner.js",
)
PAGE = ("drawing.js", "sayings.js", "static.js")


def write_page(
    path: str | os.PathLike,
    model: str | os.PathLike,
    ways: int | None = None,
    steps: int | None = None,
) -> int:
    """Writes the page as one HTML file that works without a server and a network connection.

    Args:
        path: String or path, the file to write. An earlier one is replaced.
        model: String or path, a trained model, see `load_model`.
        ways: Integer, characters on the page. Defaults to `None`, the number of the network's
            outputs.
        steps: Integer, inner steps at the start. Defaults to `None`: 50.

    Returns:
        Integer, the size of the file in bytes.

    Raises:
        RunError: If there is no such model, JavaScript of the page cannot compute it, or the file
            cannot be written.
        ValueError: If `ways` or `steps` is out of range.
    """
    check_writable(path)
    page = page_html(load_model(model), described(model), ways, steps)
    write_text(Path(path), page)
    return len(page.encode())


def page_html(
    model: ReptileModel, description: str, ways: int | None = None, steps: int | None = None
) -> str:
    """Returns the page.

    Args:
        model: A compiled `ReptileModel`.
        description: String, the model in words.
        ways, steps: See `write_page`.
    """
    network = browser_network(model)
    ways = network["outputs"] if ways is None else ways
    steps = STEPS if steps is None else steps
    check_ways(ways, network["outputs"])
    check_steps(steps)
    names = names_of(ways)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{_head()}</head>\n'
        f"<body>\n{_body(names, description, steps)}{_scripts(network, names)}</body>\n</html>\n"
    )


def _head() -> str:
    return (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{TITLE}</title>\n"
        f"<style>\n{text_of('page.css')}{text_of('static.css')}</style>\n"
    )


def _body(names: Sequence[str], description: str, steps: int) -> str:
    asked = without_drawing(names, WORDS["draw_more"])
    heading = heading_html(description, f"{WORDS['introduction']} {WORDS['by_itself']}")
    return (
        f'<main>\n<div id="heading">{heading}</div>\n'
        f'<div id="failure" role="alert"></div>\n<noscript>{WORDS["no_script"]}</noscript>\n'
        f'<div class="columns">\n<div>\n<div id="examples">{board_html("examples", names)}</div>\n'
        f'</div>\n<div>\n<div id="query">{board_html("query", [NEW])}</div>\n'
        f'<div id="verdict" role="status" aria-live="polite">{asked.verdict}</div>\n'
        f'<div id="answer">{asked.bars}</div>\n</div>\n</div>\n'
        f'<div class="steps"><label for="steps">{WORDS["steps"]}</label>'
        f'<input id="steps" type="range" min="1" max="{MOST_STEPS}" value="{steps}">'
        f'<output id="steps_now" for="steps">{steps}</output></div>\n'
        f'<div id="status" role="status" aria-live="polite">{status_html(None)}</div>\n</main>\n'
    )


def _scripts(network: dict[str, Any], names: Sequence[str]) -> str:
    data = {
        "words": WORDS,
        "html": HTML,
        "names": names,
        "sure": SURE,
        "shots": SHOTS,
        "ink": {"faint": FAINT, "drawn": DRAWN},
        "network": network,
    }
    # In a script "<" could end it.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    arithmetic = "".join(map(text_of, ARITHMETIC))
    board = f"function board(element, props, trigger) {{\n{board_script()}}}\n"
    page = board + "".join(map(text_of, PAGE))
    return (
        f'<script type="application/json" id="data">{text}</script>\n'
        f'<script id="arithmetic">\n{arithmetic}</script>\n<script>\n{page}</script>\n'
    )
