"""Splits of classes that the field has published, as lists of class names in this package."""

import os
from pathlib import Path
from typing import NamedTuple

from keras_reptile.checks import did_you_mean


class Published(NamedTuple):
    """A published split: its data, its number of classes, and where it comes from.

    data: String, the data set whose classes it names.
    classes: Tuple of integers, the numbers of training, validation and test classes.
    source: String, the paper.
    lists: String, the place from which the lists of names were read.
    """

    data: str
    classes: tuple[int, int, int]
    source: str
    lists: str


FOLDER = Path(__file__).with_name("published_splits")
TORCHMETA = "the assets of torchmeta 1.8.0 (github.com/tristandeleu/pytorch-meta)"
PUBLISHED = {
    "cifar_fs": Published(
        data="CIFAR-100, by the names of its 100 classes",
        classes=(64, 16, 20),
        source="Bertinetto, Henriques, Torr, Vedaldi 2019 (arXiv 1805.08136)",
        lists=TORCHMETA,
    ),
    "cub": Published(
        data="Caltech-UCSD Birds 200-2011, by the names of its 200 folders",
        classes=(100, 50, 50),
        source="Chen, Liu, Kira, Wang, Huang 2019 (arXiv 1904.04232)",
        lists="the rule in github.com/wyharveychen/CloserLookFewShot: of the sorted folders, "
        "every second is for training, and the others in turn for validation and test",
    ),
    "fc100": Published(
        data="CIFAR-100, by the names of its 100 classes",
        classes=(60, 20, 20),
        source="Oreshkin, Rodriguez, Lacoste 2018 (arXiv 1805.10123)",
        lists="the superclasses in the authors' program (github.com/ElementAI/TADAM): 12, 4 and 4",
    ),
    "tiered_imagenet": Published(
        data="ILSVRC-2012's training images, by the WordNet ids of 608 of its 1,000 classes",
        classes=(351, 97, 160),
        source="Ren et al. 2018 (arXiv 1803.00676)",
        lists="the authors' program (github.com/renmengye/few-shot-ssl-public)",
    ),
}


def published_split(name: str) -> str:
    """Returns the folder with the class names of a published split, for `split_dir`.

    Args:
        name: String, `"cifar_fs"`, `"cub"`, `"fc100"` or `"tiered_imagenet"`.

    Returns:
        String, a folder with train.txt, val.txt and test.txt, a class name on each line.

    Raises:
        ValueError: If there is no such split.

    Example:

    >>> from keras_reptile.datasets.own_split import named_classes
    >>> {part: len(names) for part, names in named_classes(published_split("cifar_fs")).items()}
    {'train': 64, 'validation': 16, 'test': 20}
    """
    if name not in PUBLISHED:
        raise ValueError(
            f"The published splits are {sorted(PUBLISHED)}. Received: {name!r}."
            f"{did_you_mean(name, PUBLISHED)}"
        )
    return str(FOLDER / name)


def name_of(split_dir: str | os.PathLike) -> str:
    """Returns the name of the published split that a folder has, else no text.

    Example:

    >>> name_of(published_split("cub")), name_of("lists")
    ('cub', '')
    """
    path = Path(split_dir)
    return path.name if path.parent == FOLDER and path.name in PUBLISHED else ""
