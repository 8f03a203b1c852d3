"""What the page says, as HTML: the heading, the status and the answer to a new drawing."""

import base64
import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_reptile.demo.drawn_task import DrawnTask, Learned

# A lower probability than this is called "not sure".
SURE = 0.6
DRAW_MORE = "Draw at least two characters to begin."
DRAW_QUERY = "Draw one of the characters again."
DIVERGED = "The network has diverged on these drawings. Take fewer gradient steps."
INTRODUCTION = (
    "Draw each character once, or a few times. The network takes a few gradient steps on your "
    "drawings, from meta-learned and from random weights. Then draw one of the characters again."
)


class Answer(NamedTuple):
    """The answer to a new drawing.

    verdict: String, HTML.
    bars: String, HTML: a table of the probabilities.
    """

    verdict: str
    bars: str


def heading_html(model: str) -> str:
    """Returns the title, an introduction, and the model in words."""
    return (
        f'<div class="heading"><h1>Few-shot learning, as you draw</h1><p>{INTRODUCTION}</p>'
        f'<p class="model">{html.escape(model)}</p></div>'
    )


def answer_to(
    task: DrawnTask, names: Sequence[str], learned: Learned | None, images: Sequence[np.ndarray]
) -> Answer:
    """Returns the answer to a new drawing, or the request for a missing drawing."""
    if learned is None:
        return without_drawing(names, DRAW_MORE)
    if not images:
        return without_drawing(names, DRAW_QUERY)
    known, fresh = task.predict(learned, images[0]), task.predict_from_random(learned, images[0])
    return Answer(verdict_html(names, known, fresh, images[0]), bars_html(names, known, fresh))


def without_drawing(names: Sequence[str], request: str) -> Answer:
    """Returns the answer while a drawing is missing: a request and empty bars."""
    nothing = np.zeros(len(names))
    return Answer(f'<div class="verdict">{request}</div>', bars_html(names, nothing, nothing))


def verdict_html(
    names: Sequence[str], known: np.ndarray, fresh: np.ndarray, image: np.ndarray
) -> str:
    """Returns the most probable character in words, by both networks, and the image."""
    if not np.isfinite(known).all():
        return f'<div class="verdict">{DIVERGED}{thumbnail(image)}</div>'
    best, p = names[int(known.argmax())], known.max()
    mark = f'<b data-answer="{best}">{best}</b>'
    said = f"This is {mark}" if p >= SURE else f"Not sure. Most probable: {mark} ({percent(p)})"
    from_random = f'From random weights: <b class="fresh">{in_short(names, fresh)}</b>'
    text = f"<div>{said}<br><small>{from_random}</small></div>"
    return f'<div class="verdict">{text}{thumbnail(image)}</div>'


def in_short(names: Sequence[str], probabilities: np.ndarray) -> str:
    """Returns the most probable character, or that the network is not sure.

    Example:

    >>> in_short("AB", np.array([0.3, 0.7])), in_short("AB", np.array([0.5, 0.5]))
    ('B', 'not sure')
    """
    if not np.isfinite(probabilities).all():
        return "diverged"
    return names[int(probabilities.argmax())] if probabilities.max() >= SURE else "not sure"


def bars_html(names: Sequence[str], known: np.ndarray, fresh: np.ndarray) -> str:
    """Returns a table: each character's probability after adaptation from both weights."""
    rows = "".join(
        f'<tr><th scope="row">{name}</th>{cell_html("known", name, known, i)}'
        f"{cell_html('fresh', name, fresh, i)}</tr>"
        for i, name in enumerate(names)
    )
    return (
        '<div class="answer"><table><thead><tr><th class="character"></th>'
        '<th class="known" scope="col">Meta-learned weights</th>'
        f'<th class="fresh" scope="col">Random weights</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def cell_html(kind: str, name: str, probabilities: np.ndarray, index: int) -> str:
    """Returns a cell of the table: a bar and its percentage."""
    p = np.nan_to_num(probabilities)
    best = "best " if p.any() and index == p.argmax() else ""
    return (
        f'<td class="{kind}"><div class="cell"><div class="track"><div class="{best}bar" '
        f'style="width: {100 * p[index]:.1f}%"></div></div>'
        f'<div class="percent" data-{kind}="{name}">{percent(p[index])}</div></div></td>'
    )


def percent(probability: float) -> str:
    """Returns a probability in percent.

    Example:

    >>> percent(0.1234)
    '12.3 %'
    """
    return f"{100 * probability:.1f} %"


def status_html(learned: Learned | None) -> str:
    """Returns the numbers of characters, drawings and steps, and the time of adaptation."""
    if learned is None:
        return '<div class="status">Nothing learned yet.</div>'
    drawings, characters = len(learned.support_x), int(learned.ways.sum())
    return (
        f'<div class="status">Learned {characters} characters from {counted(drawings, "drawing")}: '
        f"{counted(learned.steps, 'gradient step')} in {1000 * learned.seconds:.0f} ms.</div>"
    )


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, in the plural where there are several.

    Example:

    >>> counted(1, "step"), counted(2, "step")
    ('1 step', '2 steps')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def thumbnail(image: np.ndarray) -> str:
    """Returns the image that the network sees, as an element of the page."""
    pixels = np.rint(255 * image).astype(np.uint8)
    url = base64.b64encode(tf.io.encode_png(pixels).numpy()).decode()
    title = f"The drawing as the network sees it, {len(image)} &times; {len(image)} pixels"
    return f'<img src="data:image/png;base64,{url}" alt="{title}" title="{title}">'
