"""Divides the classes of any data set into three pools without a common class."""

from absl import logging

from keras_reptile.checks import check_integer, check_seed
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
    check_seed("split_seed", split_seed)
    check_integer("validation_classes", validation_classes, 0)
    if test_classes is not None:
        check_integer("test_classes", test_classes, 0)
    if split_dir:
        check_no_choice(validation_classes, test_classes, split_seed)
        return large_enough(split_by_names(pool, split_dir), training_images, evaluation_images)
    test = max(5, len(pool) // 5) if test_classes is None else test_classes
    training = len(pool) - validation_classes - test
    if training < 1:
        raise ValueError(
            "`validation_classes` and `test_classes` must leave classes to "
            f"train on. Received: {len(pool)} classes, validation_classes={validation_classes}, "
            f"test_classes={test}. Lower one of them, or add classes."
        )
    parts = pool.shuffled(split_seed).split(training, validation_classes, test)
    return large_enough(Pools(*parts), training_images, evaluation_images)


def large_enough(pools: Pools, training_images: int = 1, evaluation_images: int = 1) -> Pools:
    """Leaves out classes with too few images for their split, with a warning."""
    needs = (training_images, evaluation_images, evaluation_images)
    parts = zip(Pools._fields, pools, needs, strict=True)
    return Pools(*(_large_enough(*part) for part in parts))


def _large_enough(name: str, pool: ClassPool, needed: int) -> ClassPool:
    small = [
        f"{name} ({count})"
        for name, count in zip(pool.names, pool.counts, strict=True)
        if count < needed
    ]
    if not small:
        return pool
    logging.warning(
        "Left out %d of %d %s classes. They have fewer than the %d images that shots and queries "
        "need: %s.",
        *(len(small), len(pool), name, needed, listed(small)),
    )
    kept = pool.subset([i for i, count in enumerate(pool.counts) if count >= needed])
    sizes = zip(pool.names, pool.counts.tolist(), strict=True)
    kept.left_out = {name: count for name, count in sizes if count < needed}
    return kept
