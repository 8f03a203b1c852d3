"""A page on which a user draws a few characters, and the network learns to distinguish them."""

import base64
import functools
import importlib.util
import json
import os
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_reptile.demo.drawings import PreparedDrawings
from keras_reptile.demo.drawn_task import SHOTS, DrawnTask, Learned, load_model
from keras_reptile.demo.guard import Guard
from keras_reptile.demo.server import (
    HOST,
    cleaned_up_at_signals,
    listen,
    server,
    temporary_folder,
)
from keras_reptile.errors import RunError

# A session is a page in a browser, a waiting event one of its strokes.
MOST_SESSIONS, MOST_WAITING = 100, 50
FOLDER = Path(__file__).parent
INTRODUCTION = """
# Few-shot learning, as you draw

Draw each character once, or a few times. The network starts from a meta-learned initialization and
takes a few gradient steps on your drawings. Then draw one of the characters again.
"""
DRAW_MORE = "Draw at least two characters to begin."
DRAW_QUERY = "Draw one of the characters again."


def serve(
    model: str | os.PathLike, port: int = 7860, ways: int | None = None, steps: int | None = None
) -> None:
    """Shows the page at `http://127.0.0.1:port` until it is interrupted.

    Args:
        model: String or path, a trained model, see `load_model`.
        port: Integer. Defaults to `7860`.
        ways: Integer, characters on the page. Defaults to `None`, the number of the network's
            outputs.
        steps: Integer, inner steps. Defaults to `None`, see `DrawnTask`.

    Raises:
        RunError: If Gradio is not installed, there is no such model, or the port is in use.
        ValueError: If `ways` or `steps` is out of range.
    """
    check_gradio()
    with cleaned_up_at_signals(), temporary_folder():
        task = DrawnTask(load_model(model), ways, steps)
        with listen(port) as listener:
            page = application(task)
            print(f"The page is at http://{HOST}:{port} (Ctrl-C ends it).", flush=True)
            server(page).run(sockets=[listener])


def check_gradio() -> None:
    """Raises `RunError` if Gradio is missing, and disables its network access."""
    if importlib.util.find_spec("gradio") is None:
        raise RunError("Gradio is not installed. Install it with: pip install '.[demo]'")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"


def application(task: DrawnTask) -> Guard:
    """Returns the page as an ASGI application that answers only what the page requests."""
    import fastapi
    import gradio as gr

    parent = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(parent, build_page(task), path="/", server_name=HOST, **page_options())
    return Guard(parent)


def page_options() -> dict:
    import gradio as gr

    return dict(
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        run_history=False,
        enable_monitoring=False,
        max_file_size=0,
        footer_links=[],
        css=(FOLDER / "page.css").read_text(),
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    )


