"""A `keras.Model` that trains and evaluates on meta-batches under any strategy."""

import contextlib
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_reptile.checks import check_integer
from keras_reptile.distribution.replicas import check_scope
from keras_reptile.distribution.shares import (
    check_divisible,
    check_ends,
    distributed,
    elements_of,
)
from keras_reptile.distribution.steps import step_function
from keras_reptile.keras_internals import OF_FIT, strategy_of, updates_of, values_in_order

# The key of this count in a file of weights.
BEFORE_COMPILE = "meta_iterations_before_compile"

# The meta-batches of each dataset that replicas share, which they repeat.
_elements: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class DistributedModel(keras.Model):
    """A `keras.Model` that also works under a `tf.distribute` strategy.

    As with any Keras model, build it and its optimizer inside `strategy.scope()`.

    Two private methods of Keras are overridden. `_maybe_symbolic_build` reduces a tuple over
    workers, which fails (keras issue 20585), and calls the model on meta-batches. Here, `fit` and
    `evaluate` create variables before replicas start. `_get_metrics_result_or_logs` takes the last
    step's logs if they lack one of the metrics. Under a strategy these logs are the mean over
    replicas, which is right only for shares of equal size.
    """

    # Attributes of Keras.
    train_function: Any
    test_function: Any

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # The number of meta-batches before the last `compile`. The optimizer counts later ones. A
        # plain TensorFlow variable: `tf.train.Checkpoint` finds it, and files of weights without it
        # can be loaded.
        self._iterations_before_compile = tf.Variable(0, trainable=False, dtype=tf.int64)
        # Whether weights were loaded without the optimizer that counted their meta-batches.
        self._lost_count = False
        # The meta-batches of the datasets that replicas share now; `None` if not known.
        self._elements_of_training: int | None = None
        self._elements_of_test: int | None = None

    def compile(self, *args, **kwargs) -> None:
        """`keras.Model.compile`, after which `meta_iteration` counts on."""
        done = self.meta_iteration if self.compiled else None
        super().compile(*args, **kwargs)
        if done is not None:
            self._iterations_before_compile.assign_add(done - self.meta_iteration)

    @property
    def has_strategy(self) -> bool:
        """Whether the model was made inside a strategy's scope."""
        return strategy_of(self) is not None

    @property
    def meta_iteration(self) -> int:
        """The number of meta-batches trained on so far, also with earlier outer optimizers.

        Raises:
            ValueError: If the weights were loaded into a model that is not compiled: the saved
                outer optimizer has the count.
        """
        return int(self._meta_iteration_tensor())

    def _meta_iteration_tensor(self) -> tf.Tensor:
        before = tf.convert_to_tensor(self._iterations_before_compile)
        if not self.compiled:
            self._check_count()
            return before
        return before + tf.cast(tf.convert_to_tensor(counter_of(self.optimizer)), before.dtype)

    def _check_count(self) -> None:
        if self._lost_count:
            raise ValueError(
                "`meta_iteration` is counted by the outer optimizer. Received: a model whose "
                "weights were loaded without it. Load the model with `compile=True`."
            )

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        # A count of 0 is not written, so that these files are the same as without the count.
        if before := int(tf.convert_to_tensor(self._iterations_before_compile)):
            store[BEFORE_COMPILE] = np.int64(before)

    def load_own_variables(self, store: Any) -> None:
        values = {name: store[name] for name in list(store.keys())}
        self._iterations_before_compile.assign(np.int64(values.pop(BEFORE_COMPILE, 0)))
        self._lost_count = not self.compiled
        super().load_own_variables(values)

    def fit(
        self,
        x: Any = None,
        *args,
        shuffle: bool = False,
        steps_per_epoch: int | None = None,
        validation_data: Any = None,
        validation_steps: int | None = None,
        **kwargs,
    ) -> keras.callbacks.History:
        """Trains as `keras.Model.fit` does, on a dataset of meta-batches.

        `shuffle` is false by default, because tasks are already in random order.
        """
        check_scope(self.has_strategy)
        self._before_fit()
        # Callbacks may end training on an endless dataset.
        if not argument_of(keras.Model.fit, "callbacks", args, kwargs):
            check_ends("fit", "steps_per_epoch", x, steps_per_epoch)
        check_ends("fit", "validation_steps", validation_data, validation_steps)
        steps_per_epoch = checked_steps("steps_per_epoch", steps_per_epoch)
        validation_steps = checked_steps("validation_steps", validation_steps)
        with self._explained():
            x, steps_per_epoch = self._divided(x, steps_per_epoch)
            validation_data, validation_steps = self._divided(
                validation_data, validation_steps, True
            )
            self._elements_of_training = self._elements_on_replicas(x)
            return super().fit(
                x,
                *args,
                shuffle=shuffle,
                steps_per_epoch=steps_per_epoch,
                validation_data=validation_data,
                validation_steps=validation_steps,
                **kwargs,
            )

    def evaluate(self, x: Any = None, *args, steps: int | None = None, **kwargs) -> Any:
        """Evaluates as `keras.Model.evaluate` does, on a dataset of meta-batches.

        The number of replicas does not have to divide a meta-batch.
        """
        check_scope(self.has_strategy)
        check_ends("evaluate", "steps", x, steps)
        steps = checked_steps("steps", steps)
        with self._explained():
            # In `fit`, Keras passes the validation dataset that it has already distributed.
            if not kwargs.get(OF_FIT):
                x, steps = self._divided(x, steps, True)
            self._elements_of_test = self._elements_on_replicas(x)
            return super().evaluate(x, *args, steps=steps, **kwargs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Predicts as `keras.Model.predict` does, on data that are not endless."""
        check_scope(self.has_strategy)
        if not callbacks:
            check_ends("predict", "steps", x, steps)
        steps = checked_steps("steps", steps)
        return super().predict(x, batch_size, verbose, steps, callbacks)

    def train_on_batch(self, x: Any, *args, **kwargs) -> Any:
        """Trains as `keras.Model.train_on_batch` does, on a meta-batch.

        The number of replicas must divide the meta-batch.
        """
        with self._explained():
            return super().train_on_batch(self._shares_of_batch(x), *args, **kwargs)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Evaluates as `keras.Model.test_on_batch` does, on a meta-batch.

        The number of replicas does not have to divide the meta-batch.
        """
        with self._explained():
            shares = self._shares_of_batch(x, fill=True)
            logs = super().test_on_batch(shares, y, sample_weight, return_dict=True)
        # The step returned the first replica's logs. The metrics include all replicas.
        logs = {k: _as_keras_shows(v) for k, v in self._get_metrics_result_or_logs(logs).items()}
        return logs if return_dict else values_in_order(self, logs)

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts as `keras.Model.predict_on_batch` does, with the batch shared among replicas."""
        with self._explained():
            check_scope(self.has_strategy)
            # Under a strategy, each replica would predict the whole batch.
            if not self._shares_data:
                return super().predict_on_batch(x)
            return self.predict(tf.data.Dataset.from_tensors(x), verbose=0)

    def _shares_of_batch(self, x, fill=False):
        check_scope(self.has_strategy)
        if not self._shares_data:
            return x
        shares, _ = self._divided(tf.data.Dataset.from_tensors(x), 1, fill)
        return next(iter(shares))

    @property
    def _shares_data(self) -> bool:
        return self.has_strategy and self.distribute_strategy.num_replicas_in_sync > 1

    def make_train_function(self, force: bool = False) -> None:
        if not self.has_strategy:
            super().make_train_function(force)
        elif self.train_function is None or force:
            elements = lambda: self._elements_of_training  # noqa: E731
            self.train_function = self._step_function(self.train_step, elements)

    def make_test_function(self, force: bool = False) -> None:
        if not self.has_strategy:
            super().make_test_function(force)
        elif self.test_function is None or force:
            elements = lambda: self._elements_of_test  # noqa: E731
            self.test_function = self._step_function(self.test_step, elements)

    def _step_function(self, step, elements):
        number, eagerly = self.steps_per_execution, self.run_eagerly
        return step_function(self.distribute_strategy, step, number, eagerly, elements)

    def _elements_on_replicas(self, data) -> int | None:
        return _elements.get(data) if isinstance(data, tf.distribute.DistributedDataset) else None

    def build_weights(self, element_spec: Any) -> None:
        """Creates the model's variables for data with this spec, in the strategy's scope."""
        if not self.built:
            with self.distribute_strategy.scope():
                self._build_for(element_spec)

    def _build_for(self, element_spec: Any) -> None:
        """Builds the model for meta-batches with this spec. Subclasses implement it."""
        raise NotImplementedError

    def build_variables(self, element_spec: Any) -> None:
        """Creates the model's variables and those of the outer optimizer."""
        self.build_weights(element_spec)
        with self.distribute_strategy.scope():
            if not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)

    def _before_fit(self) -> None:
        """Runs before training begins. Subclasses can warn the user here."""

    def _explained(self) -> contextlib.AbstractContextManager:
        """Returns a context that simplifies errors of the data. Subclasses implement it."""
        return contextlib.nullcontext()

    def _check_divisible(self, data) -> None:
        if self._shares_data:
            check_divisible(data, self.distribute_strategy.num_replicas_in_sync)

    def _divided(self, data, steps, fill=False) -> tuple:
        self._check_divisible(data)
        if not self.has_strategy or not isinstance(data, tf.data.Dataset):
            return data, steps
        self.build_variables(data.element_spec)
        steps = elements_of(data) if steps is None else steps
        divided = distributed(data, self.distribute_strategy, fill)
        _elements[divided] = elements_of(data)
        return divided, steps

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        pass

    def _get_metrics_result_or_logs(self, logs: Any) -> Any:
        if not isinstance(logs, dict):
            return logs
        results = self.get_metrics_result()
        return {name: results.get(name, value) for name, value in logs.items()}


def argument_of(method: Callable, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Returns an argument of a call, by its position or its name, or `None` if it is not given.

    Args:
        method: Function, a method of `keras.Model` whose first argument is the data.
        name: String, the argument.
        args, kwargs: The arguments that follow the data.

    Example:

    >>> argument_of(keras.Model.fit, "epochs", (None, None, 3), {})
    3
    >>> argument_of(keras.Model.fit, "epochs", (), {"epochs": 2})
    2
    """
    # The first two are the model and the data.
    position = [*inspect.signature(method).parameters].index(name) - 2
    return args[position] if len(args) > position else kwargs.get(name)


def _as_keras_shows(value: Any) -> Any:
    """Returns a metric's value as a float. A metric may also have several, such as one a class."""
    array = np.asarray(value)
    return array if array.ndim else float(array)


def counter_of(optimizer: Any) -> Any:
    """Returns the counter of the meta-batches that an optimizer was given."""
    return updates_of(optimizer)


def checked_steps(name: str, steps: Any) -> int | None:
    """Returns a number of steps as an `int`, or `None`. Below 1, Keras would wait forever.

    Raises:
        ValueError: If it is not at least 1.
    """
    return None if steps is None else check_integer(name, steps, 1)
