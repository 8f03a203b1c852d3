"""Divides the classes of any data set into three pools without a common class."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from keras_reptile.checks import check_integer, check_seed, counted
from keras_reptile.datasets.class_folders import listed
from keras_reptile.datasets.own_split import check_no_choice, split_by_names
from keras_reptile.episodes.class_pool import ClassPool, Pools


def split_classes(
    pool: ClassPool,
    validation_classes: int = 0,
    test_classes: int | None = None,
    split_seed: int = 0,
    training_images: int = 1,
    evaluation_images: int = 1,
    split_dir: str | None = None,
) -> Pools:
    """Divides classes at random, then leaves out those with too few images for their split.

    Classes are left out after the division. So the split of a class depends on the classes and the
    seed only, and an evaluation with more shots never moves a training class into the test split.

    Args:
        pool: A `ClassPool`.
        validation_classes: Integer, the number of validation classes. Defaults to `0`.
        test_classes: Integer, the number of test classes. Defaults to `None`: a fifth of the
            classes, at least 5.
        split_seed: Integer, the seed of the division. Defaults to `0`.
        training_images: Integer, the images that a training class needs: shots and queries.
            Defaults to `1`.
        evaluation_images: Integer, the images that a validation or test class needs. Defaults to
            `1`.
        split_dir: String, a folder with the files train.txt, val.txt and test.txt, which name the
            classes of each split, see `own_split.named_classes`. Defaults to `None`: the seed
            decides.

    Returns:
        `Pools`. A warning names the classes that were left out.

    Raises:
        ValueError: If a number is out of range, no training class would remain, or the files in
            `split_dir` do not fit the classes.

    Example:

    >>> pool = ClassPool.from_arrays(np.zeros((40, 8, 8, 1), np.uint8), np.arange(40) % 20)
    >>> [len(part) for part in split_classes(pool, validation_classes=3)]
    [12, 3, 5]
    """
    split = (validation_classes, test_classes, split_seed)
    needed = (training_images, evaluation_images)
    parts = divide(pool.names, pool.counts, *split, *needed, split_dir)
    return Pools(*[_pool(pool, part) for part in parts])


class Part(NamedTuple):
    """The classes of one split.

    positions: The positions of its classes, in the split's order.
    left_out: The names and sizes of the classes that have too few images for the split.
    """

    positions: list[int]
    left_out: dict[Any, int]


def divide(
    names: Sequence,
    counts: Sequence[int] | np.ndarray,
    validation_classes: int = 0,
    test_classes: int | None = None,
    split_seed: int = 0,
    training_images: int = 1,
    evaluation_images: int = 1,
    split_dir: str | None = None,
) -> list[Part]:
    """Divides classes as `split_classes` does, by their names and sizes, without their images.

    Returns a `Part` each for training, validation and test. The other arguments are those of
    `split_classes`.

    Example:

    >>> [part.positions for part in divide("abcdef", [2, 2, 2, 2, 2, 1], evaluation_images=2)]
    [[5], [], [2, 1, 3, 0, 4]]
    """
    check_seed("split_seed", split_seed)
    check_integer("validation_classes", validation_classes, 0)
    if test_classes is not None:
        check_integer("test_classes", test_classes, 0)
    if split_dir:
        check_no_choice(validation_classes, test_classes, split_seed)
        chosen = split_by_names(names, split_dir)
    else:
        chosen = _split_by_seed(len(names), validation_classes, test_classes, split_seed)
    return large_enough(names, counts, chosen, training_images, evaluation_images)


def _split_by_seed(classes: int, validation_classes, test_classes, split_seed) -> list[list[int]]:
    test = max(5, classes // 5) if test_classes is None else test_classes
    training = classes - validation_classes - test
    if training < 1:
        raise ValueError(
            "`validation_classes` and `test_classes` must leave classes to "
            f"train on. Received: {counted(classes, 'class', 'classes')}, "
            f"validation_classes={validation_classes}, test_classes={test}. "
            "Lower one of them, or add classes."
        )
    order = np.random.RandomState(split_seed).permutation(classes).tolist()
    ends = (training, training + validation_classes, classes)
    return [order[a:b] for a, b in zip((0, *ends), ends, strict=False)]


def large_enough(
    names: Sequence,
    counts: Sequence[int] | np.ndarray,
    chosen: Sequence[list[int]],
    training_images: int = 1,
    evaluation_images: int = 1,
) -> list[Part]:
    """Leaves out classes with too few images for their split, with a warning.

    Args:
        names: Sequence, the names of all classes.
        counts: Sequence of integers, the number of images of each class.
        chosen: The positions of the classes of each split.
        training_images: As in `split_classes`.
        evaluation_images: As in `split_classes`.
    """
    training_images = check_integer("training_images", training_images, 0)
    evaluation_images = check_integer("evaluation_images", evaluation_images, 0)
    needs = (training_images, evaluation_images, evaluation_images)
    splits = zip(Pools._fields, chosen, needs, strict=True)
    return [_large_enough(names, counts, *split) for split in splits]


def _large_enough(names, counts, split: str, positions: list[int], needed: int) -> Part:
    small = {names[p]: int(counts[p]) for p in positions if counts[p] < needed}
    if small:
        logging.warning(
            "Left out %d of %d %s classes. They have fewer than the %d images that shots and "
            "queries need: %s.",
            *(len(small), len(positions), split, needed),
            listed([f"{name} ({count})" for name, count in small.items()]),
        )
    return Part([p for p in positions if counts[p] >= needed], small)


def _pool(pool: ClassPool, part: Part) -> ClassPool:
    chosen = pool.subset(part.positions)
    chosen.left_out = part.left_out
    return chosen
