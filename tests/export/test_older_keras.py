"""Shipped models and exports have no entries that the oldest supported Keras would refuse."""

import json
import zipfile

import keras
import numpy as np
import pytest

import keras_reptile as kr
from keras_reptile.export.older_keras import (
    CONFIG,
    UNKNOWN_TO_OLDER,
    make_readable,
    readable,
)
from keras_reptile.pretrained import MODEL, MODELS

CONVOLUTION_OR_DENSE = """
    activation bias_constraint bias_initializer bias_regularizer dtype kernel_constraint
    kernel_initializer kernel_regularizer name trainable use_bias
"""
OPTIMIZER = """
    clipnorm clipvalue ema_momentum ema_overwrite_frequency global_clipnorm
    gradient_accumulation_steps learning_rate loss_scale_factor name use_ema weight_decay
"""
# The entries of each class that Keras 3.12.4 wrote to a file, and `optional`, which it takes.
ENTRIES_OF_3_12 = {
    name: set(entries.split())
    for name, entries in {
        "Adam": f"{OPTIMIZER} amsgrad beta_1 beta_2 epsilon",
        "BatchNormalization": """
            axis beta_constraint beta_initializer beta_regularizer center dtype epsilon
            gamma_constraint gamma_initializer gamma_regularizer momentum moving_mean_initializer
            moving_variance_initializer name scale synchronized trainable
        """,
        "Conv2D": f"""
            {CONVOLUTION_OR_DENSE} activity_regularizer data_format dilation_rate filters groups
            kernel_size padding strides
        """,
        "DTypePolicy": "name",
        "Dense": f"{CONVOLUTION_OR_DENSE} units",
        "Flatten": "data_format dtype name trainable",
        "GlorotUniform": "seed",
        "InputLayer": "batch_shape dtype name optional ragged sparse",
        "Ones": "",
        "ReLU": "dtype max_value name negative_slope threshold trainable",
        "SGD": f"{OPTIMIZER} momentum nesterov",
        "Sequential": "build_input_shape dtype layers name trainable",
        "SparseCategoricalCrossentropy": "from_logits ignore_class name reduction",
        "Zeros": "",
    }.items()
}


def config_in(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(CONFIG))


def objects_in(config):
    """Yields the class and the entries of each serialized object of Keras."""
    for value in config.values() if isinstance(config, dict) else config:
        if isinstance(value, dict | list):
            yield from objects_in(value)
    if isinstance(config, dict) and str(config.get("module")).startswith("keras."):
        yield config["class_name"], set(config["config"])


@pytest.mark.parametrize("name", kr.pretrained_names())
def test_a_shipped_model_has_only_entries_that_keras_3_12_wrote(name):
    found = list(objects_in(config_in(MODELS / name / MODEL)))
    assert len(found) > 10
    for kind, entries in found:
        assert entries <= ENTRIES_OF_3_12[kind], kind


def test_a_file_of_this_keras_becomes_one_of_3_12_with_the_same_weights(tmp_path):
    network, path = kr.networks.omniglot_convnet(ways=2, filters=2, seed=0), tmp_path / "n.keras"
    network.save(path)
    with zipfile.ZipFile(path) as archive:
        weights = archive.read("model.weights.h5")
    make_readable(path)
    for kind, entries in objects_in(config_in(path)):
        assert entries <= ENTRIES_OF_3_12[kind], kind
    with zipfile.ZipFile(path) as archive:
        assert archive.read("model.weights.h5") == weights
    loaded = keras.models.load_model(path)
    assert loaded.get_config().keys() == network.get_config().keys()
    for a, b in zip(loaded.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


LAYERS = [
    keras.layers.Embedding(3, 2),
    keras.layers.EinsumDense("ab,bc->ac", 2, kernel_initializer="he_normal"),
    keras.layers.MultiHeadAttention(1, 2),
    keras.layers.GroupQueryAttention(2, 2, 1),
    keras.layers.StringLookup(vocabulary=["a"]),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_layer_with_new_entries_is_the_same_without_them(layer):
    serialized = keras.saving.serialize_keras_object(layer)
    found = readable(serialized)
    assert not UNKNOWN_TO_OLDER.keys() & found["config"].keys()
    again = keras.saving.deserialize_keras_object(found)
    assert again.get_config() == layer.get_config()


def test_other_values_and_custom_classes_keep_their_entries():
    own = {"module": "mine", "class_name": "Mine", "config": {"salt": None}}
    renormalizing = {"renorm": True, "renorm_momentum": 0.9, "renorm_clipping": None}
    keras_own = {"module": "keras.layers", "class_name": "X", "config": renormalizing}
    assert readable([own, keras_own]) == [
        own,
        {**keras_own, "config": {"renorm": True, "renorm_momentum": 0.9}},
    ]
