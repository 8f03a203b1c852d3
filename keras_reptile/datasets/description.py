"""A description of a data set's images, which runs, exports and models carry."""

from typing import Any

from keras_reptile.datasets.load import REGISTERED, check_name

_RESAMPLING = {
    "glyphs": None,
    "omniglot": "nearest",
    "mini_imagenet": "nearest to 84 x 84 where version 1.1.0 prepared it, bilinear where 1.0.0 did",
}


def describe(name: str, image_size: int, channels: int) -> dict[str, Any] | None:
    """Returns the size, values and resampling of a data set's images.

    It is `None` for a data set without images, and for a registered one, whose images are unknown.

    For Omniglot and folders, `read_image` with the same `image_size`, `channels` and `resampling`
    reads files in this way. Of glyphs, which are drawn, `resampling` is `None`. Of miniImageNet it
    is a sentence, which `read_image` does not take.

    Args:
        name: String, a data set's name, see `load`.
        image_size: Integer, height and width.
        channels: Integer, 1 for grey, 3 for colour.

    Raises:
        ValueError: If there is no data set of this name.

    Example:

    >>> describe("omniglot", 28, 1)["resampling"], describe("omniglot", 28, 1)["ink"]
    ('nearest', 0.0)
    """
    check_name(name)
    if name == "sinusoid" or name in REGISTERED:
        return None
    # Photographs and users' images have no known paper and ink.
    paper, ink = (1.0, 0.0) if name in ("glyphs", "omniglot") else (None, None)
    return {
        "image_size": image_size,
        "channels": channels,
        "resampling": _RESAMPLING.get(name, "bilinear"),
        # The range in which the network takes images: bytes divided by 255.
        "value_range": [0.0, 1.0],
        "paper": paper,
        "ink": ink,
    }
