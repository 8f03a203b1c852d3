"""The place where `fit` draws its tasks: the device, or the dataset's pipeline on the host."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from keras_reptile import keras_internals
from keras_reptile.checks import check_boolean
from keras_reptile.episodes.streams import Stream, stream_of
from keras_reptile.execution.plan import WHOLE_STEPS, Plan

# The largest pool on a device, in bytes. Positions in the program are integers of 32 bits.
LARGEST_POOL = 2**31 - 1
# The largest share of a device's memory for a pool.
SHARE = 1 / 4

NO_STREAM = "the data are not an endless stream as `episode_dataset` returns it"
TOO_LARGE = "the pool has {:,} bytes, and at most {:,} are put on a device"
STRATEGY = "a strategy divides meta-batches among its replicas"
OTHER_STEP = "`train_step` is not that of `ReptileModel`"
NOT_COMPILED = "XLA does not compile whole steps"


class TaskSource(NamedTuple):
    """The place where the tasks of `fit` are drawn. A run prints `str(source)`.

    stream: The `Stream` that is drawn on the device, or `None` if the dataset's pipeline draws.
    reason: String, the reason why tasks are not drawn on the device, or "".
    device: String, the kind of device.
    steps: Integer, the meta-steps of a program.
    """

    stream: Stream | None
    reason: str = ""
    device: str = "CPU"
    steps: int = 1

    def __str__(self) -> str:
        if self.stream is not None:
            part = f"{self.steps:,} meta-iterations are" if self.steps > 1 else "each step is"
            return f"The {self.device} draws the tasks (--draw_on_device), and {part} one program."
        return f"The host draws the tasks: {self.reason}." if self.reason else ""


def check(draw_on_device: bool | str) -> None:
    """Raises `ValueError` unless it is a boolean or `"auto"`."""
    if draw_on_device != "auto":
        check_boolean("draw_on_device", draw_on_device)


def source_of(model: Any, data: Any, usual_step: bool) -> TaskSource:
    """Returns the `TaskSource` of `fit` for these data.

    Args:
        model: A `ReptileModel`.
        data: The data that are passed to `fit`.
        usual_step: Boolean, whether the model's `train_step` is that of `ReptileModel`.

    Raises:
        ValueError: If the model's `draw_on_device` is true and it cannot be done.
    """
    wanted, plan = model.draw_on_device, model._plan(training=True, eagerly=model.run_eagerly)
    if wanted is False or (wanted == "auto" and plan.device == "CPU"):
        return TaskSource(None)
    stream = stream_of(data)
    reason = _against(model, plan, usual_step) or _against_data(stream, plan.device)
    if reason and wanted is True:
        raise ValueError(refusal(reason))
    steps = model.steps_on_device or model.steps_per_execution
    return TaskSource(None if reason else stream, reason, plan.device, steps)


def refusal(reason: str) -> str:
    """Returns the error's message if tasks cannot be drawn on the device as requested."""
    return (
        f"Tasks cannot be drawn on the device: {reason}. Received: draw_on_device=True. "
        "Use draw_on_device='auto'."
    )


def _against(model, plan, usual_step) -> str:
    if model.has_strategy:
        return STRATEGY
    if not usual_step:
        return OTHER_STEP
    on_a_cpu = plan.device == "CPU" and not model.run_eagerly
    return "" if on_a_cpu or compiles_whole_steps(model, plan) else NOT_COMPILED


def _against_data(stream: Stream | None, device: str) -> str:
    if stream is None:
        return NO_STREAM
    # A CPU has the pool already.
    memory = None if device == "CPU" else keras_internals.memory_of(device)
    most = LARGEST_POOL if memory is None else min(LARGEST_POOL, int(SHARE * memory))
    size = stream.pool.images.nbytes
    return TOO_LARGE.format(size, most) if size > most else ""


def compiles_whole_steps(model: Any, plan: Plan) -> bool:
    """Returns whether XLA compiles whole steps of a model by this plan."""
    return plan.compiled == WHOLE_STEPS and keras_internals.supports_jit(model)


@contextlib.contextmanager
def drawing_from(model: Any, source: TaskSource) -> Iterator[None]:
    """Makes a model's `fit` draw tasks from this source while the context is open."""
    if source.stream is None:
        yield
        return
    before, model._steps_of_keras = model.train_function, model.steps_per_execution
    model.steps_per_execution = source.steps
    _set(model, source)
    try:
        yield
    finally:
        _set(model, TaskSource(None))
        model.train_function, model.steps_per_execution = before, model._steps_of_keras


def _set(model, source: TaskSource) -> None:
    # Past Keras's attribute tracking.
    object.__setattr__(model, "_source", source)
