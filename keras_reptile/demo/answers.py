"""The texts of the page as HTML: the heading, the status and the answer to a new drawing."""

import base64
import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_reptile.checks import counted
from keras_reptile.demo.drawn_task import DrawnTask, Learned
from keras_reptile.demo.words import HTML, SURE, TITLE, WORDS


class Answer(NamedTuple):
    """The answer to a new drawing.

    verdict: String, HTML.
    bars: String, HTML: a table of the probabilities.
    """

    verdict: str
    bars: str


def heading_html(model: str, introduction: str = WORDS["introduction"]) -> str:
    """Returns the title, an introduction, and the model in words."""
    return HTML["heading"].format(title=TITLE, introduction=introduction, model=html.escape(model))


def answer_to(
    task: DrawnTask, names: Sequence[str], learned: Learned | None, images: Sequence[np.ndarray]
) -> Answer:
    """Returns the answer to a new drawing, or the request for a missing drawing."""
    if learned is None:
        return without_drawing(names, WORDS["draw_more"])
    if not images:
        return without_drawing(names, WORDS["draw_query"])
    known, fresh = task.predict(learned, images[0]), task.predict_from_random(learned, images[0])
    return Answer(verdict_html(names, known, fresh, images[0]), bars_html(names, known, fresh))


def without_drawing(names: Sequence[str], request: str) -> Answer:
    """Returns the answer while a drawing is missing: a request and empty bars."""
    nothing = np.zeros(len(names))
    return Answer(HTML["verdict"].format(text=request), bars_html(names, nothing, nothing))


def verdict_html(
    names: Sequence[str], known: np.ndarray, fresh: np.ndarray, image: np.ndarray
) -> str:
    """Returns the most probable character in words, by both networks, and the image."""
    if not np.isfinite(known).all():
        return HTML["verdict"].format(text=WORDS["diverged"] + thumbnail(image))
    p = known.max()
    best = WORDS["best"].format(name=names[int(known.argmax())])
    said = WORDS["this_is" if p >= SURE else "not_sure"].format(best=best, percent=percent(p))
    from_random = WORDS["from_random"].format(said=in_short(names, fresh))
    text = HTML["said"].format(said=said, from_random=from_random, thumbnail=thumbnail(image))
    return HTML["verdict"].format(text=text)


def in_short(names: Sequence[str], probabilities: np.ndarray) -> str:
    """Returns the most probable character, or that the network is not sure.

    Example:

    >>> in_short("AB", np.array([0.3, 0.7])), in_short("AB", np.array([0.5, 0.5]))
    ('B', 'not sure')
    """
    if not np.isfinite(probabilities).all():
        return WORDS["diverged_in_short"]
    sure = probabilities.max() >= SURE
    return names[int(probabilities.argmax())] if sure else WORDS["not_sure_in_short"]


def bars_html(names: Sequence[str], known: np.ndarray, fresh: np.ndarray) -> str:
    """Returns a table: each character's probability after adaptation from both weights."""
    rows = [
        HTML["row"].format(
            name=name,
            known=cell_html("known", name, known, i),
            fresh=cell_html("fresh", name, fresh, i),
        )
        for i, name in enumerate(names)
    ]
    return HTML["bars"].format(rows="".join(rows))


def cell_html(kind: str, name: str, probabilities: np.ndarray, index: int) -> str:
    """Returns a cell of the table: a bar and its percentage."""
    p = np.nan_to_num(probabilities)
    return HTML["cell"].format(
        kind=kind,
        name=name,
        best="best " if p.any() and index == p.argmax() else "",
        width=f"{100 * p[index]:.1f}",
        percent=percent(p[index]),
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
        return HTML["status"].format(text=WORDS["nothing_learned"])
    text = WORDS["learned"].format(
        characters=int(learned.ways.sum()),
        drawings=counted(len(learned.support_x), WORDS["drawing"]),
        steps=counted(learned.steps, WORDS["step"]),
        milliseconds=f"{1000 * learned.seconds:.0f}",
    )
    return HTML["status"].format(text=text)


def thumbnail(image: np.ndarray) -> str:
    """Returns the image that the network sees, as an element of the page."""
    pixels = np.rint(255 * image).astype(np.uint8)
    png = base64.b64encode(tf.io.encode_png(pixels).numpy()).decode()
    title = WORDS["thumbnail_title"].format(side=len(image))
    return HTML["thumbnail"].format(url=f"data:image/png;base64,{png}", title=title)
