"""The sources of examples: the paper's data sets, image folders, and data sets of TFDS.

Each module reads one source into a `ClassPool` for each split. No module here draws tasks, except
`sinusoid`, whose tasks are drawn and not read.
"""

from keras_reptile.datasets.description import describe
from keras_reptile.datasets.load import load

__all__ = ["describe", "load"]
