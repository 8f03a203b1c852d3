"""A page on which a user draws a few characters, and the network learns to distinguish them."""

import functools
import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_reptile.demo.answers import (
    answer_to,
    heading_html,
    status_html,
    without_drawing,
)
from keras_reptile.demo.boards import NEW, board_html, board_script, names_of, text_of
from keras_reptile.demo.description import described
from keras_reptile.demo.drawings import PreparedDrawings
from keras_reptile.demo.drawn_task import MOST_STEPS, SHOTS, DrawnTask
from keras_reptile.demo.guard import Guard
from keras_reptile.demo.models import load_model
from keras_reptile.demo.server import (
    HOST,
    cleaned_up_at_signals,
    listen,
    server,
    temporary_folder,
)
from keras_reptile.demo.words import WORDS
from keras_reptile.errors import RunError

# A session is a page in a browser, a waiting event one of its strokes.
MOST_SESSIONS, MOST_WAITING = 100, 50
# Gradio applies page.css to elements within the page's margins only.
NARROW = (
    "<style>@media (max-width: 640px) "
    "{ .gradio-container > .main { padding: 10px !important; } }</style>"
)


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
            page = application(task, described(model))
            print(f"The page is at http://{HOST}:{port} (Ctrl-C ends it).", flush=True)
            server(page).run(sockets=[listener])


def check_gradio() -> None:
    """Raises `RunError` if Gradio is missing, and disables its network access."""
    if importlib.util.find_spec("gradio") is None:
        raise RunError(
            "Gradio is not installed. In a clone of this repository: pip install '.[demo]' "
            "Or write a page that needs no server: --static=page.html"
        )
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"


def application(task: DrawnTask, model: str) -> Guard:
    """Returns the page as an ASGI application that answers only the page's own requests.

    Args:
        task: A `DrawnTask`.
        model: String, the model in words.
    """
    import fastapi
    import gradio as gr

    parent = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    page = build_page(task, model)
    gr.mount_gradio_app(parent, page, path="/", server_name=HOST, **page_options())
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
        head=NARROW,
        css=text_of("page.css"),
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    )


def build_page(task: DrawnTask, model: str) -> Any:
    """Builds the page: characters on the left, the new drawing and the answer on the right."""
    import gradio as gr

    names, prepared = names_of(task.ways), PreparedDrawings(task.size)
    nothing = without_drawing(names, WORDS["draw_more"])
    with gr.Blocks(title="keras_reptile", analytics_enabled=False) as page:
        gr.HTML(heading_html(model), elem_id="heading")
        learned = gr.State(None)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                examples = canvases("examples", names, SHOTS, live=False)
            with gr.Column(scale=1, min_width=300):
                query = canvases("query", [NEW], 1, live=True)
                verdict = gr.HTML(nothing.verdict, elem_id="verdict")
                bars = gr.HTML(nothing.bars, elem_id="answer")
        steps = gr.Slider(1, MOST_STEPS, task.steps, step=1, label=WORDS["steps"])
        status = gr.HTML(status_html(None), elem_id="status")

        def learn(examples, steps):
            learned = task.adapt(images_of(examples, len(names), SHOTS, prepared), whole(steps))
            return learned, status_html(learned)

        def predict(query, learned):
            (images,) = images_of(query, 1, 1, prepared)
            return tuple(answer_to(task, names, learned, images))

        # One event at a time, in their order: no older answer replaces a newer one.
        options: dict[str, Any] = dict(
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
            concurrency_id="page",
        )
        for changing in (examples.input, steps.change):
            # Gradio's own check of the slider would print a traceback.
            event = changing(
                in_words(learn), [examples, steps], [learned, status], preprocess=False, **options
            )
            # It takes the drawing that is there after learning, which may be newer.
            event.then(in_words(predict), [query, learned], [verdict, bars], **options)
        query.input(in_words(predict), [query, learned], [verdict, bars], **options)
    page.queue(max_size=MOST_WAITING)
    # A session keeps a copy of the network's weights.
    page.state_session_capacity = MOST_SESSIONS
    return page


def whole(steps: Any) -> int:
    """Returns the value of the slider as an integer.

    Raises:
        ValueError: If it is not a number on the slider.
    """
    if not isinstance(steps, int | float) or not 1 <= steps <= MOST_STEPS:
        raise ValueError(
            f"The gradient steps must be a number in 1 to {MOST_STEPS}. Reload the page."
        )
    return int(steps)


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


def canvases(name: str, rows: Sequence[str], most: int, live: bool) -> Any:
    """Returns a block of canvases. Its value is JSON: each row's drawings as PNG URLs."""
    import gradio as gr

    return gr.HTML(
        json.dumps([[] for _ in rows]),
        html_template=board_html(name, rows),
        js_on_load=board_script(),
        elem_id=name,
        most=most,
        live=live,
        words=WORDS,
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