def build_page(task: DrawnTask) -> Any:
    """Builds the page: characters on the left, the new drawing and the answer on the right."""
    import gradio as gr

    names, prepared = names_of(task.ways), PreparedDrawings(task.size)
    with gr.Blocks(title="keras_reptile", analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        learned = gr.State(None)
        with gr.Row():
            with gr.Column(scale=3):
                examples = canvases("examples", "Your characters", names, SHOTS, live=False)
                status = gr.HTML(status_html(None, task), elem_id="status")
            with gr.Column(scale=2):
                query = canvases("query", "A new drawing", ["a new one"], 1, live=True)
                answer = gr.HTML(answer_html(names, DRAW_MORE), elem_id="answer")

        def learn(examples, query):
            learned = task.adapt(images_of(examples, len(names), SHOTS, prepared))
            return learned, status_html(learned, task), predict(query, learned)

        def predict(query, learned):
            (images,) = images_of(query, 1, 1, prepared)
            return answer_to(task, names, learned, images)

        options = dict(show_progress="hidden", trigger_mode="always_last", api_visibility="private")
        examples.input(in_words(learn), [examples, query], [learned, status, answer], **options)
        query.input(in_words(predict), [query, learned], answer, **options)
    page.queue(max_size=MOST_WAITING)
    # A session keeps a copy of the network's weights.
    page.state_session_capacity = MOST_SESSIONS
    return page


def in_words(handler: Callable) -> Callable:
    """Returns a handler whose `ValueError` the page shows as a message."""
    import gradio as gr

    @functools.wraps(handler)
    def handled(*arguments):
        try:
            return handler(*arguments)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return handled


def names_of(ways: int) -> list[str]:
    """Returns letters as names, or numbers if there are too few letters."""
    if ways <= len(string.ascii_uppercase):
        return list(string.ascii_uppercase[:ways])
    return [str(way + 1) for way in range(ways)]


def canvases(name: str, title: str, rows: Sequence[str], most: int, live: bool) -> Any:
    """Returns a block of canvases. Its value is JSON: each row's drawings as PNG URLs."""
    import gradio as gr

    lines = "".join(
        f'<div class="row" data-row="{row}"><div class="name">{row}</div>'
        '<div class="pads"></div></div>'
        for row in rows
    )
    heading = f'<h2>{title}<button type="button" data-clear>Clear</button></h2>'
    return gr.HTML(
        json.dumps([[] for _ in rows]),
        html_template=f'<div class="board {name}">{heading}{lines}</div>',
        js_on_load=(FOLDER / "page.js").read_text(),
        elem_id=name,
        most=most,
        live=live,
    )


def images_of(
    value: str, rows: int, most: int, prepared: Callable[[str], np.ndarray]
) -> list[list[np.ndarray]]:
    """Returns the prepared drawings of each row of canvases.

    Args:
        value: String, the value of `canvases`.
        rows: Integer, the number of rows.
        most: Integer, the most drawings of a row.
        prepared: Callable from a drawing's URL to its image.

    Raises:
        ValueError: If it has another form, or a drawing cannot be read.
    """
    try:
        drawings = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        drawings = None
    if not (isinstance(drawings, list) and len(drawings) == rows and all(map(_is_row, drawings))):
        raise ValueError(f"The drawings must be {rows} lists of PNG images. Reload the page.")
    if max(map(len, drawings)) > most:
        raise ValueError(f"A row may have {most} drawings at most. Reload the page.")
    return [[prepared(url) for url in row] for row in drawings]


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and all(isinstance(url, str) for url in row)


def answer_to(
    task: DrawnTask, names: Sequence[str], learned: Learned | None, images: Sequence[np.ndarray]
) -> str:
    """Returns the answer to a new drawing, or the request for a missing drawing."""
    if learned is None:
        return answer_html(names, DRAW_MORE)
    if not images:
        return answer_html(names, DRAW_QUERY)
    probabilities = task.predict(learned, images[0])
    best = names[int(probabilities.argmax())]
    verdict = f'This is <b data-answer="{best}">{best}</b>{thumbnail(images[0])}'
    return answer_html(names, verdict, probabilities)


def answer_html(names: Sequence[str], verdict: str, probabilities: np.ndarray | None = None) -> str:
    """Returns the verdict, and a bar for the probability of each character."""
    p = np.zeros(len(names)) if probabilities is None else probabilities
    best = p.argmax() if p.any() else None
    lines = "".join(bar_html(name, p[i], i == best) for i, name in enumerate(names))
    return f'<div class="verdict">{verdict}</div><div class="answer">{lines}</div>'


def bar_html(name: str, probability: float, best: bool) -> str:
    percent = 100 * probability
    return (
        f'<div class="name">{name}</div><div class="track">'
        f'<div class="{"best " if best else ""}bar" style="width: {percent:.1f}%"></div></div>'
        f'<div class="percent" data-probability="{name}">{percent:.1f} %</div>'
    )


def status_html(learned: Learned | None, task: DrawnTask) -> str:
    """Returns the numbers of characters, drawings and steps, and the time of adaptation."""
    if learned is None:
        text = f"Nothing learned yet. Learning takes {task.steps} gradient steps."
    else:
        drawings, characters = len(learned.support_x), int(learned.ways.sum())
        text = (
            f"Learned {characters} characters from {drawings} drawings: {task.steps} gradient "
            f"steps in {1000 * learned.seconds:.0f} ms."
        )
    return f'<div class="status">{text}</div>'


def thumbnail(image: np.ndarray) -> str:
    """Returns the image that the network sees, as an element of the page."""
    pixels = np.rint(255 * image).astype(np.uint8)
    url = base64.b64encode(tf.io.encode_png(pixels).numpy()).decode()
    image_tag = f'<img src="data:image/png;base64,{url}" alt="the drawing as the network sees it">'
    return f"{image_tag}<small>as it is seen:<br>{len(image)} &times; {len(image)}</small>"
