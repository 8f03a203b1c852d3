"""Images grouped by class, and parts of them that have no class in common."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_reptile.checks import check_integer, check_seed
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
        self.images = _as_images(images)
        self.counts = _as_counts(counts)
        self.names = _as_tuple("names", range(len(self.counts)) if names is None else names)
        self.groups = _as_groups(groups, len(self.counts))
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
        """Raises `ValueError` if images contain NaN or infinity."""
        if _is_finite(self.images):
            return
        refused = [i for i, image in enumerate(self.images) if not _is_finite(image)]
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
        check_integer("position", position, 0, len(self) - 1)
        return self.images[self.offsets[position] :][: self.counts[position]]

    def subset(self, positions: Sequence[int]) -> "ClassPool":
        """Returns a pool of some of the classes.

        Args:
            positions: Sequence of integers, the positions of the classes, in the new order.

        Raises:
            ValueError: If there is no class at one of the positions.
        """
        positions = _as_tuple("positions", positions)
        parts = [self.class_images(p) for p in positions]
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
        names = _as_tuple("names", names)
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
        """Returns the same classes in random order.

        Args:
            seed: Integer. The same seed gives the same order.

        Raises:
            ValueError: If the seed is not in 0 to 2**32 - 1.
        """
        check_seed("seed", seed)
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
                f"Received images of shape {shape}."
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
        self._image_shape, self.counts, self.names = image_shape, _as_counts(counts), tuple(names)

    def __getattr__(self, name: str) -> Any:
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


def _as_groups(groups: Sequence | None, classes: int) -> tuple | None:
    if groups is None:
        return None
    groups = _as_tuple("groups", groups)
    if len(groups) != classes:
        raise ValueError(
            f"`groups` must be one group for each class. Received: {len(groups)} groups, with "
            f"{classes} classes."
        )
    return groups


def _as_images(images: Any) -> np.ndarray:
    array = _as_array("images", images)
    if not array.ndim or array.dtype.kind in "OSUMm":
        raise ValueError(
            "`images` must be an array of numbers, `(images, ...)`. Received: shape "
            f"{array.shape}, dtype {array.dtype}."
        )
    return array


def _is_finite(images: np.ndarray) -> bool:
    """Returns whether all values are finite. It makes no copy: minimum and maximum show any NaN."""
    can_hold_nan = images.dtype.kind in "fc" or images.dtype == tf.bfloat16.as_numpy_dtype
    return not (can_hold_nan and images.size) or bool(
        np.isfinite(images.min()) and np.isfinite(images.max())
    )


def _check_labels(labels: np.ndarray) -> None:
    # Floats are refused: NaN cannot be sorted.
    of_objects = labels.dtype == object and len({type(label) for label in labels}) == 1
    if labels.dtype.kind not in "biuSU" and not (of_objects and isinstance(labels[0], str | int)):
        raise ValueError(
            f"`labels` must be integers or strings. Received: dtype {labels.dtype}. Convert them, "
            "for example with `labels.astype(int)`."
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

    train: Classes for meta-training.
    validation: Classes for choosing hyper-parameters and checkpoints. The pool may be empty.
    test: Classes for the final accuracy only.
    """

    train: ClassPool
    validation: ClassPool
    test: ClassPool
