"""What TFDS has stored, where it is damaged."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_reptile.errors import cause


def unreadable(builder: Any, split: str, error: BaseException) -> str:
    """What to say of a prepared data set that cannot be read: which files, and what to do."""
    damaged = ", ".join(path.name for path in damaged_files(builder, split))
    files = f" Damaged or missing: {damaged}." if damaged else ""
    return (
        f"{builder.name} cannot be read from {builder.data_path}.{files} Remove that folder to "
        f"have it prepared anew. The cause: {cause(error)}"
    )


def damaged_files(builder: Any, split: str) -> list[Path]:
    """The files of a split that cannot be read to their end."""
    return [Path(p) for p in builder.info.splits[split].filepaths if not _is_whole(p)]


def _is_whole(path) -> bool:
    try:
        # Every record has a checksum.
        for _ in tf.data.TFRecordDataset(str(path)):
            pass
    except tf.errors.OpError:
        return False
    return True
