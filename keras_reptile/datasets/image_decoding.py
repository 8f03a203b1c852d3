"""Decodes image files of many formats into arrays."""

import io
import os
import stat
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image, UnidentifiedImageError

from keras_reptile.checks import shown
from keras_reptile.errors import reason

# Names of Pillow's decoders. The JPEG decoder also reads MPO, the format of two-lens cameras.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
)
KINDS = "PNG, JPEG, GIF, WebP, BMP, TIFF or PPM"
# TensorFlow decodes these formats. Pillow's pixels differ: by a few of 255 in JPEG files, and by 1
# when colour becomes grey.
BY_TENSORFLOW = ("JPEG", "MPO", "PNG")
# Functions that turn an image upright, by the orientation in its EXIF data.
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
    """Raised for a file that does not exist or is not an image."""

    def __init__(self, path: str | os.PathLike, why: str):
        super().__init__(f"{shown(path)} cannot be read as an image: {why}")
        self.why = why


def decoded(path: str | os.PathLike, channels: int, upright: bool = True) -> np.ndarray:
    """Reads the first image of an image file, in its own size.

    Transparent pixels become white. Of 16 bits the upper 8 are kept.

    Args:
        path: String or path.
        channels: Integer, 1 for grey (luma), 3 for colour.
        upright: Boolean, whether the image is rotated as its EXIF data say. Defaults to `True`.

    Returns:
        uint8 array `(height, width, channels)` in [0, 255].

    Raises:
        UnreadableImage: If the file does not exist or is not an image. The error names the file.
    """
    try:
        return _decoded(_content(path), channels, upright)
    except MemoryError:
        raise
    # For damaged files, decoders raise errors of many types, `SyntaxError` and `struct.error` too.
    except Exception as error:
        raise UnreadableImage(path, _why(path, error)) from None


def _content(path) -> bytes:
    # Reading a pipe would wait for a writer, and a device may have no end.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is not a regular file")
    content = Path(path).read_bytes()
    if not content:
        raise ValueError("it is empty")
    return content


def _why(path, error) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is not a {KINDS} file"
    if isinstance(error, FileNotFoundError) and os.path.islink(path):
        return "it is a link to a file that does not exist"
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
    """Returns the image on a white background, or `None` if no pixel is transparent."""
    if not image.has_transparency_data:
        return None
    layer = _deep_layer(image) if _is_deep(image) else image.convert("RGBA")
    if layer.getchannel("A").getextrema()[0] == 255:
        return None
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)


def _deep_layer(image) -> Image.Image:
    """Returns a grey image of 16 bits as RGBA, where the value of its key is transparent."""
    layer = _eight_bits(image).convert("RGBA")
    opaque = np.asarray(image) != image.info["transparency"]
    layer.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return layer


def _is_deep(image) -> bool:
    return image.mode[0] in "IF"


def _eight_bits(image):
    if not _is_deep(image):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() >= 2**16:
        raise ValueError("the range of its 32-bit values is unknown. Save it with 8 or 16 bits")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _orientation(image) -> int:
    # In a PNG file, EXIF data can follow the pixels: Pillow would decode all of them to find it.
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
        return 1
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Damaged EXIF data raise errors of any type. They are ignored.
        return 1
