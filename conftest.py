"""Names that the docstrings' examples use, and TensorFlow as tests use it."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_reptile
from keras_reptile.threads import usable_cores

# Rooms whose graphs are optimized, as they are for a user.
OPTIMIZED = ("docs", "export", "paper")


@pytest.fixture(autouse=True, scope="module")
def graphs_as_traced(request):
    """Runs graphs as they were traced: TensorFlow takes a third of a small test to optimize them.

    The programs that tests start run with optimized graphs.
    """
    optimized = request.path.parent.name in OPTIMIZED
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not optimized})


@pytest.fixture(autouse=True)
def names_in_examples(doctest_namespace):
    doctest_namespace.update(keras=keras, np=np, tf=tf, keras_reptile=keras_reptile)


def pytest_collection_finish():
    """Spares the garbage collector what was imported: it would look through all of it each time."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: many tests wait for a program that they have started."""
    told = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(told) if told else usable_cores() + 1
