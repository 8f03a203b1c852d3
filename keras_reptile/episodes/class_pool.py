"""Images grouped by class, and class-disjoint parts of them."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_reptile.checks import check_integer, check_seed
from keras_reptile.episodes.shared_memory import aligned, as_tensor


class ClassPool:
    """Images of many classes, grouped by class: what tasks are drawn from.

    Args:
        images: Array `(images, ...)`, class by class. uint8 reaches the network as the
            `byte_scale` of `ReptileModel` says, by default as float32 in [0, 1]; other dtypes
            reach it as they are. They are not copied: leave them as they are once episodes are
            drawn from them.
        counts: Sequence of integers, the number of images of each class, in the same order.
        names: Sequence, what the classes are called. Defaults to their positions.

    Raises:
        ValueError: If the counts do not add up to the images, a class is empty, or an image holds
            NaN or infinity.

    Example:

    >>> pool = ClassPool.from_arrays(np.zeros((6, 28, 28, 1), np.uint8), ["b", "a"] * 3)
    >>> pool
    ClassPool(classes=2, images=6, image_shape=(28, 28, 1), dtype=uint8)
    >>> pool.names
    ('a', 'b')
    """

    # Set by those who read a data set: its name with its version, and the names and sizes of the
    # classes of this part that have too few images.
    source: str = ""
    left_out: Mapping = MappingProxyType({})

    def __init__(
        self,
        images: np.ndarray,
        counts: Sequence[int] | np.ndarray,
        names: Sequence | None = None,
    ):
        self.images = _as_images(images)
        self.counts = _as_counts(counts)
        self.names = _as_tuple("names", range(len(self.counts)) if names is None else names)
        if self.counts.sum() != len(self.images) or len(self.names) != len(self.counts):
            raise ValueError(
                "`counts` must add up to the number of images, one count and one name a class. "
                f"Received: {len(self.images)} images, {len(self.counts)} counts that add up to "
                f"{self.counts.sum()}, {len(self.names)} names."
            )
        if len(self.counts) and self.counts.min() < 1:
            raise ValueError(
                f"Every class needs an image. Received a count of {self.counts.min()} in `counts`."
            )
        self.offsets = np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)
        self._check_finite()

    @classmethod
    def from_arrays(cls, images: Any, labels: Any) -> "ClassPool":
        """Groups anyone's images by anyone's labels.

        Args:
            images: Array `(images, ...)`, of any shape and dtype.
            labels: Array `(images,)` of integers or strings. Classes are sorted by label; within
                a class the order of the images is kept.

        Raises:
            ValueError: If there are not as many labels as images, or none at all, or they are
                neither integers nor strings, or an image holds NaN or infinity.
        """
        images, labels = _as_images(images), _as_array("labels", labels)
        if labels.ndim != 1 or len(labels) != len(images) or not len(labels):
            raise ValueError(
                "`labels` must be one label for each image. Received: images of shape "
                f"{images.shape} and labels of shape {labels.shape}."
            )
        _check_labels(labels)
        names, counts = np.unique(labels, return_counts=True)
        if (labels[1:] < labels[:-1]).any():
            images = images[np.argsort(labels, kind="stable")]
        return cls(images, counts, names.tolist())

    def _check_finite(self) -> None:
        """Raises `ValueError` for images with NaN or infinity, from which no network learns."""
        if _is_finite(self.images):
            return
        found = [i for i, image in enumerate(self.images) if not _is_finite(image)]
        first = int(np.searchsorted(self.offsets, found[0], side="right")) - 1
        raise ValueError(
            f"Images must hold finite numbers. Received NaN or infinity in {len(found)} of "
            f"{len(self.images)} images, the first of them in class {self.names[first]!r}. Replace "
            "these values, or leave the images out."
        )

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.counts)

    def __repr__(self) -> str:
        return (
            f"ClassPool(classes={len(self)}, images={len(self.images)}, "
            f"image_shape={self.image_shape}, dtype={self.images.dtype})"
        )

    @property
    def image_shape(self) -> tuple:
        return self.images.shape[1:]

    @functools.cached_property
    def tensor(self) -> tf.Tensor:
        """The images as a tensor in the same memory, whose content must not change any more."""
        self.images = aligned(self.images)
        return as_tensor(self.images)

    def class_images(self, position: int) -> np.ndarray:
        """The images of the class at a position, `(count, ...)`.

        Raises:
            ValueError: If there is no such class.
        """
        check_integer("position", position, 0, len(self) - 1)
        return self.images[self.offsets[position] :][: self.counts[position]]

    def subset(self, positions: Sequence[int]) -> "ClassPool":
        """The classes at these positions, in this order.

        Raises:
            ValueError: If there is no class at one of them.
        """
        positions = _as_tuple("positions", positions)
        parts = [self.class_images(p) for p in positions]
        images = np.concatenate(parts) if parts else self.images[:0]
        names = [self.names[p] for p in positions]
        return self._of_the_same_source(images, self.counts[list(positions)], names)

    def split(self, *sizes: int) -> list["ClassPool"]:
        """Consecutive parts of so many classes each, with no class in two of them.

        Raises:
            ValueError: If there are fewer classes than the sizes add up to.
        """
        for size in sizes:
            check_integer("sizes", size, 0)
        if sum(sizes) > len(self):
            raise ValueError(
                f"The parts must fit into the pool. Received: sizes={sizes}, "
                f"with {len(self)} classes."
            )
        edges = np.cumsum([0, *sizes])
        return [self.subset(range(a, b)) for a, b in itertools.pairwise(edges)]

    def shuffled(self, seed: int) -> "ClassPool":
        """The same classes in an order drawn from the seed.

        Raises:
            ValueError: If the seed is not in 0 to 2**32 - 1.
        """
        check_seed("seed", seed)
        return self.subset(np.random.RandomState(seed).permutation(len(self)).tolist())

    def with_rotations(self) -> "ClassPool":
        """Four classes of each: the images turned by 0, 90, 180 and 270 degrees.

        Raises:
            ValueError: If the images are not square `(side, side, channels)`.
        """
        shape = self.image_shape
        if len(shape) != 3 or shape[0] != shape[1]:
            raise ValueError(
                "Rotations need square images `(side, side, channels)`. "
                f"Received images of shape {shape}."
            )
        turned = [np.rot90(self.images, quarter, axes=(1, 2)) for quarter in range(4)]
        names = [(name, 90 * quarter) for quarter in range(4) for name in self.names]
        return self._of_the_same_source(np.concatenate(turned), np.tile(self.counts, 4), names)

    def _of_the_same_source(self, images, counts, names) -> "ClassPool":
        pool = ClassPool(images, counts, names)
        pool.source = self.source
        return pool


def _as_array(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be an array. Received: {type(values).__name__}: {error}"
        ) from None


def _as_tuple(name: str, values: Any) -> tuple:
    try:
        return tuple(values)
    except TypeError:
        raise ValueError(f"`{name}` must be a sequence. Received: {name}={values!r}.") from None


def _as_images(images: Any) -> np.ndarray:
    array = _as_array("images", images)
    if not array.ndim or array.dtype.kind in "OSUMm":
        raise ValueError(
            "`images` must be an array of numbers, `(images, ...)`. Received: shape "
            f"{array.shape}, dtype {array.dtype}."
        )
    return array


def _is_finite(images: np.ndarray) -> bool:
    """Whether no value is NaN or infinite, without a copy; minima and maxima show any."""
    can_hold_nan = images.dtype.kind in "fc" or images.dtype == tf.bfloat16.as_numpy_dtype
    return not (can_hold_nan and images.size) or bool(
        np.isfinite(images.min()) and np.isfinite(images.max())
    )


def _check_labels(labels: np.ndarray) -> None:
    # Not numbers such as NaN, which have no place in an order.
    of_objects = labels.dtype == object and len({type(label) for label in labels}) == 1
    if labels.dtype.kind not in "biuSU" and not (of_objects and isinstance(labels[0], str | int)):
        raise ValueError(
            f"`labels` must be integers or strings. Received: dtype {labels.dtype}. Give, say, "
            "`labels.astype(int)`."
        )


def _as_counts(counts: Any) -> np.ndarray:
    array = _as_array("counts", counts)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            "`counts` must be integers, one for each class. Received: shape "
            f"{array.shape}, dtype {array.dtype}."
        )
    return array.astype(np.int64)


class Pools(NamedTuple):
    """Three pools with no class in common.

    train: Classes to meta-train on.
    validation: Classes to choose by while training; may have none.
    test: Classes for the final figure only.
    """

    train: ClassPool
    validation: ClassPool
    test: ClassPool
