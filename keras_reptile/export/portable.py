"""The files of every exported directory except the SavedModel: models for Keras, and metadata."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.inference_mode import check_normalizations
from keras_reptile.algorithm.network_checks import check_trainable, symbolic_inputs
from keras_reptile.algorithm.network_copy import copy_of
from keras_reptile.algorithm.network_function import seeds_of, set_seeds
from keras_reptile.checks import check_unicode
from keras_reptile.episodes.network_inputs import taken_by
from keras_reptile.export.layout import FILES_OF_AN_EXPORT, MARKS, METADATA, MODEL
from keras_reptile.export.older_keras import make_readable
from keras_reptile.files import provenance
from keras_reptile.files.atomic_directory import whole_directory


def check(model: Any) -> None:
    """Raises `ValueError` for a model that cannot be exported."""
    if not model.compiled or not model.built:
        raise ValueError(
            "Exporting needs a loss and weights. Received: a model that is not "
            f"{'built' if model.compiled else 'compiled'}. Compile it, and train it or load it."
        )
    inputs = getattr(model.network, "inputs", None) or []
    if len(inputs) != 1:
        received = type(model.network).__name__
        raise ValueError(
            "Exporting needs a sequential or functional network with one input, whose shape is "
            f"known. Received: {received}"
            + (f" with {len(inputs)} inputs." if inputs else ". Wrap it in `keras.Model`.")
        )
    check_trainable(model.network)
    check_normalizations(model.network, symbolic_inputs(model.network))
    copy_of(model.network)


def image_spec(network: keras.Model) -> tf.TensorSpec:
    """Returns the spec of any number of inputs."""
    given = network.inputs[0]
    return tf.TensorSpec((None, *given.shape[1:]), given.dtype)


def target_spec(network: keras.Model, labels: bool) -> tf.TensorSpec:
    """Returns the spec of any number of labels, or of targets shaped like the outputs."""
    given = network.outputs[0]
    if labels:
        # NumPy's default integers are int64. With int32, the label 2**32 would become 0.
        return tf.TensorSpec((None, *given.shape[1:-1]), tf.int64)
    return tf.TensorSpec((None, *given.shape[1:]), network.trainable_variables[0].dtype)


def describe(
    model: Any,
    class_names: Sequence[str] | None,
    metadata: dict[str, Any] | None,
    endpoints: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the content of metadata.json.

    Args:
        model: A `ReptileModel`.
        class_names: Sequence of strings, or `None`.
        metadata: Dict of further entries, or `None`.
        endpoints: Dict, the description of a SavedModel's endpoints. Defaults to `None`.
    """
    own = {
        "image_shape": list(image_spec(model.network).shape[1:]),
        "image_dtype": image_spec(model.network).dtype.name,
        "byte_scale": model._byte_scale if _is_scaled(model) else None,
        "trained_on_bytes": model.trained_on_bytes,
        "outputs": model.network.output_shape[-1],
        "class_names": _checked_names(model, class_names),
        # Serialized, because a learning-rate schedule in it is an object.
        "inner_optimizer": keras.saving.serialize_keras_object(
            model.inner_optimizer_config["config"]
        ),
        "inner_state": model.inner_state,
        "inner_weight_decay_rate": model.inner_weight_decay_rate,
        "transductive": model.transductive,
        **(endpoints or {}),
        **provenance.facts(),
    }
    return {**own, **_checked_metadata(metadata or {}, own)}


def _is_scaled(model) -> bool:
    return taken_by(model.network, model.network.inputs[0]).is_scaled


def _checked_names(model, class_names) -> list[str] | None:
    if class_names is None:
        return None
    outputs = model.network.output_shape[-1]
    names = list(class_names)
    are_strings = not isinstance(class_names, str) and all(isinstance(n, str) for n in names)
    if not (model._is_classifier and are_strings and len(names) == len(set(names)) == outputs):
        raise ValueError(
            "`class_names` needs a different name for each output of a classifier, all of them "
            f"strings. Received: class_names={class_names!r}, with {outputs} outputs."
        )
    for name in names:
        check_unicode("class_names", name)
    return names


def _checked_metadata(metadata, own) -> dict[str, Any]:
    taken = sorted(set(metadata) & set(own))
    if taken:
        raise ValueError(
            f"`metadata` must not contain the names of an export's own entries. Received: {taken}. "
            "Rename them."
        )
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            "`metadata` may contain only values of JSON: text, finite numbers, lists and dicts. "
            f"Received an error of JSON: {error}."
        ) from None
    return metadata


def write(model: Any, directory: Path, described: dict[str, Any]) -> None:
    """Writes model.keras, without the outer optimizer's slots, and metadata.json."""
    copy = type(model).from_config(model.get_config())
    copy.compile(keras.optimizers.SGD(1.0), loss=model.task_loss)
    copy.set_weights(model.get_weights())
    set_seeds(copy.network, seeds_of(model.network))
    copy.save(directory / MODEL)
    make_readable(directory / MODEL)
    (directory / METADATA).write_text(json.dumps(described, indent=2) + "\n")


def export_portable(
    model: Any,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes only model.keras and metadata.json, which `keras_reptile.pretrained` loads."""
    check(model)
    described = describe(model, class_names, metadata)
    with whole_directory(path, overwrite, MARKS, FILES_OF_AN_EXPORT) as directory:
        write(model, directory, described)
