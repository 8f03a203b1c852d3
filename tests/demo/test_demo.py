"""What the demo's page says, without a browser."""

import importlib.util
import json
import re
import socket
import types

import numpy as np
import pytest
from commands import run
from drawn import cross, data_url
from helpers import small_model

from keras_reptile.demo import answers, boards, page, server
from keras_reptile.demo.description import described
from keras_reptile.demo.drawings import PreparedDrawings
from keras_reptile.demo.drawn_task import DrawnTask
from keras_reptile.demo.models import load_model, sizes
from keras_reptile.demo.words import WORDS
from keras_reptile.errors import RunError
from keras_reptile.pretrained import MODELS
from keras_reptile.programs import demo

NAMES = ["A", "B", "C"]
needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="needs Gradio: pip install '.[demo]'"
)


@pytest.fixture(scope="module")
def task():
    return DrawnTask(small_model(), steps=3)


@pytest.fixture(scope="module")
def images():
    rows = [[data_url(cross())], [data_url(cross(pen=60))], []]
    return page.images_of(json.dumps(rows), 3, 5, PreparedDrawings(8))


def test_the_pages_drawings_are_prepared(images):
    assert [len(row) for row in images] == [1, 1, 0]
    assert images[0][0].shape == (8, 8, 1)


@pytest.mark.parametrize(
    "value, text",
    [
        ("[[], []]", "The drawings must be 3 lists of PNG images. Reload the page."),
        ("[[], [], 1]", "The drawings must be 3 lists of PNG images. Reload the page."),
        ("[[], [], [1]]", "The drawings must be 3 lists of PNG images. Reload the page."),
        ("{", "The drawings must be 3 lists of PNG images. Reload the page."),
        (100_000 * "[", "The drawings must be 3 lists of PNG images. Reload the page."),
        (None, "The drawings must be 3 lists of PNG images. Reload the page."),
        ('[["a", "b"], [], []]', "A row may have 1 drawings at most. Reload the page."),
    ],
)
def test_values_that_the_page_does_not_send_are_refused(value, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        page.images_of(value, 3, 1, PreparedDrawings(8))


@pytest.mark.slow
def test_the_page_says_what_is_still_to_be_drawn(task, images):
    assert WORDS["draw_more"] in answers.answer_to(task, NAMES, None, images[0]).verdict
    asked = answers.answer_to(task, NAMES, task.adapt(images), [])
    assert WORDS["draw_query"] in asked.verdict
    assert "best bar" not in asked.bars


def test_the_answer_has_the_best_character_and_all_probabilities(task, images):
    learned = task.adapt(images)
    answer = answers.answer_to(task, NAMES, learned, images[0])
    p = task.predict(learned, images[0][0])
    assert f'data-answer="{NAMES[p.argmax()]}"' in answer.verdict
    for kind, q in {"known": p, "fresh": task.predict_from_random(learned, images[0][0])}.items():
        shown = re.findall(rf'data-{kind}="(.)">([\d.]+) %', answer.bars)
        assert shown == [(n, f"{100 * each:.1f}") for n, each in zip(NAMES, q, strict=True)]
    assert answer.bars.count("best bar") == 2


@pytest.mark.parametrize(
    "known, fresh, texts",
    [
        ([0.6, 0.4], [0.1, 0.9], ["This is <b", ">A</b>", ">B</b>"]),
        ([0.59, 0.41], [0.5, 0.5], ["Not sure. Most probable: <b", ">A</b> (59.0 %)", "not sure"]),
        ([0.0, 1.0], [np.nan, np.nan], ["This is <b", ">B</b>", "diverged"]),
    ],
)
def test_less_than_60_percent_is_not_sure(known, fresh, texts):
    verdict = answers.verdict_html("AB", np.array(known), np.array(fresh), np.ones((8, 8, 1)))
    for text in texts:
        assert text in verdict


def test_divergence_is_said_and_has_no_bars():
    nan = np.full(2, np.nan)
    verdict = answers.verdict_html("AB", nan, nan, np.ones((8, 8, 1)))
    assert WORDS["diverged"] in verdict
    assert "data-answer" not in verdict
    assert answers.bars_html("AB", nan, nan).count("0.0 %") == 4


def test_the_status_tells_steps_and_time(task, images):
    learned = task.adapt(images)._replace(seconds=0.1234)
    text = "Learned 2 characters from 2 drawings: 3 gradient steps in 123 ms."
    assert text in answers.status_html(learned)
    assert "Nothing learned yet" in answers.status_html(None)


@pytest.mark.parametrize("steps", [None, "3", float("nan"), float("inf"), [3], 0, 201, 10**400])
def test_a_slider_gives_a_number(steps):
    with pytest.raises(ValueError, match="The gradient steps must be a number in 1 to 200"):
        page.whole(steps)


def test_the_packages_model_is_described():
    text = described(MODELS / "omniglot_5way")
    assert text == (
        "Model: omniglot_5way, 5-way 1-shot accuracy 95.5 % ± 0.6 (1,000 test tasks, inductive)"
    )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"result": null}', '{"result": {"ways": 5}}'])
