"""What the images of a data set are, as runs, exports and models tell it."""

from typing import Any

from keras_reptile.datasets.load import REGISTERED

_RESAMPLING = {
    "glyphs": None,
    "omniglot": "nearest",
    "mini_imagenet": "nearest to 84 x 84 where version 1.1.0 prepared it, bilinear where 1.0.0 did",
}


def describe(name: str, image_size: int, channels: int) -> dict[str, Any] | None:
    """Size, values and resampling of the images of a data set.

    `None` if it has no images, or was registered, as nothing is known of its images then.

    `read_image` reads files alike with the same `image_size`, `channels` and `resampling`.

    Args:
        name: String, a data set's name, see `load`.
        image_size: Integer, height and width.
        channels: Integer, 1 for grey, 3 for colour.

    Example:

    >>> describe("omniglot", 28, 1)["resampling"], describe("omniglot", 28, 1)["ink"]
    ('nearest', 0.0)
    """
    if name == "sinusoid" or name in REGISTERED:
        return None
    # Not known of photographs, nor of anyone's own images.
    paper, ink = (1.0, 0.0) if name in ("glyphs", "omniglot") else (None, None)
    return {
        "image_size": image_size,
        "channels": channels,
        "resampling": _RESAMPLING.get(name, "bilinear"),
        # As the network takes them: bytes divided by 255.
        "value_range": [0.0, 1.0],
        "paper": paper,
        "ink": ink,
    }
