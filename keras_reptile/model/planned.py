"""A model whose steps are computed as its `Plan` says."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.episodes.meta_batches import MetaBatches
from keras_reptile.execution import evaluation_batch, on_device, task_source
from keras_reptile.execution.evaluation_batch import EvaluationBatch
from keras_reptile.execution.plan import WHOLE_STEPS, Plan
from keras_reptile.execution.planning import plan_of
from keras_reptile.execution.settings import Settings
from keras_reptile.execution.task_source import Fitting, TaskSource
from keras_reptile.execution.traces import Traces, dependencies
from keras_reptile.keras_internals import strategy_of, supports_jit
from keras_reptile.metrics.task_metrics import TaskMetrics


class Setting:
    """An attribute of a model that is a field of its `Settings`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else getattr(model._settings, self.name)

    def __set__(self, model: Any, value: Any) -> None:
        model._change(**{self.name: value})


class PlannedModel(distribution.DistributedModel):
    """A model with `Settings`, whose steps are computed as the `Plan` of these settings says.

    Each function of a step is traced again after settings have changed. On a device, the tasks of
    `fit` are drawn there, if its `TaskSource` has a stream.

    Args:
        settings: The `Settings`.
        **kwargs: Those of `keras.Model`.
    """

    method = Setting()
    inner_state = Setting()
    task_order = Setting()
    task_parallelism = Setting()
    inner_weight_decay_rate = Setting()
    transductive = Setting()
    byte_scale = Setting()
    head = Setting()
    inner_trainable = Setting()
    jit_inner_loops = Setting()
    draw_on_device = Setting()
    steps_on_device = Setting()

    # Attributes of subclasses.
    network: keras.Model
    task_metrics: TaskMetrics

    def __init__(self, settings: Settings, **kwargs):
        super().__init__(**kwargs)
        self._settings = settings
        self._traces = Traces()
        self._steps_of_keras = 1
        self._draw_from(TaskSource(None))
        self._joined: Callable | None = None

    # Settings

    def _change(self, **changes: Any) -> None:
        """Changes some of the settings, after checks."""
        self._settings = self._settings.changed(**changes)

    def set_execution(
        self,
        *,
        task_parallelism: str | None = None,
        jit_compile: bool | str | None = None,
        draw_on_device: bool | str | None = None,
        steps_on_device: int | None = None,
    ) -> None:
        """Sets how this process computes tasks. Results stay the same, up to rounding.

        Args:
            task_parallelism: String, as in the constructor. Defaults to `None`, unchanged.
            jit_compile, draw_on_device: Booleans or `"auto"`, as in `compile`. A saved model keeps
                the arguments of `compile`. Defaults to `None`, unchanged.
            steps_on_device: Integer, the meta-steps of a program if tasks are drawn on the device,
                in place of `steps_per_execution`. Evaluations keep that. Defaults to `None`,
                unchanged.

        Raises:
            ValueError: If an argument is not one of those listed, or tasks in series are to be one
                batch.
        """
        given = dict(
            task_parallelism=task_parallelism,
            jit_inner_loops=jit_compile,
            draw_on_device=draw_on_device,
            steps_on_device=steps_on_device,
        )
        self._change(**{name: value for name, value in given.items() if value is not None})

    # Plan and traces

    def _plan(self, training: bool = False, eagerly: bool | None = None) -> Plan:
        return plan_of(self._settings, strategy_of(self), training, eagerly)

    def _compiles(self, plan: Plan, part: str) -> bool:
        """Returns whether XLA compiles this part of a step: the plan says so, and layers allow."""
        return plan.compiled == part and supports_jit(self)

    @property
    def _made_once(self) -> Callable:
        """The function `(key, make)` that makes an object once for the model as it is now."""
        return functools.partial(self._traces.made_once, self._dependencies())

    def _dependencies(self) -> tuple:
        return dependencies(self.network, self._settings, self.run_eagerly)

    def _prepare_trace(self, name: str) -> bool:
        """Decides whether XLA compiles whole steps. Returns whether they must be traced again."""
        plan = self._plan(training=name == "train", eagerly=self.run_eagerly)
        self.jit_compile = self._compiles(plan, WHOLE_STEPS)
        return self._traces.are_stale(self._dependencies(), name)

    def make_train_function(self, force: bool = False) -> None:
        stale = self._prepare_trace("train")
        stream, _, device, steps = self._source
        if self._joined is not None:
            self.train_function = self._joined
        elif stream is None:
            super().make_train_function(stale or force)
        else:
            made = on_device.train_function(stream, device, steps, self._program_on_device)
            self.train_function = made
        if stream is not None:
            # Keras has begun to count steps. It evaluates as it always does.
            self.steps_per_execution = self._steps_of_keras

    def _program_on_device(self, meta_batches: MetaBatches, size: int, number: int) -> Callable:
        """Returns the program of so many meta-steps, with tasks drawn on the device."""
        steps = lambda data: [self.train_step(*data)]  # noqa: E731
        key = "meta-steps", meta_batches, size, number, self.jit_compile
        results = [self.task_metrics.container.result]
        make = functools.partial(on_device.program, steps, results, *key[1:])
        return self._made_once(key, make)

    def _join(self, train_function: Callable) -> None:
        """Makes `fit` call a function in place of a program of its own, see `joint_steps`.

        Args:
            train_function: Function like that of `make_train_function`, of an iterator to logs.
        """
        self._joined = train_function

    def make_test_function(self, force: bool = False) -> None:
        super().make_test_function(self._prepare_trace("test") or force)

    def make_predict_function(self, force: bool = False) -> Any:
        return super().make_predict_function(self._prepare_trace("predict") or force)

    # The source of tasks

    def fit(self, x: Any = None, *args, **kwargs) -> keras.callbacks.History:
        """`DistributedModel.fit`, with tasks drawn on the device where that is possible."""
        with self._drawing_from(self._task_source(x)):
            return super().fit(x, *args, **kwargs)

    def _task_source(self, data: Any) -> TaskSource:
        """Returns the `TaskSource` of `fit` for these data."""
        plan = self._plan(training=True, eagerly=self.run_eagerly)
        fitting = Fitting(
            draw_on_device=self.draw_on_device,
            device=plan.device,
            by_xla=self._compiles(plan, WHOLE_STEPS),
            eagerly=self.run_eagerly,
            has_strategy=self.has_strategy,
            usual_step=self._has_usual_step,
            steps=self.steps_on_device or self.steps_per_execution,
        )
        return task_source.source_of(data, fitting)

    @property
    def _has_usual_step(self) -> bool:
        """Whether `train_step` is not overridden. Subclasses that define it implement this."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _drawing_from(self, source: TaskSource) -> Iterator[None]:
        """Makes `fit` draw tasks from this source while the context is open."""
        if source.stream is None:
            yield
            return
        before, self._steps_of_keras = self.train_function, self.steps_per_execution
        self.steps_per_execution = source.steps
        self._draw_from(source)
        try:
            yield
        finally:
            self._draw_from(TaskSource(None))
            self.train_function, self.steps_per_execution = before, self._steps_of_keras

    def _draw_from(self, source: TaskSource) -> None:
        # Set past Keras's attribute tracking, which would wrap the tuple.
        object.__setattr__(self, "_source", source)

    # The tasks of an evaluation that are computed at once

    @property
    def _inner_loop(self) -> InnerLoop:
        """The inner loop with the current settings. Subclasses implement it."""
        raise NotImplementedError

    def _evaluation_batch(self, spec: dict[str, Any], copies: int = 1) -> EvaluationBatch | None:
        """Returns the tasks that a GPU or TPU computes at once, for episodes of this spec.

        Each task is computed in so many copies.
        """
        plan = self._plan(eagerly=False)
        if plan.device == "CPU":
            return None
        self.build_weights(spec)
        key = "evaluation batch", *((t.shape, t.dtype) for t in tf.nest.flatten(spec))
        loop = self._inner_loop.for_evaluation()
        batch = self._made_once(key, lambda: evaluation_batch.evaluation_batch(loop, plan, spec))
        return batch and batch.of_copies(copies)
