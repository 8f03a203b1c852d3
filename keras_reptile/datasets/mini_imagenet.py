"""miniImageNet (Vinyals et al., 2016) in the split of Ravi and Larochelle (2017), through TFDS."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from keras_reptile.checks import check_integer
from keras_reptile.datasets import mini_imagenet_layouts, tfds_images
from keras_reptile.datasets.image_decoding import decoded
from keras_reptile.datasets.image_files import check_image_options
from keras_reptile.datasets.resampling import resize_to_square
from keras_reptile.episodes.class_pool import ClassPool, Pools

IMAGE_SIZE = 84


class MiniImagenet(tfds.core.GeneratorBasedBuilder):
    """TFDS's builder of `mini_imagenet`: 100 classes of 600 images, 84 x 84 pixels in colour.

    Features: `"image"`, uint8 `(84, 84, 3)` in [0, 255], and `"label"`, the name of the class.
    Images of another size are reduced to 84 x 84 as in the authors' program: by nearest neighbour,
    without regard to EXIF data. Images are stored class by class.
    """

    VERSION = tfds.core.Version("1.1.0")
    SUPPORTED_VERSIONS = [tfds.core.Version("1.0.0")]  # noqa: RUF012
    RELEASE_NOTES = {  # noqa: RUF012
        "1.1.0": "Images of another size than 84 x 84 are reduced by nearest neighbour.",
        "1.0.0": "First version, which reduced them bilinearly, with antialiasing.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = mini_imagenet_layouts.INSTRUCTIONS

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(IMAGE_SIZE, IMAGE_SIZE, 3), encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict({"image": image, "label": tfds.features.Text()}),
            supervised_keys=("image", "label"),
            homepage="https://openreview.net/forum?id=rJY0-Kcll",
            # Episodes are drawn at random anyway. Images in order are read without a second copy.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        found = mini_imagenet_layouts.find_images(dl_manager.manual_dir)
        return {split: self._generate_examples(images) for split, images in found.items()}

    def _generate_examples(self, images) -> Iterator:
        for position, (image, label) in enumerate(images):
            yield position, {"image": _as_stored(image), "label": label}


def _as_stored(image: Path | np.ndarray) -> np.ndarray:
    pixels = image if isinstance(image, np.ndarray) else decoded(image, 3, upright=False)
    return resize_to_square(pixels, IMAGE_SIZE, "nearest")


def load(
    data_dir: str | None = None,
    manual_dir: str | None = None,
    validation_classes: int = 16,
    image_size: int = IMAGE_SIZE,
    channels: int = 3,
) -> Pools:
    """Loads 64 training, 16 validation and 20 test classes of photographs, with 600 images each.

    Args:
        data_dir: String, TFDS's data directory. The data set is prepared there once, in
            `mini_imagenet/`. Defaults to `None`: `TFDS_DATA_DIR`, or TFDS's own default.
        manual_dir: String, the folder of the original images, in a layout of
            `mini_imagenet_layouts.INSTRUCTIONS`. It is read only if the data set is not prepared.
            Defaults to `None`: TFDS's default, `downloads/manual` in the data directory.
        validation_classes: Integer, the number of the data set's validation classes to use.
            Defaults to `16`.
        image_size: Integer, height and width. Defaults to `84`.
        channels: Integer, 1 for grey, 3 for colour. Defaults to `3`.

    Returns:
        `Pools` of uint8 images `(image_size, image_size, channels)` in [0, 255].

    Raises:
        ValueError: If an argument is out of range, or the images are missing, incomplete or
            unreadable. The error names the file.

    Reference: [Ravi and Larochelle, 2017](https://openreview.net/forum?id=rJY0-Kcll).
    """
    check_image_options(image_size, channels)
    tfds_images.check_data_dir(data_dir)
    check_integer("validation_classes", validation_classes, 0)
    if validation_classes > mini_imagenet_layouts.CLASSES["validation"]:
        raise ValueError(
            "`validation_classes` must be at most 16, the number of miniImageNet's validation "
            f"classes. Received: validation_classes={validation_classes}."
        )
    builder = _prepared(data_dir, manual_dir)
    parts = {}
    for split in mini_imagenet_layouts.CLASSES:
        parts[split] = ClassPool.from_arrays(
            *tfds_images.read(builder, split, image_size, channels)
        )
        parts[split].source = builder.info.full_name
    parts["validation"], _ = parts["validation"].split(validation_classes, 0)
    return Pools(**parts)


def _prepared(data_dir, manual_dir) -> MiniImagenet:
    # For images of 84 x 84 pixels, the usual size, version 1.0.0 prepared the same data.
    builders = [MiniImagenet(data_dir=data_dir, version=version) for version in ("1.1.0", "1.0.0")]
    for builder in builders:
        if (builder.data_path / "dataset_info.json").exists():
            return builder
    builder = builders[0]
    config = tfds.download.DownloadConfig(
        manual_dir=manual_dir, compute_stats=tfds.download.ComputeStatsMode.SKIP
    )
    try:
        builder.download_and_prepare(download_config=config)
    except (AssertionError, OSError) as error:
        raise ValueError(
            f"miniImageNet is not prepared in {builder.data_dir}, and preparing it failed. "
            f"{type(error).__name__}: {error}"
        ) from error
    return builder
