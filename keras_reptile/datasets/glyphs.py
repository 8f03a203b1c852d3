"""Handwritten-like characters drawn from a seed: an embedded stand-in for Omniglot."""

import functools

import numpy as np

from keras_reptile.checks import check_integer, check_seed
from keras_reptile.episodes.class_pool import ClassPool, Pools

_OVERSAMPLING = 3
# The value of a pixel by the number of its subpixels that have ink. Paper is 255.
_SHADES = np.rint(255 * (1 - np.linspace(0, 1, _OVERSAMPLING**2 + 1))).astype("uint8")
_KNOTS = 4
_LOOP = 2  # The third kind of curve in `_curve_bases`.
# Signs of the turns before the three steps of a stroke: straight, an arc, a zigzag, a hook.
_TURNS = np.array([[0, 0, 0], [0, 1, 1], [0, 1, -1], [0, 0, 1]])


def draw_glyphs(
    classes: int = 700, writers: int = 20, image_size: int = 28, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `classes` invented characters, each written once by each of `writers` writers.

    A character has two to four strokes: lines, arcs, zigzags or loops. The seed determines their
    knots. Every writer has a slant, a size and a pen width, and each drawing moves the knots a
    little. A class depends on `seed` and its index only, and a drawing on these and its writer's
    index. So more classes or writers never change the others.

    Args:
        classes: Integer, the number of characters. Defaults to `700`.
        writers: Integer, the number of drawings of each character. Defaults to `20`.
        image_size: Integer, height and width, at least 8. Defaults to `28`.
        seed: Integer between 0 and 2**32 - 1, the seed of characters and writers. Defaults to `0`.

    Returns:
        Tuple of images, uint8 `(classes * writers, image_size, image_size, 1)`, where paper is 255
        and ink is 0, and labels, int32 `(classes * writers,)` in 0 to classes - 1. The drawings of
        a class are contiguous, in the order of the writers.

    Raises:
        ValueError: If `classes` or `writers` is below 1, `image_size` is below 8, or `seed` is out
            of range.

    Example:

    >>> images, labels = draw_glyphs(classes=3, writers=2)
    >>> images.shape, images.dtype
    ((6, 28, 28, 1), dtype('uint8'))
    >>> labels.tolist()
    [0, 0, 1, 1, 2, 2]
    """
    check_drawing(classes, writers, image_size, seed)
    bases = _curve_bases(samples=3 * image_size)
    styles = _stream(seed, 0).randn(writers, 5)
    images = np.empty((classes, writers, image_size, image_size, 1), "uint8")
    for index in range(classes):
        kinds, knots = _invent_character(_stream(seed, 1, index))
        ink, pens = _write(bases[kinds], knots, styles, _stream(seed, 2, index))
        images[index, ..., 0] = _develop(ink, pens, image_size)
    labels = np.repeat(np.arange(classes, dtype="int32"), writers)
    return images.reshape(-1, image_size, image_size, 1), labels


def check_drawing(classes: int, writers: int, image_size: int, seed: int) -> None:
    """Raises `ValueError` if an argument of `draw_glyphs` is out of range."""
    check_integer("classes", classes, 1)
    check_integer("writers", writers, 1)
    check_integer("image_size", image_size, 8)
    check_seed("seed", seed)


def _stream(*key: int) -> np.random.RandomState:
    # NumPy guarantees that the stream of `RandomState` never changes. That of `default_rng` may.
    return np.random.RandomState(key)


def _curve_bases(samples: int) -> np.ndarray:
    """Returns the weights `(3, samples, 4)` that turn four knots into each kind of curve."""
    t = np.linspace(0, 1, samples)
    polyline = [np.maximum(0, 1 - abs(t * (_KNOTS - 1) - knot)) for knot in range(_KNOTS)]
    bezier = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
    loop = [0.25 + 0.5 * np.cos((4 * t - knot) * np.pi / 2) for knot in range(_KNOTS)]
    return np.stack([polyline, bezier, loop]).transpose(0, 2, 1)


def _invent_character(stream: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kinds `(strokes,)` and the knots `(strokes, 4, 2)` of a new character."""
    kinds = stream.choice(3, stream.randint(2, 5), p=[0.45, 0.4, 0.15])
    strokes: list[np.ndarray] = []
    for kind in kinds:
        stroke = _invent_stroke(stream, kind)
        if strokes and stream.rand() < 0.6:
            stroke += strokes[-1][stream.randint(_KNOTS)] - stroke[0]
        strokes.append(stroke)
    knots = np.array(strokes)
    low, high = knots.min(axis=(0, 1)), knots.max(axis=(0, 1))
    # The narrower axis is stretched, at most by a factor of 2, to use the paper.
    span = np.maximum(high - low, 0.5 * (high - low).max())
    return kinds, (2 * knots - low - high) / span * stream.uniform(0.7, 1, 2)


def _invent_stroke(stream: np.random.RandomState, kind: int) -> np.ndarray:
    """Returns the knots `(4, 2)` of a walk of three steps, with the turns of a row of `_TURNS`."""
    angle = np.pi / 2 if kind == _LOOP else stream.uniform(-2.2, 2.2)
    signs = _TURNS[1 if kind == _LOOP else stream.randint(len(_TURNS))]
    # Strokes are mostly horizontal, vertical or diagonal.
    heading = stream.randint(8) * np.pi / 4 + 0.15 * stream.randn()
    headings = heading + angle * np.cumsum(signs)
    steps = stream.uniform(0.5, 1.0) * np.stack([np.cos(headings), np.sin(headings)], axis=-1)
    walk = np.cumsum(np.concatenate([np.zeros((1, 2)), steps]), axis=0)
    return walk - walk.mean(axis=0) + stream.uniform(-1, 1, 2)


def _write(
    bases: np.ndarray, knots: np.ndarray, styles: np.ndarray, stream: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Returns every writer's ink `(writers, points, 2)` and pen radius `(writers, 1)`."""
    # Each row is one writer's, so the first rows do not depend on the number of writers.
    noise = stream.randn(len(styles), 7 + knots.size)
    slant, angle, width, height, pen = (styles + 0.7 * noise[:, :5]).T[..., np.newaxis]
    tremor = noise[:, 7:].reshape(-1, *knots.shape)
    ink = np.einsum("spk,wskc->cwsp", bases, knots + 0.05 * tremor)
    x, y = ink.reshape(2, len(styles), -1)
    x, y = np.exp(0.12 * width) * (x + 0.18 * slant * y), np.exp(0.12 * height) * y
    cos, sin = np.cos(0.1 * angle), np.sin(0.1 * angle)
    ink = 0.68 * np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
    ink += 0.06 * noise[:, np.newaxis, 5:7]
    # A drawing that would leave the paper is shrunk. Clipping would put ink along the border.
    ink /= np.maximum(1, abs(ink).max(axis=(1, 2), keepdims=True) / 0.88)
    return ink, np.minimum(0.1, 0.038 * np.exp(0.17 * pen))


def _develop(ink: np.ndarray, pens: np.ndarray, image_size: int) -> np.ndarray:
    """Returns the `uint8` images `(writers, size, size)` of a round pen that follows the ink."""
    side = _OVERSAMPLING * image_size
    ticks = np.linspace(-1, 1, 2 * -(-image_size // 14) + 1, dtype="float32")
    disc = np.stack(np.meshgrid(ticks, ticks)).reshape(2, -1, 1, 1)
    disc = disc[:, np.linalg.norm(disc, axis=0).ravel() < 1.2]
    ink, pens = np.moveaxis(ink.astype("float32"), -1, 0), pens.astype("float32")
    # This is the slowest part of drawing. It computes one axis after the other.
    x, y = (_pixels(ink[axis] + pens * disc[axis], side) for axis in (0, 1))
    canvas = np.zeros((len(ink[0]), side, side), "uint8")
    y += side * np.arange(len(canvas))[:, np.newaxis]
    canvas.reshape(-1)[(side * y + x).ravel()] = 1
    return _SHADES[_sums_of_blocks(canvas, image_size)]


def _pixels(dots: np.ndarray, side: int) -> np.ndarray:
    """Returns the pixel indices of coordinates in [-1, 1]. It overwrites the coordinates."""
    dots += 1
    dots *= side / 2
    return dots.astype("int64")


def _sum_of(arrays) -> np.ndarray:
    return functools.reduce(np.add, arrays)


def _sums_of_blocks(canvas: np.ndarray, image_size: int) -> np.ndarray:
    """Returns the sums `(writers, size, size)` of square blocks of pixels."""
    columns = canvas.reshape(-1, image_size, _OVERSAMPLING)
    rows = _sum_of(columns[..., i] for i in range(_OVERSAMPLING))
    rows = rows.reshape(-1, image_size, _OVERSAMPLING, image_size)
    return _sum_of(rows[:, :, i] for i in range(_OVERSAMPLING))


def load(
    classes: int = 700,
    validation_classes: int = 50,
    test_classes: int = 150,
    writers: int = 20,
    image_size: int = 28,
    seed: int = 0,
) -> Pools:
    """Draws characters as three pools of classes. It needs no download.

    Args:
        classes: Integer, the number of all classes. Defaults to `700`.
        validation_classes: Integer, the number of validation classes. Defaults to `50`.
        test_classes: Integer, the number of test classes. Defaults to `150`.
        writers: Integer, images of each class. Defaults to `20`.
        image_size: Integer, height and width. Defaults to `28`.
        seed: Integer, the seed of the characters. Defaults to `0`.

    Returns:
        `Pools` of uint8 images `(image_size, image_size, 1)`. Paper is 255, ink is 0.

    Raises:
        ValueError: If an argument is out of range, or no training class would remain.
    """
    for name, number in (
        ("validation_classes", validation_classes),
        ("test_classes", test_classes),
    ):
        check_integer(name, number, 0)
    check_integer("classes", classes, 1)
    training = classes - validation_classes - test_classes
    if training < 1:
        raise ValueError(
            "`validation_classes` and `test_classes` must leave classes to train on. Received: "
            f"classes={classes}, validation_classes={validation_classes}, "
            f"test_classes={test_classes}. Raise `classes` or lower one of the others."
        )
    pool = ClassPool.from_arrays(*draw_glyphs(classes, writers, image_size, seed))
    return Pools(*pool.split(training, validation_classes, test_classes))
