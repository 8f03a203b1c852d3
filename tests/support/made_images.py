"""Image files and data sets that tests make."""

import csv

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

# A miniature of miniImageNet: classes of each split, by its folder's name.
CLASSES = {"train": 3, "val": 2, "test": 2}
IMAGES = 4


def picture(number, size=84, channels=3):
    return np.random.RandomState(number).randint(0, 256, (size, size, channels), np.uint8)


def write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    encode = tf.io.encode_png if path.suffix == ".png" else tf.io.encode_jpeg
    path.write_bytes(encode(image).numpy())
    return path


def class_folders(folder, counts, size=8, channels=1, suffix=".png"):
    """A folder for each name, with so many images."""
    for name, count in counts.items():
        for i in range(count):
            image = picture(sum(map(ord, name)) * 101 + i, size, channels)
            write_image(folder / name / f"{i}{suffix}", image)
    return folder


def mini_imagenet(folder, layout="folders", size=84):
    """Writes the miniature in one of its layouts; `flat`, `by class`, `by split`, `by both`."""
    for split, classes in CLASSES.items():
        rows = []
        for label in (f"n{split}{i}" for i in range(classes)):
            for i in range(IMAGES):
                name = f"{label}_{i}.png"
                inner = {
                    "folders": f"{split}/{label}",
                    "validation": f"{split.replace('val', 'validation')}/{label}",
                    "flat": "images",
                    "by class": f"images/{label}",
                    "by split": f"images/{split}",
                    "by both": f"images/{split}/{label}",
                }[layout]
                write_image(folder / inner / name, picture(sum(map(ord, name)) * 31 + i, size))
                rows.append((name, label))
        if layout not in ("folders", "validation"):
            with open(folder / f"{split}.csv", "w", newline="") as file:
                csv.writer(file).writerows([("filename", "label"), *rows])
    return folder


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """Eight classes of 6 grey images 10 x 10, and a ninth of one; some labels are secret."""

    VERSION = tfds.core.Version("1.0.0")
    NAMES = tuple("abcdefghi")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(10, 10, 1)),
            "label": tfds.features.ClassLabel(names=self.NAMES),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        labels = [*range(8)] * 5 + [8]
        return {
            "train": self._examples(labels),
            "test": self._examples([*range(8), -1, -1]),
            "small": self._examples(labels[:8]),
        }

    def _generate_examples(self):
        raise NotImplementedError

    @staticmethod
    def _examples(labels):
        for i, label in enumerate(labels):
            yield i, {"image": np.full((10, 10, 1), 20 * abs(label), np.uint8), "label": label}
