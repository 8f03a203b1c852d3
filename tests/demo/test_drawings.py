import re
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from drawn import cross, data_url

from keras_reptile.demo import drawings
from keras_reptile.demo.drawings import (
    DRAWN,
    PREFIX,
    PreparedDrawings,
    bounding_box,
    coverage,
    prepare,
    read_canvas,
)


def test_a_canvas_is_read_as_ink_on_paper():
    np.testing.assert_array_equal(read_canvas(data_url(cross())), cross())


@pytest.mark.parametrize(
    "url, reason",
    [
        ("data:text/plain,hello", "it begins with 'data:text/plain,hello'"),
        ("data:image/png;base64,#", "Only base64 data is allowed"),
        ("data:image/png;base64,aGVsbG8=", "it has no PNG header"),
        (PREFIX, "it has no PNG header"),
        (PREFIX + "iVBORw0KGgoAAAANSUhEUgAAARgAAAEY", ""),
        (data_url(np.zeros((1025, 1))), "it declares 1 x 1025 pixels, at most 1024 a side"),
        (data_url(np.zeros((1, 1025))), "it declares 1025 x 1 pixels, at most 1024 a side"),
    ],
    ids=["no PNG's URL", "no base64", "no PNG", "empty", "cut off", "too high", "too wide"],
)
def test_what_is_no_drawing_is_refused(url, reason):
    text = "A drawing must be a PNG image in a data URL; .*" + re.escape(reason)
    with pytest.raises(ValueError, match=text):
        read_canvas(url)


def test_a_huge_image_is_not_decoded(monkeypatch):
    def decode(*arguments, **others):
        raise AssertionError("decoded")

    url = data_url(np.zeros((1, 1025)))
    monkeypatch.setattr(tf.io, "decode_png", decode)
    with pytest.raises(ValueError, match="it declares 1025 x 1 pixels"):
        read_canvas(url)


def test_drawings_are_prepared_once_while_they_are_kept(monkeypatch):
    # Room for two images of 8 x 8 floats.
    monkeypatch.setattr(drawings, "KEPT_BYTES", 600)
    calls = []
    monkeypatch.setattr(drawings, "read_canvas", lambda url: calls.append(url) or read_canvas(url))
    a, b, c = urls = [data_url(cross(pen=pen)) for pen in (10, 20, 30)]
    prepared = PreparedDrawings(8)
    for url in (a, b, a, c, a, b):
        np.testing.assert_array_equal(prepared(url), prepare(read_canvas(url), 8))
    # `b` was used longest ago when `c` came.
    assert calls == [*urls, b]


def test_a_thousand_long_urls_keep_no_more_than_their_images(monkeypatch):
    monkeypatch.setattr(drawings, "read_canvas", lambda url: cross())
    monkeypatch.setattr(drawings, "KEPT_BYTES", 4 * 8 * 8 * 50)
    prepared = PreparedDrawings(8)
    tracemalloc.start()
    for number in range(200):
        prepared(PREFIX + f"{number:>100000}")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 200_000


@pytest.mark.parametrize("ink", [np.zeros((28, 28)), np.full((28, 28), 0.05)])
def test_a_blank_canvas_is_named(ink):
    with pytest.raises(ValueError, match=r"The canvas is blank\. Draw a character on it\."):
        prepare(ink)


def test_an_image_is_like_omniglots():
    image = prepare(cross())
    assert image.shape == (28, 28, 1)
    assert image.dtype == np.float32
    assert 0 <= image.min() < 0.1
    assert image.max() == 1
    assert (image[[0, -1]] == 1).all()


def test_a_drawing_is_centred():
    image = prepare(cross(top=100, left=20))[..., 0]
    np.testing.assert_allclose(image, image[::-1], atol=1e-6)
    np.testing.assert_allclose(image, image[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("top, left", [(0, 0), (0, 130), (130, 130)])
def test_the_place_on_the_canvas_does_not_matter(top, left):
    np.testing.assert_allclose(prepare(cross(top=top, left=left)), prepare(cross()), atol=1e-6)


@pytest.mark.parametrize("times", [2, 3])
def test_the_size_of_the_drawing_does_not_matter(times):
    large = np.kron(cross(), np.ones((times, times)))
    np.testing.assert_allclose(prepare(large), prepare(cross()), atol=1e-6)


def test_the_longer_side_fills_its_share_and_the_shorter_keeps_its_proportion():
    ink = np.zeros((200, 200))
    ink[20:180, 60:100] = 1
    top, bottom, left, right = bounding_box(1 - prepare(ink)[..., 0])
    assert bottom - top == round(28 * DRAWN) == 20
    # A quarter of 20, from 11.5 to 16.5: half a pixel at either end.
    assert (left, right) == (11, 17)


def test_reducing_by_area_keeps_the_amount_of_ink():
    ink = np.random.RandomState(0).rand(90, 70) * cross(140, 0, 0, 140, 30)[:90, :70] + 0.2
    scale = 28 * DRAWN / 90
    assert (1 - prepare(ink)).sum() == pytest.approx(ink.sum() * scale**2, rel=1e-5)


def test_the_cells_of_a_grid_share_out_all_pixels_that_they_cover():
    shares = coverage(-3.7, 31, 9, 20)
    np.testing.assert_allclose(shares.sum(0), 9 / 31)
