"""The place where `fit` draws its tasks: the device, or the dataset's pipeline on the host."""

from typing import Any, NamedTuple

from keras_reptile import keras_internals
from keras_reptile.episodes.streams import Stream, stream_of

# The largest pool on a device, in bytes. Positions in the program are integers of 32 bits.
LARGEST_POOL = 2**31 - 1
# The largest share of a device's memory for a pool.
MAX_SHARE_OF_MEMORY = 1 / 4

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


class Fitting(NamedTuple):
    """The properties of a model and its `fit` on which the place depends.

    draw_on_device: Boolean or `"auto"`, as in `compile`.
    device: String, the kind of device on which the plan computes tasks.
    by_xla: Boolean, whether XLA compiles whole steps.
    eagerly: Boolean, whether TensorFlow runs operations one by one.
    has_strategy: Boolean, whether the model was made in a strategy's scope.
    usual_step: Boolean, whether its `train_step` is that of `ReptileModel`.
    steps: Integer, the meta-steps of a program.
    """

    draw_on_device: bool | str
    device: str
    by_xla: bool
    eagerly: bool
    has_strategy: bool
    usual_step: bool
    steps: int


def source_of(data: Any, fitting: Fitting) -> TaskSource:
    """Returns the `TaskSource` of `fit` for these data.

    Raises:
        ValueError: If `draw_on_device` is true and it cannot be done.
    """
    wanted, device = fitting.draw_on_device, fitting.device
    if wanted is False or (wanted == "auto" and device == "CPU"):
        return TaskSource(None)
    stream = stream_of(data)
    reason = _against(fitting) or _against_data(stream, device)
    if reason and wanted is True:
        raise ValueError(refusal(reason))
    return TaskSource(None if reason else stream, reason, device, fitting.steps)


def refusal(reason: str) -> str:
    """Returns the error's message if tasks cannot be drawn on the device as requested."""
    return (
        f"Tasks cannot be drawn on the device: {reason}. Received: draw_on_device=True. "
        "Use draw_on_device='auto'."
    )


def _against(fitting: Fitting) -> str:
    if fitting.has_strategy:
        return STRATEGY
    if not fitting.usual_step:
        return OTHER_STEP
    on_a_cpu = fitting.device == "CPU" and not fitting.eagerly
    return "" if on_a_cpu or fitting.by_xla else NOT_COMPILED


def _against_data(stream: Stream | None, device: str) -> str:
    if stream is None:
        return NO_STREAM
    # A CPU has the pool already.
    memory = None if device == "CPU" else keras_internals.memory_of(device)
    most = LARGEST_POOL if memory is None else min(LARGEST_POOL, int(MAX_SHARE_OF_MEMORY * memory))
    size = stream.pool.images.nbytes
    return TOO_LARGE.format(size, most) if size > most else ""
