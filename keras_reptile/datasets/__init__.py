"""Where classes come from: one file per source, one function to load any of them."""

from keras_reptile.datasets.load import load

__all__ = ["load"]
