"""Images grouped by class, and parts of them that have no class in common."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_reptile.checks import check_integer, check_seed, counted
from keras_reptile.episodes.pool_arrays import (
    as_array,
    as_counts,
    as_groups,
    as_images,
    as_tuple,
    check_labels,
    is_finite,
)
from keras_reptile.episodes.shared_memory import aligned, as_tensor, empty


class ClassPool:
    """Images of many classes, grouped by class. Tasks are drawn from it.

    Args:
        images: Array `(images, ...)`, class by class. The `byte_scale` of `ReptileModel` decides
            how the network receives uint8, by default as float32 in [0, 1]. The network receives
            other dtypes unchanged. The array is not copied: do not change it after episodes are
            drawn from the pool.
        counts: Sequence of integers, the number of images of each class, in the same order.
        names: Sequence, the names of the classes. Defaults to their positions.
        groups: Sequence, the name of each class's group, such as the alphabet of a character.
            `episode_dataset(within_groups=True)` draws all classes of a task from one group.
            Defaults to `None`, no groups.

    Raises:
        ValueError: If the counts do not add up to the number of images, a class is empty, there is
            not one group for each class, or an image contains NaN or infinity.

    Example:

    >>> pool = ClassPool.from_arrays(np.zeros((6, 28, 28, 1), np.uint8), ["b", "a"] * 3)
    >>> pool
    ClassPool(classes=2, images=6, image_shape=(28, 28, 1), dtype=uint8)
    >>> pool.names
    ('a', 'b')
    """

    groups: tuple | None = None
    # The readers of data sets set these. `source` is the data set's name and version. `left_out`
    # has the names and sizes of the classes that have too few images.
    source: str = ""
    left_out: Mapping = MappingProxyType({})

    def __init__(
        self,
        images: np.ndarray,
        counts: Sequence[int] | np.ndarray,
        names: Sequence | None = None,
        groups: Sequence | None = None,
    ):
        self.images = as_images(images)
        self.counts = as_counts(counts)
        self.names = as_tuple("names", range(len(self.counts)) if names is None else names)
        self.groups = as_groups(groups, len(self.counts))
        if self.counts.sum() != len(self.images) or len(self.names) != len(self.counts):
            raise ValueError(
                "`counts` must add up to the number of images, with one count and one name for "
                "each class. "
                f"Received: {len(self.images)} images, {len(self.counts)} counts that add up to "
                f"{self.counts.sum()}, {len(self.names)} names."
            )
        if len(self.counts) and self.counts.min() < 1:
            raise ValueError(
                "Every class must have at least one image. Received: a count of "
                f"{self.counts.min()} in `counts`. Leave out classes without images."
            )
        self.offsets = np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)
        self._check_finite()

    @classmethod
    def from_arrays(cls, images: Any, labels: Any) -> "ClassPool":
        """Groups images by their labels.

        Args:
            images: Array `(images, ...)`, of any shape and dtype.
            labels: Array `(images,)` of integers or strings. Classes are sorted by label. Within a
                class the order of the images is kept.

        Raises:
            ValueError: If there is not one label for each image, there are no images, labels are
                neither integers nor strings, or an image contains NaN or infinity.
        """
        images, labels = as_images(images), as_array("labels", labels)
        check_labels(labels, images)
        names, counts = np.unique(labels, return_counts=True)
        if (labels[1:] < labels[:-1]).any():
            images = images[np.argsort(labels, kind="stable")]
        return cls(images, counts, names.tolist())

    def _check_finite(self) -> None:
        """Raises `ValueError` if images contain NaN or infinity."""
        if is_finite(self.images):
            return
        refused = [i for i, image in enumerate(self.images) if not is_finite(image)]
        first = int(np.searchsorted(self.offsets, refused[0], side="right")) - 1
        raise ValueError(
            f"Images must hold finite numbers. Received: NaN or infinity in {len(refused)} of "
            f"{len(self.images)} images. The first is in class {self.names[first]!r}. Replace "
            "these values, or leave the images out."
        )

    def __len__(self) -> int:
        """Returns the number of classes."""
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
        """The images as a tensor that shares the array's memory. Do not change the array."""
        self.images = aligned(self.images)
        return as_tensor(self.images)

    def class_images(self, position: int) -> np.ndarray:
        """Returns the images of one class.

        Args:
            position: Integer, the position of the class in the pool.

        Returns:
            Array `(count, ...)`, a view of the pool's images.

        Raises:
            ValueError: If there is no class at this position.
        """
        position = check_integer("position", position, 0, len(self) - 1)
        return self.images[self.offsets[position] :][: self.counts[position]]

    def subset(self, positions: Sequence[int]) -> "ClassPool":
        """Returns a pool of some of the classes.

        Args:
            positions: Sequence of integers, the positions of the classes, in the new order.

        Raises:
            ValueError: If there is no class at one of the positions, or a position stands twice.
        """
        positions = as_tuple("positions", positions)
        parts = [self.class_images(p) for p in positions]
        if len(set(positions)) < len(positions):
            twice = sorted({int(p) for p in positions if positions.count(p) > 1})
            raise ValueError(
                "`positions` must name each class once: a task would have it under two labels. "
                f"Received: {twice[:10]} more than once. Draw positions without replacement."
            )
        # Aligned for TensorFlow, which would otherwise copy the images once more.
        images = empty((sum(map(len, parts)), *self.image_shape), self.images.dtype)
        if parts:
            np.concatenate(parts, out=images)
        names = [self.names[p] for p in positions]
        groups = self.groups and [self.groups[p] for p in positions]
        return self._of_the_same_source(images, self.counts[list(positions)], names, groups)

    def select(self, names: Sequence) -> "ClassPool":
        """Returns a pool of the classes with these names.

        Args:
            names: Sequence of names, in the new order.

        Raises:
            ValueError: If a name is of no class, or of several, or stands twice.

        Example:

        >>> pool = ClassPool.from_arrays(np.zeros((6, 4)), ["cat", "dog", "owl"] * 2)
        >>> pool.select(["owl", "cat"]).names
        ('owl', 'cat')
        """
        names = as_tuple("names", names)
        known = list(self.names)
        wrong = [name for name in dict.fromkeys(names) if known.count(name) != 1]
        wrong += [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if wrong:
            raise ValueError(
                "`names` must name classes of the pool, each once. Received: "
                f"{wrong[:10]}, which are of no class, of several, or named twice. The pool's "
                f"`names` begin with {known[:10]}."
            )
        return self.subset([known.index(name) for name in names])

    def split(self, *sizes: int) -> list["ClassPool"]:
        """Returns consecutive parts that have no class in common.

        Args:
            *sizes: Integers, the number of classes in each part.

        Raises:
            ValueError: If the sizes add up to more than the number of classes.
        """
        sizes = tuple(check_integer("sizes", size, 0) for size in sizes)
        if sum(sizes) > len(self):
            raise ValueError(
                f"The parts must fit into the pool. Received: sizes={sizes}, "
                f"with {counted(len(self), 'class', 'classes')}."
            )
        edges = np.cumsum([0, *sizes])
        return [self.subset(range(a, b)) for a, b in itertools.pairwise(edges)]

    def shuffled(self, seed: int) -> "ClassPool":
        """Returns the same classes in random order.

        Args:
            seed: Integer. The same seed gives the same order.

        Raises:
            ValueError: If the seed is not in 0 to 2**32 - 1.
        """
        seed = check_seed("seed", seed)
        return self.subset(np.random.RandomState(seed).permutation(len(self)).tolist())

    def with_rotations(self) -> "ClassPool":
        """Returns four classes for each class: its images rotated by 0, 90, 180 and 270 degrees.

        A rotated group is another group.

        Raises:
            ValueError: If the images are not square `(side, side, channels)`.
        """
        shape = self.image_shape
        if len(shape) != 3 or shape[0] != shape[1]:
            raise ValueError(
                "Rotations need square images `(side, side, channels)`. "
                f"Received: images of shape {shape}."
            )
        turned = [np.rot90(self.images, quarter, axes=(1, 2)) for quarter in range(4)]
        names, groups = (
            named and [(name, 90 * quarter) for quarter in range(4) for name in named]
            for named in (self.names, self.groups)
        )
        counts = np.tile(self.counts, 4)
        return self._of_the_same_source(np.concatenate(turned), counts, names, groups)

    def _of_the_same_source(self, images, counts, names, groups) -> "ClassPool":
        pool = ClassPool(images, counts, names, groups)
        pool.source = self.source
        return pool


class UnreadPool(ClassPool):
    """A pool of classes whose images were not read. Only their names and sizes are known.

    Args:
        image_shape: Tuple, the shape that their images would have.
        counts: As in `ClassPool`.
        names: As in `ClassPool`.
    """

    def __init__(self, image_shape: tuple, counts: Sequence[int], names: Sequence):
        self._image_shape, self.counts, self.names = image_shape, as_counts(counts), tuple(names)

    def __getattr__(self, name: str) -> Any:
        # Copies ask for special methods before they have attributes.
        if name.startswith("__") or "counts" not in vars(self):
            raise AttributeError(name)
        # All other attributes of a pool need its images.
        raise AttributeError(
            f"The images of these {len(self.counts)} classes were not read, and `{name}` needs "
            "them. Name their part in `parts`, or leave that out."
        )

    def __repr__(self) -> str:
        return f"UnreadPool(classes={len(self)}, image_shape={self.image_shape})"

    @property
    def image_shape(self) -> tuple:
        return self._image_shape


class Pools(NamedTuple):
    """Three pools with no class in common.

    train: Classes for meta-training.
    validation: Classes for choosing hyper-parameters and checkpoints. The pool may be empty.
    test: Classes for the final accuracy only.
    """

    train: ClassPool
    validation: ClassPool
    test: ClassPool
