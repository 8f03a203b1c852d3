"""What an image file shows, whatever kind of image file it is."""

import io
import os
import stat
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image, UnidentifiedImageError

from keras_reptile.errors import reason

# What these decoders are called in Pillow; that of JPEG reads MPO, of two-lens cameras, too.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
)
KINDS = "PNG, JPEG, GIF, WebP, BMP, TIFF or PPM"
# TensorFlow's decoders of these, and not Pillow's, decide the pixels of runs: JPEG files differ by
# some of 255, and grey from colour by 1.
BY_TENSORFLOW = ("JPEG", "MPO", "PNG")
# How to turn an image upright, by the orientation in its EXIF data.
UPRIGHT = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}


class UnreadableImage(ValueError):
    """There is no such image file, or it is none."""

    def __init__(self, path: str | os.PathLike, why: str):
        super().__init__(f"{shown(path)} cannot be read as an image: {why}")
        self.why = why


def decoded(path: str | os.PathLike, channels: int, upright: bool = True) -> np.ndarray:
    """Reads an image file in its own size; of several images in it the first.

    Args:
        path: String or path.
        channels: Integer, 1 for grey (luma), 3 for colour. What is transparent shows white; of 16
            bits the upper 8 are kept.
        upright: Boolean, whether the image is turned as its EXIF data say. Defaults to `True`.

    Returns:
        uint8 array `(height, width, channels)` in [0, 255].

    Raises:
        UnreadableImage: If there is no such file or it is no image; it names the file.
    """
    try:
        return _decoded(_content(path), channels, upright)
    except MemoryError:
        raise
    # Decoders raise whatever comes to them: of damaged files `SyntaxError` and `struct.error` too.
    except Exception as error:
        raise UnreadableImage(path, _why(path, error)) from None


def shown(name: object) -> str:
    """A file's name as it can be printed and written, whatever bytes it is made of.

    Example:

    >>> shown("caf\\udce9.png")
    'caf\\\\udce9.png'
    """
    return str(name).encode("utf-8", "backslashreplace").decode()


def _content(path) -> bytes:
    # Whoever reads a pipe waits for its other end, and a device has none.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is no regular file")
    content = Path(path).read_bytes()
    if not content:
        raise ValueError("it is empty")
    return content


def _why(path, error) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is no {KINDS} file"
    if isinstance(error, FileNotFoundError) and os.path.islink(path):
        return "it is a link to a file that is not there"
    return reason(error)[:200]


def _decoded(content, channels, upright):
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        pixels = _pixels(content, image, channels)
        turn = UPRIGHT.get(_orientation(image)) if upright else None
        return np.ascontiguousarray(turn(pixels)) if turn else pixels


def _pixels(content, image, channels):
    on_white = _on_white(image)
    if on_white is None and image.format in BY_TENSORFLOW and image.mode != "CMYK":
        with tf.device("CPU:0"):
            return tf.io.decode_image(content, channels, expand_animations=False).numpy()
    colour = (_eight_bits(image) if on_white is None else on_white).convert("RGB")
    pixels = np.array(colour.convert("L") if channels == 1 else colour)
    return pixels.reshape(*pixels.shape[:2], channels)


def _on_white(image) -> Image.Image | None:
    """The image on white paper; `None` if nothing of it is transparent."""
    if _is_deep(image) or not image.has_transparency_data:
        return None
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema()[0] == 255:
        return None
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)


def _is_deep(image) -> bool:
    return image.mode[0] in "IF"


def _eight_bits(image):
    if not _is_deep(image):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() >= 2**16:
        raise ValueError("nothing tells the range of its 32-bit values. Save it with 8 or 16 bits")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _orientation(image) -> int:
    # Of a PNG file Pillow would decode all pixels to look for it behind them.
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
        return 1
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Damaged EXIF data raise anything, and leave the image as it is.
        return 1
