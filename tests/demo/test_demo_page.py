"""The demo's page in a real browser: drawn on with the mouse, read as a person reads it."""

import importlib.util
import math
import signal
from urllib.parse import urlsplit

import pytest
import webdriver
from commands import run, start
from webdriver import Browser, free_port, wait

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
ANGLES = [2 * math.pi * i / 16 for i in range(17)]
# Strokes as points on a canvas of width and height 1.
LINE = [[(0.5, 0.15), (0.5, 0.85)]]
CIRCLE = [[(0.5 + 0.3 * math.cos(a), 0.5 + 0.3 * math.sin(a)) for a in ANGLES]]
CROSS = [[(0.2, 0.2), (0.8, 0.8)], [(0.8, 0.2), (0.2, 0.8)]]
CHARACTERS = {"A": LINE, "B": CIRCLE, "C": CROSS}


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture
def page(address, browser):
    # Leaving a page breaks off its streams, which is logged as an error.
    browser.get("about:blank")
    browser.log("browser")
    browser.get(address)
    wait(lambda: browser.count("#query canvas"))
    return browser


def draw(page, place, strokes, scale=1.0):
    """Draws with the mouse on the last canvas of a block or row, about its middle."""
    # The canvas stays the same one, although a further one is added after the first stroke.
    number = page.count(f"{place} canvas") - 1
    for stroke in strokes:
        points = [(0.5 + (x - 0.5) * scale, 0.5 + (y - 0.5) * scale) for x, y in stroke]
        page.drag(f"{place} canvas", points, number=number)


def learn(page, characters=CHARACTERS):
    for name, strokes in characters.items():
        draw(page, f'[data-row="{name}"]', strokes)
    learned = f"Learned {len(characters)} characters from {len(characters)} drawings: "
    wait(lambda: learned in page.text("#status"))


def test_new_drawings_are_recognized(page):
    learn(page)
    for name, strokes in CHARACTERS.items():
        draw(page, "#query", strokes, scale=0.6)
        wait(lambda name=name: page.text("[data-answer]") == name)
        percent = float(page.text(f'[data-probability="{name}"]').removesuffix(" %"))
        assert percent > 50
        page.click("#query [data-clear]")
        wait(lambda: "Draw one of the characters again." in page.text("#answer"))


def test_probabilities_change_while_the_mouse_draws(page):
    learn(page)
    page.drag("#query canvas", LINE[0], release=False)
    wait(lambda: page.text("[data-answer]") == "A")
    before = page.text('[data-probability="A"]')
    page.drag("#query canvas", CIRCLE[0])
    wait(lambda: page.text('[data-probability="A"]') != before)


def test_the_page_tells_what_to_draw_and_can_be_cleared(page):
    assert "Draw at least two characters to begin." in page.text("#answer")
    learn(page)
    # Each character drawn once has a second canvas.
    assert page.count("#examples canvas") == 6
    page.click("#examples [data-clear]")
    wait(lambda: "Draw at least two characters to begin." in page.text("#answer"))
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
