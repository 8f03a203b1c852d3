"""Turns a drawing on a canvas into an image like the training images."""

import base64
import binascii
import hashlib
import threading
from collections import OrderedDict

import numpy as np
import tensorflow as tf

from keras_reptile.demo.words import WORDS

PREFIX = "data:image/png;base64,"
# The page's canvases are 280 x 280. A small file can declare a huge image.
MOST_PIXELS = 1024
# The memory for prepared images of one model.
KEPT_BYTES = 16 * 2**20
# Ink fainter than this is ignored.
FAINT = 0.1
# The longer side of the drawing, as a share of the image's side.
DRAWN = 20 / 28


def read_canvas(data_url: str) -> np.ndarray:
    """Reads the ink of a canvas.

    Args:
        data_url: String, a PNG of black ink on white paper as a `data:` URL, from
            `canvas.toDataURL()` in a browser.

    Returns:
        Array `(height, width)`, float32 in [0, 1]: paper 0, ink 1.

    Raises:
        ValueError: If it is not such a URL, or a side has more than `MOST_PIXELS` pixels.
    """
    url = str(data_url)
    try:
        if not url.startswith(PREFIX):
            raise ValueError(f"it begins with {url[:30]!r}")
        png = base64.b64decode(url.removeprefix(PREFIX), validate=True)
        check_declared_size(png)
        image = tf.io.decode_png(png, channels=1).numpy()
    except (binascii.Error, ValueError, tf.errors.InvalidArgumentError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"A drawing must be a PNG image in a data URL; {reason}.") from None
    return 1 - image[..., 0].astype(np.float32) / 255


def check_declared_size(png: bytes) -> None:
    """Checks the height and width that a PNG declares, before it is decoded.

    Raises:
        ValueError: If it is not a PNG, or a side has 0 or more than `MOST_PIXELS` pixels.

    Example:

    >>> check_declared_size(tf.io.encode_png(np.zeros((280, 280, 1), np.uint8)).numpy())
    """
    # A signature, then a chunk of 13 bytes named IHDR, which begins with the width and height.
    if png[:16] != b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" or len(png) < 24:
        raise ValueError("it has no PNG header")
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    if not (0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS):
        raise ValueError(f"it declares {width} x {height} pixels, at most {MOST_PIXELS} a side")


class PreparedDrawings:
    """Prepares drawings and keeps the last ones: the page sends all drawings at each stroke.

    A drawing is found by the hash of its URL. URLs are not kept, so the memory is bounded.

    Args:
        size: Integer, height and width of the images.
    """

    def __init__(self, size: int):
        self._size = size
        self._most = max(1, KEPT_BYTES // (4 * size**2))
        self._kept: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, data_url: str) -> np.ndarray:
        """Returns `prepare(read_canvas(data_url), size)`."""
        key = hashlib.sha256(str(data_url).encode("utf-8", "replace")).digest()
        with self._lock:
            image = self._kept.pop(key, None)
        if image is None:
            image = prepare(read_canvas(data_url), self._size)
        with self._lock:
            self._kept[key] = image
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return image


def prepare(ink: np.ndarray, size: int = 28) -> np.ndarray:
    """Crops to the drawing, centres it, and reduces it by area to `size` x `size`.

    The result does not depend on the position and the size of the drawing on the canvas.

    Args:
        ink: Array `(height, width)`, float in [0, 1]: paper 0, ink 1.
        size: Integer, height and width of the image. Defaults to `28`.

    Returns:
        Array `(size, size, 1)`, float32 in [0, 1]: paper 1, ink 0, as in Omniglot.

    Raises:
        ValueError: If nothing is drawn.

    Example:

    >>> canvas = np.zeros((280, 280))
    >>> canvas[40:240, 130:140] = 1  # a vertical line
    >>> image = prepare(canvas)
    >>> image.shape, float(image[14, 0, 0]), np.round(image[14, 12:16, 0], 1).tolist()
    ((28, 28, 1), 1.0, [1.0, 0.5, 0.5, 1.0])
    """
    top, bottom, left, right = bounding_box(ink)
    side = max(bottom - top, right - left) / DRAWN
    rows = coverage((top + bottom - side) / 2, side, size, ink.shape[0])
    columns = coverage((left + right - side) / 2, side, size, ink.shape[1])
    # `einsum` is used in place of `@`, whose threads wait for each other on a busy machine. By
    # rounding, a mean of ones can be a little above one.
    mean = np.einsum("rw,cw->rc", np.einsum("rh,hw->rw", rows, ink), columns)
    paper = 1 - np.clip(mean, 0, 1)
    return paper[..., np.newaxis].astype(np.float32)


def bounding_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Returns top, bottom, left and right of the drawing. Bottom and right are exclusive.

    Raises:
        ValueError: If nothing is drawn.

    Example:

    >>> bounding_box(np.array([[0, 0, 0], [0, 1, 1]]))
    (1, 2, 1, 3)
    """
    rows, columns = np.nonzero(np.asarray(ink) > FAINT)
    if not len(rows):
        raise ValueError(WORDS["blank"])
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def coverage(start: float, side: float, cells: int, pixels: int) -> np.ndarray:
    """Returns the weight of each pixel in the mean over each cell of a grid.

    The space outside the pixels is paper.

    Args:
        start: Float, the position at which the first cell begins, in pixels.
        side: Float, the length of all cells together, in pixels.
        cells: Integer, number of cells.
        pixels: Integer, number of pixels.

    Returns:
        Array `(cells, pixels)`, float64 in [0, 1].

    Example:

    >>> coverage(1, 4, 2, 4)  # pixels 1 and 2, then pixel 3 and paper
    array([[0. , 0.5, 0.5, 0. ],
           [0. , 0. , 0. , 0.5]])
    """
    edges = start + side / cells * np.arange(cells + 1)
    inside = np.clip(edges[:, np.newaxis] - np.arange(pixels), 0, 1)
    return np.diff(inside, axis=0) * cells / side
