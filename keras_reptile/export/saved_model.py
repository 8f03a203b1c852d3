"""A meta-learned initialization as a SavedModel, which TensorFlow alone can fine-tune and serve."""

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_reptile.algorithm.orientations import check_can_be_turned, check_orientations
from keras_reptile.checks import check_integer, check_unicode, local_path
from keras_reptile.export import arguments, portable
from keras_reptile.export.endpoint_checks import MAX_STEPS
from keras_reptile.export.endpoints import Endpoints
from keras_reptile.export.layout import FILES_OF_AN_EXPORT, MARKS, NETWORK
from keras_reptile.export.older_keras import make_readable
from keras_reptile.files.atomic_directory import whole_directory
from keras_reptile.keras_internals import all_layers


class SavedLearner(tf.Module):
    """The object that `tf.saved_model.load` returns, with the endpoints and their variables."""

    # These are plain attributes. `tf.Module` computes its own, and a loaded object lacks them.
    trainable_variables: Any = None
    non_trainable_variables: Any = None


def export(
    model: Any,
    path: str | os.PathLike,
    class_names: Sequence[str] | None,
    metadata: dict[str, Any] | None,
    overwrite: bool,
    steps: int,
    orientations: int,
) -> None:
    """Writes an export, see `ReptileModel.export_learner`."""
    check_path(path)
    portable.check(model)
    steps = check_integer("steps", steps, 0, MAX_STEPS)
    orientations = _checked_orientations(model, orientations)
    defaults = _defaults(model, steps)
    own = {"defaults": defaults, "orientations": orientations}
    described = portable.describe(model, class_names, metadata, own)
    class_names = described["class_names"]
    with whole_directory(path, overwrite, MARKS, FILES_OF_AN_EXPORT) as directory:
        write_saved_model(model, directory, class_names, defaults, orientations)
        model.network.save(directory / NETWORK)
        make_readable(directory / NETWORK)
        portable.write(model, directory, described)


def check_path(path: str | os.PathLike) -> None:
    """Raises `ValueError` for a path that TensorFlow cannot write to."""
    check_unicode("path", os.fsdecode(os.path.realpath(local_path(path))))


def _checked_orientations(model: Any, orientations: int) -> int:
    """Returns a number of orientations in which the tasks of a model can be solved."""
    number = check_orientations(orientations)
    network, has_labels = model.network, model._is_classifier
    image, target = portable.image_spec(network), portable.target_spec(network, has_labels)
    check_can_be_turned(network, number, [image.shape[1:]], [target.shape[1:]], has_labels)
    return number


def _defaults(model, steps) -> dict[str, Any] | None:
    """Returns the default arguments. They are `None` if the learning rate is a schedule."""
    rate = model.inner_rule.learning_rate
    return None if callable(rate) else {"steps": steps, "learning_rate": rate}


def write_saved_model(
    model: Any,
    directory: Path,
    class_names: Sequence[str] | None,
    defaults: dict[str, Any] | None,
    orientations: int = 1,
) -> None:
    """Writes the SavedModel only."""
    saved = SavedLearner()
    endpoints = Endpoints(model, orientations)
    saved.trainable_variables = [v.value for v in model.network.trainable_variables]
    saved.non_trainable_variables = [v.value for v in model.network.non_trainable_variables]
    saved.inner_state = [v.value for v in model.inner_variables]
    saved.calls = endpoints.calls
    if tables := _tables_of(model.network):
        saved.tables = tables
    functions = _functions(endpoints, class_names, defaults)
    for name, function in functions.items():
        setattr(saved, name, arguments.for_several_dtypes(function, model._as_taken))
    own = "transductive" if model.transductive else "inductive"
    saved.adapt_and_predict = getattr(saved, f"adapt_and_predict_{own}")
    functions["adapt_and_predict"] = functions[f"adapt_and_predict_{own}"]
    signatures = _signatures(functions, defaults, model._as_taken)
    tf.saved_model.save(saved, str(directory), signatures=signatures)


