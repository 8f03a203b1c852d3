"""Accuracy over test tasks, with its confidence interval."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_reptile import distribution, losses
from keras_reptile.confidence import confidence_95
from keras_reptile.reptile_model import ReptileModel


class Evaluation(NamedTuple):
    """What `evaluate` measured.

    accuracy: Float in [0, 1], the mean over tasks.
    confidence_95: Float, half the width of its 95 % confidence interval over tasks.
    accuracies: float64 array `(tasks,)`, each task's accuracy.
    """

    accuracy: float
    confidence_95: float
    accuracies: np.ndarray


def evaluate(
    model: ReptileModel,
    episodes: tf.data.Dataset,
    *,
    transductive: bool | None = None,
    verbose: int = 1,
) -> Evaluation:
    """Adapts to every task of a dataset and measures accuracy on its queries.

    Each task starts from the model's weights and carried inner state, and the model is left as it
    was. The tasks of a meta-batch run side by side, so a larger meta-batch in the dataset uses
    more cores; it changes neither tasks nor results.

    Args:
        model: A compiled `ReptileModel` for integer labels.
        episodes: A finite dataset from `episode_dataset(..., tasks=...)`.
        transductive: Boolean, `True` to predict all queries of a task in one batch, `False` to
            predict each in a batch with the support set. Defaults to `None`, as the model was told.
        verbose: Integer, 1 shows a progress bar, 0 nothing. Defaults to `1`.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: If the dataset is endless, or the model's loss has no integer labels.

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
    meta_batches = int(episodes.cardinality())
    if meta_batches < 0:
        raise ValueError(
            "Evaluation needs a fixed number of tasks. Received an endless dataset. "
            "Build it with `episode_dataset(..., tasks=...)`."
        )
    if not model.is_classifier:
        raise ValueError(
            "Accuracy needs integer labels and a sparse categorical cross-entropy. "
            f"Received a model with loss={model.task_loss}. Use `model.evaluate` for its loss."
        )
    accuracies = _accuracies(model, episodes, transductive, meta_batches, verbose)
    return Evaluation(float(accuracies.mean()), confidence_95(accuracies), accuracies)


def _accuracies(model, episodes, transductive, meta_batches, verbose):
    def accuracies_of(episode: dict[str, Any]):
        _, predictions = model.adapt_and_predict(episode, transductive)
        return losses.task_accuracy(episode["query"][1], predictions)

    bar = keras.utils.Progbar(meta_batches, verbose=verbose, unit_name="meta-batch")
    gathered = []
    for values in distribution.values_by_task(model, accuracies_of, episodes):
        gathered.append(values.astype(np.float64))
        bar.update(len(gathered), [("accuracy", gathered[-1].mean())])
    return np.concatenate(gathered)
