"""Names that the docstrings' examples use, and TensorFlow without its start-up messages."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# XLA compiles in less than half the time. An empty value leaves it as it is for users.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
)

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_reptile
from keras_reptile import networks
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.datasets.load import REGISTERED
from keras_reptile.threads import usable_cores


@pytest.fixture(autouse=True)
def names_in_examples(doctest_namespace):
    doctest_namespace.update(keras=keras, np=np, tf=tf, keras_reptile=keras_reptile)


@pytest.fixture(autouse=True)
def nothing_stays_registered():
    """What a test or an example registers, the others do not see."""
    registers = (METHODS, REGISTERED, networks.REGISTERED)
    before = [dict(each) for each in registers]
    yield
    for each, content in zip(registers, before, strict=True):
        each.clear()
        each.update(content)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """As many as there are cores, two at least. Imports take eight seconds of a core in each."""
    told = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(told) if told else max(usable_cores(), 2)
