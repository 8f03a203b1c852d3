"""The fixed one-shot tasks of Omniglot's authors, which they call runs."""

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow as tf

from keras_reptile.checks import (
    INT32,
    check_integer,
    check_positive,
    check_seed,
    counted,
    local_path,
    shown,
)
from keras_reptile.datasets.image_decoding import decoded
from keras_reptile.datasets.resampling import resize_to_square
from keras_reptile.episodes.given_episode import episode

# The file of a run. Each of its lines has a test image and the training image of the same class.
LABELS = "class_labels.txt"
# The name of a run's folder.
RUN = re.compile(r"run(\d+)")
AGAIN = "Unpack all_runs.zip again."


def omniglot_runs(
    directory: str | os.PathLike,
    *,
    image_size: int = 28,
    inner_batch_size: int = 10,
    inner_steps: int = 50,
    seed: int = 0,
) -> tf.data.Dataset:
    """Returns the one-shot tasks that Omniglot's authors publish: 20 runs of 20 ways.

    A run has 20 training images, one of each of 20 characters of an alphabet, and 20 test images of
    the same characters by another person. All are of evaluation alphabets. So the initialization
    must be meta-trained on the background alphabets, as with `--dataset_split=background`.

    Args:
        directory: String or path, the folder with `run01` to `run20`: the content of
            `all_runs.zip` in https://github.com/brendenlake/omniglot.
        image_size: Integer, height and width to which images are reduced by nearest neighbour, as
            by `datasets.load("omniglot")`. Defaults to `28`.
        inner_batch_size: Integer, images in an inner step. Defaults to `10`.
        inner_steps: Integer, inner steps of a task. Defaults to `50`.
        seed: Integer, the seed of the order of the minibatches. Defaults to `0`.

    Returns:
        Dataset with one element, a meta-batch of all runs. `"support"` and `"query"` are tuples
        of uint8 images `(runs, 20, image_size, image_size, 1)` in [0, 255], where 255 is paper,
        and int64 labels `(runs, 20)`. `"order"` is as in `episode_dataset`.

    Raises:
        ValueError: If the folder has no runs or a gap in their numbers, a run's file or image is
            missing or cannot be read, or an argument is out of range.

    Example:

    >>> omniglot_runs("not_there")
    Traceback (most recent call last):
    ValueError: not_there has no runs: it must contain folders run01 to run20...

    Reference: [Lake et al., 2015](https://doi.org/10.1126/science.aab3050).
    """
    check_positive("image_size", image_size)
    steps = check_integer("inner_steps", inner_steps, 0)
    size = check_positive("inner_batch_size", inner_batch_size)
    runs = _runs_in(Path(local_path(directory)))
    check_seed("seed", seed, 0, INT32 - len(runs))
    tasks = [
        episode(*_examples(run, image_size), steps=steps, inner_batch_size=size, seed=seed + i)
        for i, run in enumerate(runs)
    ]
    _check_alike(runs, tasks)
    all_tasks = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *tasks)
    return tf.data.Dataset.from_tensor_slices(all_tasks).batch(len(runs), drop_remainder=True)


def _runs_in(folder: Path) -> list[Path]:
    """Returns the folders of the runs, which are numbered from 1 without a gap."""
    found = {path: RUN.fullmatch(path.name) for path in folder.glob("run*/")}
    numbered = {int(match[1]): path for path, match in found.items() if match}
    if not numbered:
        inner = [shown(path.parent) for path in folder.glob("*/run01/")]
        raise ValueError(
            f"{shown(folder)} has no runs: it must contain folders run01 to run20, the content of "
            "all_runs.zip in https://github.com/brendenlake/omniglot."
            f"{f' Did you mean {inner[0]}?' if inner else ''}"
        )
    if missing := sorted({*range(1, 1 + max(numbered))} - {*numbered}):
        raise ValueError(
            f"{shown(folder)} must contain all runs from run01 to run{max(numbered):02d}. Missing: "
            f"{', '.join(f'run{number:02d}' for number in missing)}. {AGAIN}"
        )
    return [numbered[number] for number in sorted(numbered)]


def _examples(run: Path, image_size: int) -> tuple:
    """Returns the support set and the queries of a run, each a tuple of images and labels."""
    pairs = _pairs(run)
    training = sorted({known for _, known in pairs})
    labels = np.array([training.index(known) for _, known in pairs], np.int64)
    images = _images(run, training, image_size)
    queries = _images(run, [item for item, _ in pairs], image_size)
    return (images, np.arange(len(training), dtype=np.int64)), (queries, labels)


def _pairs(run: Path) -> list[list[str]]:
    """Returns the test images of a run, each with the training image of its class."""
    path = run / LABELS
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{shown(path)} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}."
            f" {AGAIN}"
        ) from None
    lines = [line for line in text.splitlines() if line.strip()]
    pairs = [line.split() for line in lines]
    for line, pair in zip(lines, pairs, strict=True):
        if [_place(name) for name in pair] != [(run.name, "test"), (run.name, "training")]:
            raise ValueError(
                f"Each line of {shown(path)} must have a test image and the training image of its "
                f"class, as in {run.name}/test/item01.png {run.name}/training/class01.png. "
                f"Received: {line.strip()!r}. {AGAIN}"
            )
    classes = len({known for _, known in pairs})
    if not pairs or classes != len(pairs):
        raise ValueError(
            f"{shown(path)} must have a test image of each class. Received: "
            f"{counted(len(pairs), 'test image')} of {counted(classes, 'class', 'classes')}. "
            f"{AGAIN}"
        )
    return pairs


def _place(name: str) -> tuple[str, ...]:
    """Returns the two folders of an image's name; none for a name of another form."""
    parts = PurePosixPath(name).parts
    return parts[:2] if len(parts) == 3 and ".." not in parts else ()


def _images(run: Path, names: list[str], image_size: int) -> np.ndarray:
    # The names begin with that of the run.
    paths = [run.parent / name for name in names]
    return np.stack([resize_to_square(decoded(path, 1), image_size, "nearest") for path in paths])


def _check_alike(runs: list[Path], tasks: list[dict]) -> None:
    """Raises `ValueError` if the runs do not have the same numbers of images."""
    sizes = [tuple(task[part][1].shape[1] for part in ("support", "query")) for task in tasks]
    for run, size in zip(runs, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                "All runs must have the same numbers of training and test images. Received: "
                f"{sizes[0]} in {runs[0].name}, {size} in {run.name}. {AGAIN}"
            )
