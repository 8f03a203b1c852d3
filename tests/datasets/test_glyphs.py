import numpy as np
import pytest

from keras_reptile.datasets import glyphs
from keras_reptile.datasets.glyphs import draw_glyphs

CLASSES, WRITERS = 120, 20


@pytest.fixture(scope="module")
def drawn():
    return draw_glyphs(classes=CLASSES, writers=WRITERS)


def by_class(images):
    return images.reshape(CLASSES, WRITERS, -1).astype("float32") / 255


def test_images_and_labels_have_the_documented_form(drawn):
    images, labels = drawn
    assert images.shape == (CLASSES * WRITERS, 28, 28, 1)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, np.repeat(np.arange(CLASSES), WRITERS))


def test_a_seed_always_draws_the_same_images(drawn):
    images, labels = draw_glyphs(classes=CLASSES, writers=WRITERS, seed=0)
    np.testing.assert_array_equal(images, drawn[0])
    np.testing.assert_array_equal(labels, drawn[1])


def test_another_seed_draws_other_images():
    first, _ = draw_glyphs(classes=5, writers=4, seed=0)
    second, _ = draw_glyphs(classes=5, writers=4, seed=1)
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_the_global_random_state_is_neither_used_nor_changed(drawn):
    np.random.seed(123)
    expected = np.random.RandomState(123).rand()
    images, _ = draw_glyphs(classes=2, writers=WRITERS)
    assert np.random.rand() == expected
    np.testing.assert_array_equal(images, drawn[0][: 2 * WRITERS])


@pytest.mark.parametrize(("classes", "writers"), [(1, 1), (7, WRITERS), (CLASSES, 1), (9, 3)])
def test_more_classes_or_writers_keep_the_ones_before(drawn, classes, writers):
    images, _ = draw_glyphs(classes=classes, writers=writers)
    prefix = drawn[0].reshape(CLASSES, WRITERS, 28, 28, 1)[:classes, :writers]
    np.testing.assert_array_equal(images, prefix.reshape(images.shape))


@pytest.mark.parametrize("image_size", [8, 13, 28, 64])
def test_every_image_has_some_ink_and_mostly_paper(image_size):
    images, _ = draw_glyphs(classes=40, writers=10, image_size=image_size)
    assert images.shape == (400, image_size, image_size, 1)
    ink = 1 - images.mean(axis=(1, 2, 3)) / 255
    assert ink.min() > 0.015
    assert ink.max() < 0.45


def test_the_border_stays_blank(drawn):
    images = drawn[0]
    border = np.ones((28, 28, 1), dtype=bool)
    border[1:-1, 1:-1] = False
    assert (images[:, border] < 128).mean() < 0.01


def test_every_image_is_distinct(drawn):
    assert len({image.tobytes() for image in drawn[0]}) == CLASSES * WRITERS


def test_drawings_of_a_class_are_closer_than_those_of_different_classes(drawn):
    glyphs = by_class(drawn[0])
    same = np.square(glyphs[:, 0] - glyphs[:, 1]).mean()
    different = np.square(glyphs[:, 0] - np.roll(glyphs, 1, axis=0)[:, 1]).mean()
    assert 0.02 < same < 0.85 * different


def inked(ink, pen, side):
    """Which of the pixels on one sheet a round pen touches as it follows the ink."""
    reach = 2 * -(-side // 42)
    sheet = np.zeros((side, side), bool)
    for j, i in np.ndindex(reach + 1, reach + 1):
        offset = np.float32(2 * i / reach - 1), np.float32(2 * j / reach - 1)
        if np.hypot(*offset) < 1.2:
            dots = ink.astype("float32") + np.float32(pen) * np.array(offset, "float32")
            x, y = ((dots + 1) * (side / 2)).astype(int).T
            sheet[y, x] = True
    return sheet


@pytest.mark.parametrize("size", [8, 28, 33])
def test_a_pixel_is_as_dark_as_the_share_of_it_that_a_pen_touched(size):
    random = np.random.RandomState(size)
    ink, pens = random.uniform(-0.85, 0.85, (3, 40, 2)), random.uniform(0.03, 0.1, (3, 1))
    found = glyphs._develop(ink, pens, size)
    for image, path, (pen,) in zip(found, ink, pens, strict=True):
        shares = inked(path, pen, 3 * size).reshape(size, 3, size, 3).mean(axis=(1, 3))
        np.testing.assert_array_equal(image, np.rint(255 * (1 - shares)))


def test_a_writer_has_a_pen_of_their_own(drawn):
    ink = 1 - by_class(drawn[0]).mean(axis=-1)
    of_half = [half.mean(axis=0) for half in (ink[::2], ink[1::2])]
    assert np.corrcoef(of_half)[0, 1] > 0.8


def test_comparing_pixels_is_better_than_chance_but_not_enough(drawn):
    glyphs = by_class(drawn[0])
    rng = np.random.RandomState(0)
    hits = []
    for _ in range(400):
        classes = rng.choice(CLASSES, 5, replace=False)
        shot, query = rng.choice(WRITERS, 2, replace=False)
        gaps = glyphs[classes, query][:, None] - glyphs[classes, shot][None]
        hits.append(np.square(gaps).sum(axis=-1).argmin(axis=1) == np.arange(5))
    assert 0.4 < np.mean(hits) < 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0}, "`classes` must be at least 1. Received: classes=0."),
        ({"writers": -2}, "`writers` must be at least 1. Received: writers=-2."),
        ({"image_size": 7}, "`image_size` must be at least 8. Received: image_size=7."),
    ],
)
def test_impossible_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError) as error:
        draw_glyphs(**arguments)
    assert str(error.value) == message
