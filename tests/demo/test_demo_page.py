"""The demo's page in a real browser: drawn on with the mouse, read as a person reads it."""

import importlib.util
import json
import math
import shutil
import signal
import socket
from urllib.parse import urlsplit

import pytest
from commands import run, start

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = [
    name
    for name, there in {
        "gradio": importlib.util.find_spec("gradio"),
        "selenium": importlib.util.find_spec("selenium"),
        "chromium": BROWSER,
        "chromedriver": DRIVER,
    }.items()
    if not there
]
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
CHROMIUM = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
    # Whatever the page might ask of another machine fails at once.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start("demo", "--model=runs/glyphs", f"--port={port}", "--ways=3", cwd=cwd)
    line = process.stdout.readline()
    assert line == f"The page is at http://127.0.0.1:{port} (Ctrl-C ends it).\n"
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "demo: stopped."


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in [*CHROMIUM, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.implicitly_wait(20)
    yield driver
    driver.quit()


@pytest.fixture
def page(address, browser):
    # Leaving a page breaks off its streams, which is logged as an error.
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(address)
    canvas(browser, "#query")
    return browser


def canvas(page, place):
    """The last canvas of a block or row, the one that is still blank."""
    return page.find_elements("css selector", f"{place} canvas")[-1]


def mouse(page, canvas, stroke, scale=1.0, release=True):
    """Draws a stroke with the mouse, about the middle of the canvas."""
    from selenium.webdriver import ActionChains

    width, chain = canvas.size["width"], ActionChains(page, duration=20)
    for i, point in enumerate(stroke):
        offsets = [round((place - 0.5) * scale * width) for place in point]
        chain.move_to_element_with_offset(canvas, *offsets)
        if i == 0:
            chain.click_and_hold()
    (chain.release() if release else chain).perform()


def draw(page, canvas, strokes, scale=1.0):
    for stroke in strokes:
        mouse(page, canvas, stroke, scale)


def wait(page, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 20, poll_frequency=0.05).until(lambda _: condition())


def text(page, place):
    # In one call, since the page replaces its elements.
    return page.execute_script("return document.querySelector(arguments[0])?.innerText", place)


def learn(page, characters=CHARACTERS):
    for name, strokes in characters.items():
        draw(page, canvas(page, f'[data-row="{name}"]'), strokes)
    learned = f"Learned {len(characters)} characters from {len(characters)} drawings: "
    wait(page, lambda: learned in text(page, "#status"))


def test_new_drawings_are_recognized(page):
    learn(page)
    for name, strokes in CHARACTERS.items():
        draw(page, canvas(page, "#query"), strokes, scale=0.6)
        wait(page, lambda name=name: text(page, "[data-answer]") == name)
        percent = float(text(page, f'[data-probability="{name}"]').removesuffix(" %"))
        assert percent > 50
        page.find_element("css selector", "#query [data-clear]").click()
        wait(page, lambda: "Draw one of the characters again." in text(page, "#answer"))


def test_probabilities_change_while_the_mouse_draws(page):
    learn(page)
    mouse(page, canvas(page, "#query"), LINE[0], release=False)
    wait(page, lambda: text(page, "[data-answer]") == "A")
    before = text(page, '[data-probability="A"]')
    mouse(page, canvas(page, "#query"), CIRCLE[0])
    wait(page, lambda: text(page, '[data-probability="A"]') != before)


def test_the_page_tells_what_to_draw_and_can_be_cleared(page):
    assert "Draw at least two characters to begin." in text(page, "#answer")
    learn(page)
    # Each character drawn once has a second canvas.
    assert len(page.find_elements("css selector", "#examples canvas")) == 6
    page.find_element("css selector", "#examples [data-clear]").click()
    wait(page, lambda: "Draw at least two characters to begin." in text(page, "#answer"))
    assert len(page.find_elements("css selector", "#examples canvas")) == 3


def test_a_character_has_five_drawings_at_most(page):
    for drawings in range(1, 6):
        draw(page, canvas(page, '[data-row="A"]'), LINE)
        row = page.find_elements("css selector", '[data-row="A"] canvas')
        assert len(row) == min(drawings + 1, 5)


def test_the_page_asks_no_other_machine_and_logs_no_error(page):
    learn(page)
    requests = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = [
        urlsplit(r["params"]["request"]["url"])
        for r in requests
        if r["method"] == "Network.requestWillBeSent"
    ]
    assert {url.hostname for url in urls if url.scheme.startswith("http")} == {"127.0.0.1"}
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
