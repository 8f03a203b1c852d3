"""Keeps the decoded images of a folder in a file, which the next start reads.

The file has a SHA-256 of each class's images, then the images, class by class. Its name is a digest
of the names, sizes and times of the image files, of the requested size and channels, and of the
versions of the decoders. So a changed image is never read from an older cache.
"""

import contextlib
import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import tensorflow as tf
from absl import logging

from keras_reptile.checks import local_path
from keras_reptile.datasets.image_files import read_images
from keras_reptile.episodes.shared_memory import empty
from keras_reptile.errors import RunError, reason
from keras_reptile.files.atomic_file import replacing

VARIABLE = "KERAS_REPTILE_CACHE"
SUFFIX = ".images"
VERSION = 2
# Fewer images are not cached. Decoding them takes a moment.
LEAST = 1000
# The total bytes of all caches. The least recently used ones beyond it are removed.
MAX_CACHE_BYTES = 16 << 30
# A file that changed so recently may change again within the resolution of its times.
SETTLED_SECONDS = 3
DIGEST = hashlib.sha256().digest_size


def read_classes(
    classes: Mapping[str, Sequence[Path]], names: Sequence[str], image_size: int, channels: int
) -> np.ndarray:
    """Reads the images of some classes, class by class, from the cache if it has them.

    If all classes are read, the cache is written.

    Args:
        classes: Dict of the image files of each class.
        names: Sequence of strings, the classes to read, in any order.
        image_size: As in `read_images`.
        channels: As in `read_images`.

    Raises:
        ValueError: If images cannot be read. The error names them and says why.
    """
    shape = (image_size, image_size, channels)
    cache = cache_of(classes, shape)
    if cache and (images := cache.read(names)) is not None:
        return images
    images = read_images([path for name in names for path in classes[name]], image_size, channels)
    if cache and len(names) == len(classes):
        cache.write(names, images)
    return images


def cache_of(
    classes: Mapping[str, Sequence[Path]], image_shape: tuple[int, ...]
) -> "ImageCache | None":
    """Returns the cache of these images, written or not. `None` if they are not to be cached."""
    folder = cache_directory()
    if folder is None or sum(map(len, classes.values())) < LEAST:
        return None
    try:
        return ImageCache(folder, classes, image_shape)
    except OSError:  # `read_images` names the file and says why.
        return None


def cache_directory() -> Path | None:
    """Returns the folder of all caches. `None` if caching is off.

    The environment variable `KERAS_REPTILE_CACHE` chooses the folder, and turns caching off if it
    is empty. Without it, the folder is `keras_reptile` in the user's cache folder.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        return Path(local_path(given)) if given else None
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "keras_reptile")


class ImageCache:
    """The cache file of the images of some classes.

    Args:
        folder: Path of the folder of all caches.
        classes: Dict of the image files of each class.
        image_shape: Tuple, `(height, width, channels)` of the images as they are read.
    """

    def __init__(
        self, folder: Path, classes: Mapping[str, Sequence[Path]], image_shape: tuple[int, ...]
    ):
        self.image_shape = image_shape
        self.counts = {name: len(files) for name, files in classes.items()}
        ends = itertools.accumulate(self.counts.values(), initial=0)
        # The offset of each class in the file, and the file's size.
        self.places = [DIGEST * len(classes) + n * math.prod(image_shape) for n in ends]
        stats = [(os.path.realpath(f[0].parent), [_stat(p) for p in f]) for f in classes.values()]
        self.path = folder / f"{_digest_of(stats, image_shape)}{SUFFIX}"
        self.changed = max(max(times) for _, files in stats for _, _, *times in files) / 1e9

    def read(self, names: Sequence[str]) -> np.ndarray | None:
        """Returns the images of these classes. `None` without a file, or with a damaged one.

        A damaged file is removed with a warning.
        """
        try:
            images = self._read(names)
            # It may be another user's.
            with contextlib.suppress(OSError):
                os.utime(self.path)
            return images
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logging.warning("%s is not used: %s. It is written again.", self.path, reason(error))
            with contextlib.suppress(OSError):
                self.path.unlink()
            return None

    def write(self, names: Sequence[str], images: np.ndarray) -> None:
        """Writes the images of all classes, given in any order. A failure is a warning."""
        if self.changed > time.time() - SETTLED_SECONDS:
            return
        of_class = dict(zip(names, self._split(names, images), strict=True))
        arrays = [of_class[name] for name in self.counts]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as temporary, open(temporary, "wb") as file:
                file.write(b"".join(_checksums(arrays)))
                file.writelines(array.data for array in arrays)
            remove_oldest(self.path.parent)
        except (OSError, RunError) as error:
            logging.warning("Images are decoded again at every start: %s", error)

    def _read(self, names) -> np.ndarray:
        if os.path.getsize(self.path) != self.places[-1]:
            raise ValueError("it has another size than its images")
        places = dict(zip(self.counts, self.places, strict=False))
        images = empty((sum(self.counts[name] for name in names), *self.image_shape), np.uint8)
        arrays = self._split(names, images)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self._read_into, arrays, [places[name] for name in names]))
        with open(self.path, "rb") as file:
            expected = {name: file.read(DIGEST) for name in self.counts}
        if _checksums(arrays) != [expected[name] for name in names]:
            raise ValueError("its checksums are wrong")
        return images

    def _read_into(self, array, place) -> None:
        with open(self.path, "rb") as file:
            file.seek(place)
            file.readinto(array)

    def _split(self, names, images) -> list[np.ndarray]:
        ends = list(itertools.accumulate(self.counts[name] for name in names))
        return [images[a:b] for a, b in itertools.pairwise([0, *ends])]


def remove_oldest(folder: Path, most: int = MAX_CACHE_BYTES) -> None:
    """Removes the least recently used caches until the others have at most `most` bytes."""
    caches = []
    for path in folder.glob(f"*{SUFFIX}"):
        # Another process may have removed it in the meantime.
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            caches.append((status.st_mtime, status.st_size, path))
    excess = sum(size for _, size, _ in caches) - most
    for _, size, path in sorted(caches):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= size


def _stat(path: Path) -> tuple:
    status = os.stat(path)
    # Programs can set the modification time back, but not the time of the last status change.
    return path.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest_of(stats: list, image_shape: tuple) -> str:
    described = [VERSION, tf.__version__, PIL.__version__, image_shape, stats]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _checksums(arrays: Sequence[np.ndarray]) -> list[bytes]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda array: hashlib.sha256(array).digest(), arrays))
