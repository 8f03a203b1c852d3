"""Where examples come from: the paper's data sets, image folders, and sets of TFDS.

Each module reads one source into a `ClassPool` for each part. Nothing here draws tasks from them,
sine waves apart, which are drawn and not read.
"""

from keras_reptile.datasets.description import describe
from keras_reptile.datasets.load import load

__all__ = ["describe", "load"]
