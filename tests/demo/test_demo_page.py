"""The demo's page in a real browser: drawn on with the mouse, read as a person reads it."""

import base64
import importlib.util
import signal
from urllib.parse import urlsplit

import pytest
import webdriver
from commands import run, start
from demo_page import (
    CHARACTERS,
    CIRCLE,
    CONTRAST,
    CROSS,
    LINE,
    draw,
    learn,
    shown_on_a_phone,
    upload,
)
from drawn import cross, data_url
from webdriver import free_port, wait

MISSING = [*webdriver.MISSING, *([] if importlib.util.find_spec("gradio") else ["gradio"])]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.process,
    pytest.mark.slow,
]

TRAINING = [
    "--meta_iterations=100",
    "--checkpoint_every=100",
    "--validation_tasks=0",
    "--test_tasks=0",
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where a page with a model of a short training run is served."""
    cwd = tmp_path_factory.mktemp("demo")
    status, _, err = run("train", *TRAINING, cwd=cwd)
    assert status == 0, err
    port = free_port()
    # A busy machine would take fewer steps.
    flags = ["--model=runs/glyphs", f"--port={port}", "--ways=3", "--steps=50"]
    process = start("demo", *flags, cwd=cwd)
    line = process.stdout.readline()
    assert line == f"The page is at http://127.0.0.1:{port} (Ctrl-C ends it).\n"
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "demo: stopped."


@pytest.fixture
def page(address, browser):
    # Leaving a page breaks off its streams, which is logged as an error.
    browser.get("about:blank")
    browser.log("browser")
    browser.get(address)
    wait(lambda: browser.count("#query canvas"))
    return browser


def test_new_drawings_are_recognized(page):
    learn(page)
    for name, strokes in CHARACTERS.items():
        draw(page, "#query", strokes, scale=0.6)
        wait(lambda name=name: page.text("[data-answer]") == name)
        percent = float(page.text(f'[data-known="{name}"]').removesuffix(" %"))
        assert percent > 50
        page.click("#query [data-clear]")
        wait(lambda: "Draw one of the characters again." in page.text("#verdict"))


def test_probabilities_change_while_the_mouse_draws(page):
    learn(page)
    page.drag("#query canvas", LINE[0], release=False)
    wait(lambda: page.text("[data-answer]") == "A")
    before = page.text('[data-known="A"]')
    page.drag("#query canvas", CIRCLE[0])
    wait(lambda: page.text('[data-known="A"]') != before)


def test_the_page_tells_what_to_draw_and_can_be_cleared(page):
    assert "Draw at least two characters to begin." in page.text("#verdict")
    learn(page)
    # Each character drawn once has a second canvas.
    assert page.count("#examples canvas") == 6
    page.click("#examples [data-clear]")
    wait(lambda: "Draw at least two characters to begin." in page.text("#verdict"))
    assert page.count("#examples canvas") == 3


def test_a_character_has_five_drawings_at_most(page):
    for drawings in range(1, 6):
        draw(page, '[data-row="A"]', LINE)
        assert page.count('[data-row="A"] canvas') == min(drawings + 1, 5)


def test_the_page_asks_no_other_machine_and_logs_no_error(page):
    learn(page)
    urls = [urlsplit(url) for _, url in page.requests()]
    assert {url.hostname for url in urls if url.scheme.startswith("http")} == {"127.0.0.1"}
    assert [entry for entry in page.log("browser") if entry["level"] == "SEVERE"] == []


def test_examples_are_drawn_at_a_click_and_a_new_one_is_recognized(page):
    page.click("#examples [data-examples]")
    wait(lambda: "Learned 3 characters from 3 drawings: " in page.text("#status"))
    page.click("#query [data-examples]")
    wait(lambda: page.count("[data-answer]"))
    assert page.text("#verdict small").startswith("From random weights: ")


def test_undo_takes_back_strokes_deletions_and_clearing(page):
    draw(page, '[data-row="C"]', CROSS)
    inked = "#examples canvas[data-inked]"
    image = "return document.querySelector(arguments[0])?.toDataURL() ?? null"
    whole = page.run(image, inked)
    page.click("#examples [data-undo]")
    half = page.run(image, inked)
    assert half not in (whole, None)
    page.click(f"{inked} + button")
    assert page.count(inked) == 0
    page.click("#examples [data-undo]")
    assert page.run(image, inked) == half
    page.click("#examples [data-clear]")
    assert page.count(inked) == 0
    for expected in (half, None):
        page.click("#examples [data-undo]")
        assert page.run(image, inked) == expected
    assert page.run("return document.querySelector('#examples [data-undo]').disabled")


def test_pictures_are_learned_and_what_is_none_is_said(page):
    for row, pen in [("A", 12), ("C", 100)]:
        png = base64.b64decode(data_url(cross(pen=pen)).partition(",")[2])
        upload(page, f'[data-row="{row}"]', png)
    wait(lambda: "Learned 2 characters from 2 drawings: " in page.text("#status"))
    upload(page, "#query", png)
    wait(lambda: page.text("[data-answer]") == "C")
    upload(page, '[data-row="B"]', b"Not a picture.", "notes.txt")
    wait(lambda: page.text("#examples [data-message]").startswith("notes.txt is no picture"))


def test_a_deleted_drawing_is_not_learned(page):
    learn(page)
    page.click('[data-row="C"] canvas[data-inked] + button')
    wait(lambda: "Learned 2 characters from 2 drawings: " in page.text("#status"))
    assert page.text('[data-known="C"]') == "0.0 %"


def test_the_slider_sets_the_gradient_steps(page):
    learn(page)
    slide = """const slider = document.querySelector("input[type=range]");
      slider.value = 7;
      for (const kind of ["input", "change", "pointerup"])
        slider.dispatchEvent(new Event(kind, {bubbles: true}));"""
    page.run(slide)
    wait(lambda: ": 7 gradient steps in " in page.text("#status"))


def test_a_screen_reader_is_told_of_the_answer_and_the_status(page):
    learn(page)
    for place in ("#verdict", "#status"):
        live = "return document.querySelector(arguments[0]).closest('[aria-live]')?.ariaLive"
        assert page.run(live, f"{place} *") == "polite"
    assert page.run("return document.querySelector('#answer [aria-live]')") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_a_contrast_of_4_5_to_1(address, page, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.devtools("Emulation.setEmulatedMedia", features=[feature])
    page.get(address)
    wait(lambda: page.count("#query canvas"))
    assert page.run("return document.body.classList.contains('dark')") == (scheme == "dark")
    learn(page)
    draw(page, "#query", CIRCLE)
    wait(lambda: page.count("[data-answer]"))
    ratio, text = page.run(CONTRAST)
    assert ratio >= 4.5, text


def test_a_phone_shows_the_characters_and_the_new_drawing_together(page):
    top, bottom, width = shown_on_a_phone(page)
    assert 0 <= top < bottom <= 844
    assert width <= 390