def _tables_of(network: Any) -> list:
    """Returns the tables of layers such as `StringLookup`, which a SavedModel must hold."""
    kind = tf.saved_model.experimental.TrackableResource
    values = [value for layer in all_layers(network) for value in vars(layer).values()]
    return [value for value in values if isinstance(value, kind)]


def _functions(endpoints, class_names, defaults) -> dict[str, Any]:
    """Returns the endpoints as `tf.function`s of any number of images in the network's dtype."""
    takes = _input_specs(endpoints)
    functions = {
        name: tf.function(
            _with_defaults(getattr(endpoints, name), specs, defaults),
            input_signature=specs,
            autograph=False,
        )
        for name, specs in takes.items()
    }
    # The endpoints that adapt and predict call this trace. They need not trace adaptation again.
    endpoints.adapt = functions["adapt"].get_concrete_function()
    if class_names is not None:
        names = tf.constant(list(class_names))
        functions["class_names"] = tf.function(
            lambda: tf.identity(names), input_signature=[], autograph=False
        )
    return functions


def _input_specs(endpoints) -> dict[str, list]:
    network = endpoints.network
    image = portable.image_spec(network)
    target = portable.target_spec(network, labels=endpoints.classes is not None)
    dtype = network.trainable_variables[0].dtype
    images = tf.TensorSpec(image.shape, image.dtype, "images")
    support = [
        tf.TensorSpec(image.shape, image.dtype, "support_images"),
        tf.TensorSpec(target.shape, target.dtype, "support_labels"),
    ]
    query = tf.TensorSpec(image.shape, image.dtype, "query_images")
    numbers = [tf.TensorSpec((), tf.int64, "steps"), tf.TensorSpec((), dtype, "learning_rate")]
    weights = {
        name: tf.TensorSpec(v.shape, v.dtype, name)
        for name, v in zip(endpoints.names, network.trainable_variables, strict=True)
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


def _with_defaults(function: Callable, specs: list, defaults: dict[str, Any] | None) -> Callable:
    """Returns the function with `defaults`, if its last arguments have their names."""
    names: list[Any] = [getattr(spec, "name", None) for spec in specs]
    if not defaults or names[-len(defaults) :] != list(defaults):
        return function

    def called(*arguments, **named):
        return function(*arguments, **named)

    # `tf.function` takes names and defaults from this signature.
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=defaults.get(name, inspect.Parameter.empty),
            )
            for name in names
        ]
    )
    return called


def _signatures(
    functions: dict[str, Any], defaults: dict[str, Any] | None, as_taken: Callable
) -> dict[str, Any]:
    """Returns the endpoints under flat names, for TensorFlow Serving and its command line.

    A signature has one dtype for each argument, so there is another signature for bytes.
    """
    outputs = {"adapt": None, "train_loss": "loss", "class_names": "class_names"}
    signatures = {}
    for name, function in functions.items():
        output = outputs.get(name, "logits")
        signatures[name] = _signature(function, output, defaults)
        if arguments.takes_bytes(function):
            of_bytes = arguments.for_bytes(function, as_taken)
            signatures[f"{name}_uint8"] = _signature(of_bytes, output, defaults)
    # The default is not `serve`, because the initialization cannot classify before adaptation.
    return {**signatures, "serving_default": signatures["adapt_and_predict"]}


def _signature(function, output: str | None, defaults: dict[str, Any] | None):
    """Returns the function with a name for its output, if it needs one.

    The defaults of a signature are tensors, which TensorFlow Serving fills in.
    """
    specs = function.input_signature
    dtypes = {getattr(spec, "name", None): spec.dtype for spec in specs if hasattr(spec, "dtype")}
    tensors = {
        name: tf.constant(value, dtypes[name])
        for name, value in (defaults or {}).items()
        if name in dtypes
    }

    # TensorFlow would trace the endpoint again while it saves the signature.
    traced = function.get_concrete_function()

    def named(*arguments):
        found = traced(*arguments)
        return found if output is None else {output: found}

    return tf.function(
        _with_defaults(named, specs, tensors), input_signature=specs, autograph=False
    )
