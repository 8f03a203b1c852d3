"""All checks of the data that `fit`, `evaluate` and `predict` read."""

import contextlib
from typing import Any

import keras

from keras_reptile.episodes import (
    finite_checks,
    graph_errors,
    input_ranges,
    label_checks,
    one_by_one,
)
from keras_reptile.episodes.episode_checks import check_format, check_images
from keras_reptile.episodes.episode_format import as_episodes, is_meta_batch, with_queries
from keras_reptile.episodes.input_ranges import InputRanges

# The parts of an episode that have labels.
BOTH = ("support", "query")


def check_form(data: Any, network: keras.Model, parts: tuple[str, ...] = BOTH) -> None:
    """Raises `ValueError` for episodes of another format, or with images of another shape.

    Args:
        data: The data of `fit`, `evaluate` or `predict`. Others than episodes are not checked.
        network: The model's network.
        parts: Tuple of strings, the parts of an episode that have labels. Defaults to both.
    """
    spec = _spec_of(data)
    if spec is not None:
        check_format(spec, labelled="query" in parts)
        check_images(network, spec)


def _spec_of(data: Any) -> Any:
    """Returns the spec of a dataset of episodes, a meta-batch itself, and `None` of other data."""
    episodes = as_episodes(data)
    if episodes is not None:
        return episodes.element_spec
    return data if is_meta_batch(data) else None


def check_queries(data: Any) -> None:
    """Raises `ValueError` for episodes that are known to have no queries.

    A trace for several numbers of queries would give an accuracy of 0.
    """
    spec = _spec_of(data)
    if spec is not None:
        with_queries(spec)


def checked(
    data: Any,
    network: keras.Model,
    outputs: int,
    ranges: InputRanges,
    parts: tuple[str, ...] = BOTH,
    query_targets: bool = True,
) -> Any:
    """Returns the data with checks of labels, positions, range of inputs and finite numbers.

    Args:
        data: Data that `check_form` accepts.
        network: The model's network.
        outputs: Integer, its number of outputs, if targets are labels; 0 if they are not.
        ranges: The `InputRanges` of the network's inputs.
        parts: Tuple of strings, the parts of an episode whose labels are checked. Defaults to both.
        query_targets: Boolean, whether the queries' targets must be finite. Defaults to `True`.
    """
    spec = _spec_of(data)
    if outputs and spec is not None:
        label_checks.check_shapes(spec, network, parts)
    data = label_checks.checked(data, outputs, parts)
    data = input_ranges.watched(data, network, ranges)
    data = finite_checks.checked(data, query_targets=query_targets)

    def check(element):
        meta_batch = one_by_one.meta_batch_of(element)
        if meta_batch is not None:
            check_form(meta_batch, network, parts)
            if outputs:
                label_checks.check_shapes(meta_batch, network, parts)
            with explained():
                label_checks.checked(meta_batch, outputs, parts)
            finite_checks.checked(meta_batch, query_targets=query_targets)

    return one_by_one.checked(data, check)


def explained() -> contextlib.AbstractContextManager:
    """Raises the errors of `checked` as `ValueError`, without the text that TensorFlow adds."""
    return graph_errors.explained(label_checks.PATTERN, finite_checks.PATTERN)


def check_class_weight(class_weight: Any) -> None:
    """Raises `ValueError` for weights of classes, which `fit` of a plain Keras model takes."""
    if class_weight is not None:
        raise ValueError(
            "Labels of tasks are positions among the task's classes, and all have the same weight. "
            f"Received: class_weight={class_weight!r}. Leave it out, or give `compile` a loss "
            "function that weighs labels."
        )