def test_a_model_without_a_result_has_its_name(content, tmp_path):
    (tmp_path / "summary.json").write_text(content)
    (tmp_path / "model.keras").touch()
    assert described(tmp_path) == f"Model: {tmp_path.name}"
    assert described(tmp_path / "model.keras") == "Model: model.keras"


def test_a_model_has_the_result_of_the_run_beside_it(tmp_path):
    result = dict(accuracy=0.5, confidence_95=None, tasks=1, ways=5, shots=2, transductive=True)
    (tmp_path / "summary.json").write_text(json.dumps({"result": result}))
    text = ", 5-way 2-shot accuracy 50.0 % (1 test tasks, transductive)"
    assert described(tmp_path) == f"Model: {tmp_path.name}{text}"


def test_the_models_name_is_escaped():
    assert "&lt;img&gt;" in answers.heading_html("<img>")


def test_characters_have_letters_while_there_are_enough():
    assert boards.names_of(3) == NAMES
    assert boards.names_of(27)[-1] == "27"


@pytest.mark.parametrize(
    "name, rows, labels",
    [
        ("examples", ["A", "B"], ["Upload a picture of A", "Upload a picture of B"]),
        ("query", [boards.NEW], ["Upload a picture of one of the characters"]),
    ],
)
def test_each_row_takes_pictures_by_an_input_with_a_name(name, rows, labels):
    html = boards.board_html(name, rows)
    found = re.findall(r'<input type="file" accept="image/\*"[^>]* aria-label="([^"]*)"', html)
    assert found == labels
    assert re.findall(r'data-upload="(\d)"', html) == [str(row) for row in range(len(rows))]


def test_there_are_words_for_each_fault_of_a_picture():
    faults = set(re.findall(r'fault(?:: | \?\? )"(\w+)"', boards.board_script()))
    assert faults == {"no_picture", "no_ink", "too_large", "row_full"}
    assert all(WORDS[fault].endswith(".") for fault in faults)


def test_a_thumbnail_shows_the_image():
    assert answers.thumbnail(np.ones((8, 8, 1))).startswith('<img src="data:image/png;base64,')


def test_missing_gradio_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    command = "pip install '.[demo]'"
    text = re.escape(f"not installed. In a clone of this repository: {command} Or write a page")
    with pytest.raises(RunError, match=text):
        page.serve("runs/glyphs")


@needs_gradio
def test_a_port_that_is_taken_is_named(tmp_path):
    small_model().save(tmp_path / "model.keras")
    with socket.socket() as taken:
        taken.bind((server.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"--port={port} cannot be used. Give another."):
            page.serve(tmp_path, port, steps=1)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    "arguments, status, text",
    [
        (["--model=nowhere", "--port=0"], 2, "flag --port=0: "),
        pytest.param(
            ["--model=nowhere"],
            1,
            "nowhere holds no model. Give an output directory of bin/train.",
            marks=needs_gradio,
        ),
    ],
    ids=["no port", "no such model"],
)
def test_misuse_ends_in_one_clear_line(arguments, status, text, tmp_path):
    code, _, err = run("demo", *arguments, cwd=tmp_path)
    assert code == status
    assert err.startswith("demo: ")
    assert text in err
    assert len(err.strip().splitlines()) == 1


def test_without_a_model_the_packages_own_is_shown(monkeypatch):
    served = []
    flags = types.SimpleNamespace(model=None, port=80, ways=3, steps=None, static=None)
    monkeypatch.setattr(demo, "FLAGS", flags)
    monkeypatch.setattr(demo, "serve", lambda *arguments: served.append(arguments))
    demo.main()
    ((model, *others),) = served
    assert others == [80, 3, None]
    assert sizes(load_model(model)) == (28, 5)
