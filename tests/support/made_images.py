"""Image files and data sets that tests make."""

import csv
import pickle
import struct

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import ExifTags, Image

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


# Where the images of the miniature lie, and its lists.
PLACES = {
    "folders": "{split}/{label}",
    "validation": "{long}/{label}",
    "flat": "images",
    "by class": "images/{label}",
    "by split": "images/{split}",
    "by both": "images/{split}/{label}",
    "moved": "{split}/{label}",
    "split": "images",
    "class_name": "{label}",
}
HEADERS = {"class_name": ("class_name", "image_name")}


def mini_imagenet(folder, layout="folders", size=84):
    """Writes the miniature in a layout of `PLACES`, or as pickles: `cache`, `cache of Python 2`."""
    if layout.startswith("cache"):
        return _caches(folder, size, layout.endswith("2"))
    for split, classes in CLASSES.items():
        rows = []
        for label in (f"n{split}{i}" for i in range(classes)):
            long = split.replace("val", "validation")
            inner = PLACES[layout].format(split=split, label=label, long=long)
            for name, image in _images_of(label, size):
                write_image(folder / inner / name, image)
                rows.append(dict(filename=name, image_name=name, label=label, class_name=label))
        if layout not in ("folders", "validation"):
            _write_list(
                folder / ("split" if layout == "split" else "") / f"{split}.csv", rows, layout
            )
    return folder


def _write_list(path, rows, layout):
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="") as file:
        header = HEADERS.get(layout, ("filename", "label"))
        writer = csv.DictWriter(file, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _images_of(label, size):
    for i in range(IMAGES):
        name = f"{label}_{i}.png"
        yield name, picture(sum(map(ord, name)) * 31 + i, size)


def _caches(folder, size, of_python_2):
    folder.mkdir(parents=True, exist_ok=True)
    for split, classes in CLASSES.items():
        labels = [f"n{split}{i}" for i in range(classes)]
        images = np.stack([image for label in labels for _, image in _images_of(label, size)])
        places = {n: list(range(IMAGES * i, IMAGES * (i + 1))) for i, n in enumerate(labels)}
        path = folder / f"mini-imagenet-cache-{split}.pkl"
        content = {"image_data": images, "class_dict": places}
        path.write_bytes(
            pickle_of_python_2(images, places) if of_python_2 else pickle.dumps(content)
        )
    return folder


def pickle_of_python_2(images, classes):
    """The content as Python 2 and NumPy 1 pickle it: by old names, and strings for bytes."""

    def text(value):
        return b"U" + struct.pack("<B", len(value)) + value

    def long_text(value):
        return b"T" + struct.pack("<I", len(value)) + value

    def number(value):
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n"
    made += number(0) + b"\x85" + text(b"b") + b"\x87R"
    shape = b"(" + b"".join(map(number, images.shape)) + b"t"
    made += b"(" + number(1) + shape + dtype + b"\x89" + long_text(images.tobytes()) + b"tb"
    named = b"".join(
        text(name.encode()) + b"](" + b"".join(map(number, places)) + b"e"
        for name, places in classes.items()
    )
    named = b"}(" + named + b"u"
    return b"\x80\x02}(" + text(b"image_data") + made + text(b"class_dict") + named + b"u."


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


def save(path, image, **options):
    """Writes a Pillow image, in the format of its name or as told."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def save_deep(path, values):
    """A PNG file of 16 bits, grey or in colour by the shape of its values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(values.astype(np.uint16)).numpy())
    return path


def turned(orientation):
    """EXIF data that say how an image is to be turned."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif
