"""A meta-learned initialization as a SavedModel, which TensorFlow alone can fine-tune and serve."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_reptile.export import arguments, portable
from keras_reptile.export.endpoints import Endpoints
from keras_reptile.export.layout import MARKS, NETWORK
from keras_reptile.files.atomic_directory import whole_directory


class SavedLearner(tf.Module):
    """What `tf.saved_model.load` gives back: the endpoints, and the variables that they read."""

    # Plain attributes: those of `tf.Module` are computed, and not there once loaded.
    trainable_variables: Any = None
    non_trainable_variables: Any = None


def export(
    model: Any,
    path: str | os.PathLike,
    class_names: Sequence[str] | None,
    metadata: dict[str, Any] | None,
    overwrite: bool,
) -> None:
    """See `ReptileModel.export_learner`."""
    portable.check(model)
    described = portable.describe(model, class_names, metadata)
    with whole_directory(path, overwrite, MARKS) as directory:
        write_saved_model(model, directory, class_names)
        model.network.save(directory / NETWORK)
        portable.write(model, directory, described)


def write_saved_model(model: Any, directory: Path, class_names: Sequence[str] | None) -> None:
    """The SavedModel alone."""
    saved = SavedLearner()
    endpoints = Endpoints(model)
    saved.trainable_variables = [v.value for v in model.network.trainable_variables]
    saved.non_trainable_variables = [v.value for v in model.network.non_trainable_variables]
    saved.inner_state = [v.value for v in model.inner_variables]
    saved.calls = endpoints.calls
    functions = _functions(model, endpoints, class_names)
    for name, function in functions.items():
        setattr(saved, name, arguments.for_several_dtypes(model, function))
    own = "transductive" if model.transductive else "inductive"
    saved.adapt_and_predict = getattr(saved, f"adapt_and_predict_{own}")
    functions["adapt_and_predict"] = functions[f"adapt_and_predict_{own}"]
    tf.saved_model.save(saved, str(directory), signatures=_signatures(model, functions))


def _functions(model, endpoints, class_names) -> dict[str, Any]:
    """Each endpoint, traced for any number of images as the network takes them."""
    takes = _input_specs(model, endpoints)
    functions = {
        name: tf.function(getattr(endpoints, name), input_signature=specs)
        for name, specs in takes.items()
    }
    if class_names is not None:
        names = tf.constant(list(class_names))
        functions["class_names"] = tf.function(lambda: tf.identity(names), input_signature=[])
    return functions


def _input_specs(model, endpoints) -> dict[str, list]:
    image, target = portable.image_spec(model), portable.target_spec(model)
    dtype = model.network.trainable_variables[0].dtype
    images = tf.TensorSpec(image.shape, image.dtype, "images")
    support = [
        tf.TensorSpec(image.shape, image.dtype, "support_images"),
        tf.TensorSpec(target.shape, target.dtype, "support_labels"),
    ]
    query = tf.TensorSpec(image.shape, image.dtype, "query_images")
    numbers = [tf.TensorSpec((), tf.int32, "steps"), tf.TensorSpec((), dtype, "learning_rate")]
    weights = {
        name: tf.TensorSpec(v.shape, v.dtype, name)
        for name, v in zip(endpoints.names, model.network.trainable_variables, strict=True)
    }
    return {
        "serve": [images],
        "adapt": [*support, *numbers],
        "predict_with": [weights, images],
        "adapt_and_predict_inductive": [*support, query, *numbers],
        "adapt_and_predict_transductive": [*support, query, *numbers],
        "train_logits": [images],
        "train_loss": [images, tf.TensorSpec(target.shape, target.dtype, "labels")],
    }


def _signatures(model, functions: dict[str, Any]) -> dict[str, Any]:
    """The endpoints under flat names, for TensorFlow Serving and its command line.

    A signature has one dtype for each argument, so that there is another for bytes.
    """
    outputs = {"adapt": None, "train_loss": "loss", "class_names": "class_names"}
    signatures = {}
    for name, function in functions.items():
        output = outputs.get(name, "logits")
        signatures[name] = _named(function, output)
        if arguments.takes_images(function):
            signatures[f"{name}_uint8"] = _named(arguments.for_bytes(model, function), output)
    return {**signatures, "serving_default": signatures["serve"]}


def _named(function, output: str | None):
    """The function with a name for its output; None if that is a dict of names already."""

    def flat(*given):
        found = function(*given)
        return found if output is None else {output: found}

    return tf.function(flat, input_signature=function.input_signature)
