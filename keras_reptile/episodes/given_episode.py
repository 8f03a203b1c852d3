"""Makes an episode from given examples."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_reptile.checks import INT32, check_integer, check_positive, check_seed
from keras_reptile.episodes.array_checks import check_arrays
from keras_reptile.episodes.episode_checks import check_format
from keras_reptile.episodes.sampling import INNER_BATCH_SIZE, support_order


def episode(
    support: tuple,
    query: Any,
    *,
    steps: int = 50,
    inner_batch_size: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Returns a meta-batch of one task, made from given examples.

    `ReptileModel`'s `fit`, `evaluate` and `predict` and `keras_reptile.evaluate` take it like an
    element of `episode_dataset`. Its minibatches are those of `ReptileModel.adapt` with the same
    `steps`, `inner_batch_size` and `seed`.

    Args:
        support: Tuple of inputs `(examples, ...)` and targets `(examples, ...)`, the support set.
            If the network has several inputs, inputs are a tuple or dict of arrays. Lists of
            numbers are arrays, too.
        query: Tuple of inputs and targets for evaluation, or of inputs only, `(x,)`, for
            prediction.
        steps: Integer, inner steps. Defaults to `50`.
        inner_batch_size: Integer, examples in a minibatch. Minibatches cycle through the support
            set. Defaults to `None`: 10, or all examples if there are fewer.
        seed: Integer, the seed of the order of the minibatches. Defaults to `0`.

    Returns:
        Dict of tensors with a first axis of one task: `"support"`, `"order"` and `"query"`, see
        `episode_dataset`.

    Raises:
        ValueError: If a part is not a tuple of inputs and targets, inputs and targets differ in
            number, the support set is empty, or a number is out of range.

    Example:

    >>> x, y = np.zeros((6, 28, 28, 1), np.float32), np.arange(6) % 3
    >>> task = episode((x, y), (x[:2], y[:2]), steps=7)
    >>> tuple(task["order"].shape), tuple(task["query"][0].shape)
    ((1, 7, 6), (1, 2, 28, 28, 1))
    """
    steps = check_integer("steps", steps, 0)
    seed = check_seed("seed", seed, 0, INT32)
    parts = {"support": _as_task("support", support, 2), "query": _as_task("query", query, 1)}
    number = tf.nest.flatten(parts["support"])[0].shape[1]
    if not number:
        raise ValueError("`support` must hold at least one example. Received: none.")
    batch = min(number, INNER_BATCH_SIZE) if inner_batch_size is None else inner_batch_size
    batch = check_positive("inner_batch_size", batch)
    order = support_order(number, batch, steps, seed)
    whole = {**parts, "order": order[None]}
    check_format(whole, labelled=False)
    return whole


def _as_task(name: str, given: Any, least: int) -> tuple:
    """Returns the tensors of a part with a new first axis for the task."""
    if not isinstance(given, tuple | list) or not least <= len(given) <= 2:
        kinds = "(x, y)" if least == 2 else "(x, y), or (x,) to predict"
        given_tuple = isinstance(given, tuple | list)
        received = f"a tuple of {len(given)}" if given_tuple else type(given).__name__
        raise ValueError(f"`{name}` must be {kinds}. Received: {received}.")
    check_arrays(name, given)
    _check_stacked(name, *given)
    try:
        return tf.nest.map_structure(_one_task, tuple(map(_listed_as_tensor, given)))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must hold arrays, inputs and targets with an example in each row. "
            f"Received: {error}"
        ) from None


def _check_stacked(name: str, x: Any, y: Any = None) -> None:
    """Raises `ValueError` for a list of examples, which would be taken as several inputs."""
    if not isinstance(x, list) or not all(len(getattr(each, "shape", ())) for each in x):
        return
    examples = len(y) if isinstance(y, list) else (*getattr(y, "shape", ()), None)[0]
    if examples == len(x) and any(each.shape[0] != examples for each in x):
        raise ValueError(
            f"`{name}` must hold {len(x)} inputs in an array. Received: a list of {len(x)} arrays, "
            "which are the inputs of a network with several. Stack them: `np.stack(x)`."
        )


def _listed_as_tensor(values: Any) -> Any:
    """Returns a list of numbers as a tensor. Other lists are structures of several inputs."""
    are_numbers = isinstance(values, list) and not any(map(np.ndim, tf.nest.flatten(values)))
    return tf.convert_to_tensor(values) if are_numbers else values


def _one_task(values: Any) -> tf.Tensor:
    tensor = tf.convert_to_tensor(values)
    if tensor.shape.rank == 0:
        raise ValueError(f"a single number, {values!r}.")
    return tensor[None]
