"""Accuracy or loss over test tasks, with its confidence interval."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm import losses
from keras_reptile.algorithm.orientations import (
    check_can_be_turned,
    check_orientations,
    in_orientations,
    mean_over_orientations,
)
from keras_reptile.checks import check_boolean
from keras_reptile.episodes import data_checks, label_checks
from keras_reptile.episodes.episode_checks import episodes_of
from keras_reptile.episodes.episode_format import CLASSES, as_episodes, is_episode, with_queries
from keras_reptile.keras_internals import strategy_of
from keras_reptile.metrics import accuracy, query_metrics
from keras_reptile.metrics.confidence import confidence_95
from keras_reptile.metrics.evaluations import Evaluation, LossEvaluation
from keras_reptile.metrics.task_labels import TaskLabels
from keras_reptile.reptile_model import ReptileModel

BOTH = {"inductive": False, "transductive": True}


def evaluate(
    model: ReptileModel,
    episodes: tf.data.Dataset,
    *,
    transductive: bool | None = None,
    orientations: int = 1,
    verbose: int | str = 1,
) -> Evaluation:
    """Adapts to every task of a dataset and measures accuracy on its queries.

    Each task starts from the model's weights and carried inner state. The model stays as it is. The
    tasks of a meta-batch run side by side, so a larger meta-batch in the dataset uses more cores;
    it changes neither tasks nor results. On a GPU or TPU up to 200 tasks are one batch, whatever
    the dataset's meta-batch, unless the model has `task_parallelism="separate"`. The random numbers
    of layers such as `Dropout` follow from the task.

    With `orientations=R`, every task is solved R times, its images turned by other angles. The
    prediction for a query x is the mean of the outputs,

        1/R sum_r f(r(x); W_r)

    where W_r are the weights adapted to the support set in orientation r. It takes R times the
    computation. Turn images for a network that was trained on turned classes, as on Omniglot.

    Args:
        model: A compiled `ReptileModel`. Accuracy is the first accuracy among its metrics, or, if
            there is none, the accuracy that fits its loss.
        episodes: A finite dataset from `episode_dataset(..., tasks=...)`, or one meta-batch, such
            as that of `episode`.
        transductive: Boolean, `True` to predict all queries of a task in one batch, `False` to
            predict each in a batch with the support set. Defaults to `None`, the model's setting.
        orientations: Integer, R: 1; 2 for the images and their mirror images; 4 for the images
            turned by 0, 90, 180 and 270 degrees; or 8 for the turned and the mirrored ones. The
            network must take images `(rows, columns, channels)`; with 4 and 8 they must be square.
            Defaults to `1`.
        verbose: Integer, 1 or `"auto"` shows a progress bar, 2 a line at the end, 0 nothing.
            Defaults to `1`.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: If the dataset is endless or not a `tf.data.Dataset`, the model is not a
            compiled `ReptileModel`, neither its metrics nor its loss define an accuracy, a label
            has no output, an input is not finite, `verbose` or `orientations` is none of its
            values, or inputs that are to be turned are no images, or not square.

    Example:

    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model = keras_reptile.ReptileModel(network)
    >>> model.compile(optimizer=keras.optimizers.SGD(1.0))
    >>> points = np.random.RandomState(0).rand(40, 2).astype("float32")
    >>> pool = keras_reptile.ClassPool.from_arrays(points, np.arange(40) % 4)
    >>> tasks = keras_reptile.episode_dataset(pool, ways=3, shots=1, tasks=10)
    >>> evaluate(model, tasks, verbose=0).accuracies.shape
    (10,)
    """
    episodes = _as_dataset(episodes)
    mode = _checked_mode(model, episodes, transductive)
    return _accuracies(model, episodes, {"accuracy": mode}, orientations, verbose)[0]


def evaluate_both(
    model: ReptileModel,
    episodes: tf.data.Dataset,
    *,
    orientations: int = 1,
    verbose: int | str = 1,
) -> tuple[Evaluation, Evaluation]:
    """Measures inductive and transductive accuracy on the same tasks, from one adaptation to each.

    The results are those of two calls of `evaluate`, in little more than the time of one.

    Args:
        model, episodes, orientations, verbose: See `evaluate`.

    Returns:
        Tuple of two `Evaluation`, inductive and transductive.

    Raises:
        ValueError: As `evaluate` does.

    Example:

    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model = keras_reptile.ReptileModel(network)
    >>> model.compile(optimizer=keras.optimizers.SGD(1.0))
    >>> points = np.random.RandomState(0).rand(40, 2).astype("float32")
    >>> pool = keras_reptile.ClassPool.from_arrays(points, np.arange(40) % 4)
    >>> tasks = keras_reptile.episode_dataset(pool, ways=3, shots=1, tasks=10)
    >>> inductive, transductive = evaluate_both(model, tasks, verbose=0)
    >>> inductive.accuracy == transductive.accuracy  # a network without batch normalization
    True
    """
    episodes = _as_dataset(episodes)
    _checked_mode(model, episodes, None)
    inductive, transductive = _accuracies(model, episodes, BOTH, orientations, verbose)
    return inductive, transductive


def evaluate_loss(
    model: ReptileModel,
    episodes: tf.data.Dataset,
    *,
    transductive: bool | None = None,
    verbose: int | str = 1,
) -> LossEvaluation:
    """Adapts to every task of a dataset and measures the loss on its queries.

    It takes any loss, for instance of regression. With `loss="mean_squared_error"` a task's loss is

        1/n sum_j (f(x_j; W_k) - y_j)^2    over its n queries

    Args:
        model: A compiled `ReptileModel`.
        episodes, transductive, verbose: See `evaluate`.

    Returns:
        A `LossEvaluation`.

    Raises:
        ValueError: If the dataset is endless or not a `tf.data.Dataset`, or the model is not a
            compiled `ReptileModel`.

    Example:

    >>> model = keras_reptile.ReptileModel(keras_reptile.networks.sine_mlp())
    >>> model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error")
    >>> evaluate_loss(model, keras_reptile.sinusoid_dataset(tasks=10), verbose=0).losses.shape
    (10,)
    """
    episodes = _as_dataset(episodes)
    mode = _checked_mode(model, episodes, transductive)
    of_tasks = functools.partial(losses.task_losses, model.task_loss)
    (measured,) = _measured(model, episodes, {"loss": mode}, "loss", of_tasks, 1, verbose)
    return LossEvaluation(
        loss=measured.mean,
        losses=measured.values,
        transductive=mode,
        **measured.shared(),
    )


def _as_dataset(episodes: Any) -> Any:
    """Returns a dataset of a single meta-batch, and a dataset as it is."""
    return tf.data.Dataset.from_tensors(episodes) if is_episode(episodes) else episodes


def _checked_mode(model, episodes, transductive) -> bool:
    """Checks the arguments, and returns whether to predict transductively."""
    if not isinstance(model, ReptileModel):
        raise ValueError(f"`model` must be a ReptileModel. Received: {type(model).__name__}.")
    model._check_compiled()
    distribution.check_scope(model.has_strategy)
    if transductive is not None:
        check_boolean("transductive", transductive)
    if not isinstance(episodes, tf.data.Dataset):
        raise ValueError(
            f"`episodes` must be a tf.data.Dataset. Received: {type(episodes).__name__}. "
            "Build it with `episode_dataset(..., tasks=...)`."
        )
    number = int(episodes.cardinality())
    if number == 0:
        raise ValueError("Evaluation needs at least one task. Received: an empty dataset.")
    if number < 0:
        kind = (
            "an endless dataset"
            if number == tf.data.INFINITE_CARDINALITY
            else "one of unknown size"
        )
        raise ValueError(
            f"Evaluation needs a fixed number of tasks. Received: {kind}. Build it with "
            "`episode_dataset(..., tasks=...)`, or set the number of meta-batches with "
            "`tf.data.experimental.assert_cardinality`."
        )
    with_queries(episodes_of(episodes.element_spec))
    return model.transductive if transductive is None else transductive


def _accuracies(
    model, episodes, modes: dict[str, bool], orientations: int, verbose: int | str
) -> list[Evaluation]:
    orientations = check_orientations(orientations)
    spec = episodes_of(episodes.element_spec)
    (images, targets), (_, of_queries) = spec["support"], spec["query"]
    check_can_be_turned(
        model.network,
        orientations,
        [each.shape[2:] for each in tf.nest.flatten(images)],
        [targets.shape[2:], of_queries.shape[2:]],
        has_labels=model._is_classifier,
    )
    metric = model.task_metrics.accuracy or query_metrics.accuracy_of(model.task_loss)
    if metric is None:
        named = [metric.name for metric in model.task_metrics.query_metrics]
        raise ValueError(
            "Accuracy depends on the loss, and this loss has no known accuracy. Received: a model "
            f"with loss={model.task_loss}, metrics={named}. Name an accuracy in `compile`, such as "
            "`metrics=[keras.metrics.SparseCategoricalAccuracy()]`, or use `model.evaluate` or "
            "`evaluate_loss` for the loss."
        )
    of_tasks = functools.partial(accuracy.task_accuracies, metric)
    measured = _measured(model, episodes, modes, "accuracy", of_tasks, orientations, verbose)
    return [
        Evaluation(
            accuracy=each.mean,
            accuracies=each.values,
            transductive=mode,
            answers=each.answers,
            orientations=orientations,
            **each.shared(),
        )
        for each, mode in zip(measured, modes.values(), strict=True)
    ]


class Measured(NamedTuple):
    """The fields of `Evaluation` and `LossEvaluation`."""

    mean: float
    confidence_95: float
    values: np.ndarray
    non_finite_tasks: int
    ways: int | None = None
    shots: int | None = None
    answers: np.ndarray | None = None

    def shared(self) -> dict[str, Any]:
        """Returns the fields that have the same names in both."""
        names = ("confidence_95", "non_finite_tasks", "ways", "shots")
        return {name: getattr(self, name) for name in names}


def _measured(
    model,
    episodes,
    modes: dict[str, bool],
    name: str,
    value_of: Callable,
    orientations: int,
    verbose: int | str,
) -> list[Measured]:
    """Measures a value of each task, from its queries' targets and predictions, in each mode.

    Args:
        model, episodes, orientations, verbose: See `evaluate`.
        modes: Dict from names to booleans, whether to predict transductively.
        name: String, the name of the value.
        value_of: Function from targets and predictions to the values `(tasks,)`.
    """
    verbose = _level_of(verbose)
    episodes = model._regrouped(model._checked(as_episodes(episodes)), orientations)
    labels = TaskLabels.of(episodes.element_spec, known=model._is_classifier)
    if labels.queries:
        episodes = label_checks.with_numbered_classes(episodes)

    def values_of(episode: dict[str, Any]):
        tasks = {key: value for key, value in episode.items() if key != CLASSES}
        copies = in_orientations(tasks, orientations)
        _, outputs = model._evaluate_tasks(copies, tuple(modes.values()))
        predictions = [mean_over_orientations(o, orientations) for o in outputs]
        values = [value_of(tasks["query"][1], p) for p in predictions]
        numbers = [accuracy.tasks_with_numbers(p) for p in predictions]
        columns = [t[:, None] for t in (*values, *numbers)] + labels.columns(episode, predictions)
        # In 16 bits, classes would be rounded.
        dtype = tf.float64 if values[0].dtype == tf.float64 else tf.float32
        return tf.concat([tf.cast(c, dtype) for c in columns], axis=1)

    # With this width, a line with the accuracy and its interval has 80 columns.
    bar = keras.utils.Progbar(
        int(episodes.cardinality()), width=10, verbose=verbose, unit_name="batch"
    )
    gathered: list[np.ndarray] = []
    found_labels: list[np.ndarray] = []
    kind = (name, labels, orientations, *modes.values())
    with data_checks.explained():
        for values in distribution.values_by_task(
            strategy_of(model), model._made_once, kind, values_of, episodes
        ):
            gathered.append(values[:, : 2 * len(modes)].astype(np.float64))
            found_labels.append(values[:, 2 * len(modes) :].astype(np.int32))
            so_far = _by_mode(np.concatenate(gathered))
            shown = _shown(modes, so_far)
            # Otherwise the bar would show the mean over meta-batches of these means.
            bar.stateful_metrics.update(dict(shown))
            bar.update(len(gathered), shown)
    ways, shots, answers = labels.found(np.concatenate(found_labels), len(modes))
    return [
        each._replace(ways=ways, shots=shots, answers=of_mode)
        for each, of_mode in zip(so_far, answers, strict=True)
    ]


def _level_of(verbose: int | str) -> int:
    """Returns how much of an evaluation is shown, as an integer."""
    if verbose not in (0, 1, 2, "auto"):
        raise ValueError(f"`verbose` must be 0, 1, 2 or 'auto'. Received: verbose={verbose!r}.")
    return 1 if verbose == "auto" else int(verbose)


def _by_mode(values: np.ndarray) -> list[Measured]:
    """Returns means and intervals of `(tasks, 2 * modes)`: values, and whether all are finite."""
    of_tasks, numbers = np.split(values, 2, axis=1)
    finite = np.isfinite(of_tasks) & (numbers == 1)
    return [
        Measured(float(v.mean()), confidence_95(v), v.copy(), int(np.sum(~f)))
        for v, f in zip(of_tasks.T, finite.T, strict=True)
    ]


def _shown(modes, measured: list[Measured]) -> list[tuple[str, float]]:
    """Returns the means over the tasks so far, with intervals and numbers of non-finite tasks."""
    shown: list[tuple[str, float]] = []
    for name, each in zip(modes, measured, strict=True):
        shown.append((name, each.mean))
        beside = f"{name}_" if len(modes) > 1 else ""
        if len(each.values) > 1:
            shown.append((f"{beside}confidence_95", each.confidence_95))
        if each.non_finite_tasks:
            shown.append((f"{beside}non_finite_tasks", each.non_finite_tasks))
    return shown
