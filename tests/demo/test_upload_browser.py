"""Pictures of characters, uploaded to the static page in a real browser."""

import numpy as np
import pytest
import tensorflow as tf
import webdriver
from demo_page import CIRCLE, draw, drop, learn, upload
from helpers import small_convnet, small_model
from webdriver import wait

from keras_reptile.demo import drawings, static_page
from keras_reptile.demo.words import WORDS

pytestmark = [
    pytest.mark.skipif(
        bool(webdriver.MISSING), reason=f"not installed: {', '.join(webdriver.MISSING)}"
    ),
    pytest.mark.process,
    pytest.mark.slow,
]
INKED = "#examples canvas[data-inked]"
IMAGE = """const canvas = document.querySelector(arguments[0]);
  return Array.from(prepare(inkOf(canvas), 28, PAGE.ink));"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("pages") / "page.html"
    file.write_text(static_page.page_html(small_model(small_convnet(ways=5)), ""))
    return file


@pytest.fixture
def page(browser, file):
    browser.get("about:blank")
    browser.log("browser")
    browser.requests()
    browser.get(file.as_uri())
    return browser


def four(height=300, width=400, pen=24):
    """Ink of the digit 4, right of the middle: paper 0, ink 1."""
    ink = np.zeros((height, width), np.float32)
    top, left, size = height // 6, width // 2, height // 2
    ink[top : top + size, left + 2 * size // 3 :][:, :pen] = 1
    ink[top + size // 2 :, left : left + size][:pen] = 1
    for row in range(size // 2):
        start = left + size // 2 - row
        ink[top + row, start : start + pen] = 1
    return ink


def light_from_one_side(ink):
    return np.linspace(130, 250, ink.shape[1]) - 60 * ink


def with_dust(ink):
    grey = 240 - 220 * ink
    grey[20:23, 10:13] = grey[-30:-26, -20:-17] = 20
    return grey


def noisy(ink):
    return 200 - 120 * ink + np.random.RandomState(0).normal(0, 8, ink.shape)


def png(grey):
    pixels = np.uint8(np.clip(np.rint(grey), 0, 255))
    return tf.io.encode_png(np.atleast_3d(pixels)).numpy()


def transparent(ink):
    return np.stack([0 * ink, 255 * ink], axis=-1)


def painted(page, photo):
    """The 28 x 28 image of an uploaded picture, ink 1."""
    upload(page, '[data-row="A"]', png(photo))
    wait(lambda: page.count(INKED) == 1)
    return 1 - np.reshape(page.run(IMAGE, INKED), (28, 28))


@pytest.mark.parametrize(
    "photo",
    [
        lambda ink: 255 - 255 * ink,
        lambda ink: 30 + 190 * ink,
        light_from_one_side,
        with_dust,
        noisy,
        transparent,
    ],
    ids=["dark on light", "light on dark", "light from one side", "dust", "noise", "transparent"],
)
def test_the_ink_of_a_picture_is_that_of_its_drawing(page, photo):
    got = painted(page, photo(four()))
    expected = 1 - drawings.prepare(four())[..., 0]
    assert got[expected > 0.9].min() > 0.6
    near = tf.nn.max_pool2d(expected[None, ..., None], 3, 1, "SAME")[0, ..., 0].numpy()
    assert got[near < 0.05].max() < 0.1
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.95


def test_a_thin_line_of_a_large_picture_is_as_thick_as_the_pens(page):
    ink = np.zeros((1600, 1200))
    ink[300:1300, 600:604] = 1
    got = painted(page, 255 - 255 * ink)
    draw(page, '[data-row="B"]', [[(0.5, 0.15), (0.5, 0.85)]])
    drawn = 1 - np.reshape(page.run(IMAGE, '[data-row="B"] canvas'), (28, 28))
    np.testing.assert_allclose(got[14].sum(), drawn[14].sum(), rtol=0.15)


def test_undo_takes_back_a_picture_in_one_step(page):
    painted(page, 255 - 255 * four(pen=10))
    before = page.run("return document.querySelector(arguments[0]).toDataURL()", INKED)
    upload(page, '[data-row="A"]', png(255 - 255 * four()))
    wait(lambda: page.count(INKED) == 2)
    page.click("#examples [data-undo]")
    assert page.count(INKED) == 1
    assert page.run("return document.querySelector(arguments[0]).toDataURL()", INKED) == before


def test_a_picture_is_learned_and_another_one_replaces_the_new_drawing(page):
    learn(page)
    upload(page, '[data-row="D"]', png(255 - 255 * four()))
    wait(lambda: "Learned 4 characters from 4 drawings: " in page.text("#status"))
    inked = "return document.querySelector('#query canvas').toDataURL()"
    upload(page, "#query", png(255 - 255 * four(pen=10)))
    wait(lambda: page.count("[data-answer]"))
    thin = page.run(inked)
    upload(page, "#query", png(255 - 255 * four()))
    wait(lambda: page.run(inked) != thin)
    assert page.count("#query canvas") == 1
    page.click("#query [data-undo]")
    assert page.run(inked) == thin
    assert {url.partition(":")[0] for _, url in page.requests()} <= {"file", "blob", "data"}
    assert page.log("browser") == []


def test_pictures_are_dropped_onto_a_row(page):
    drop(page, '[data-row="C"] canvas', *[png(255 - 255 * four(pen=pen)) for pen in (10, 30)])
    wait(lambda: page.count('[data-row="C"] canvas[data-inked]') == 2)
    assert page.count(INKED) == 2
    drop(page, "#examples h2", png(255 - 255 * four()))
    drop(page, "#query canvas", png(255 - 255 * four()))
    wait(lambda: page.count("#query canvas[data-inked]") == 1)
    assert page.count(INKED) == 2


@pytest.mark.parametrize(
    "data, zeros, name, key",
    [
        (b"Not a picture.", 0, "notes.txt", "no_picture"),
        (png(np.full((60, 80), 200)), 0, "blank.png", "no_ink"),
        (png(four()), 20_000_000, "large.png", "too_large"),
    ],
    ids=["text", "one colour", "large"],
)
def test_what_is_no_picture_of_a_character_is_said(page, data, zeros, name, key):
    upload(page, "#query", data, name, zeros)
    message = "#query [role=status]"
    wait(lambda: page.text(message) == WORDS[key].format(file=name, megabytes=20))
    assert page.count("#query canvas[data-inked]") == 0
    assert page.text("#failure") == ""
    draw(page, "#query", CIRCLE)
    assert page.text(message) == ""


def test_a_sixth_picture_of_a_character_is_refused_in_words(page):
    drop(page, '[data-row="A"]', *[png(255 - 255 * four(pen=pen)) for pen in range(10, 16)])
    wait(lambda: page.text("#examples [data-message]") == WORDS["row_full"].format(most=5))
    assert page.count(INKED) == 5


def test_uploading_is_a_control_of_the_keyboard_with_a_name(page):
    focused = """const input = document.querySelector(arguments[0] + " [data-upload]");
      input.focus();
      return [document.activeElement === input, input.tabIndex, input.ariaLabel];"""
    assert page.run(focused, '[data-row="B"]') == [True, 0, "Upload a picture of B"]
    assert page.run(focused, "#query") == [True, 0, "Upload a picture of one of the characters"]
