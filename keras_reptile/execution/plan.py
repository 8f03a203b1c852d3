"""`Plan`: the decision where and how the tasks of a meta-batch are computed."""

import dataclasses
from collections.abc import Set

from keras_reptile.execution.settings import Settings
from keras_reptile.kernels import forms
from keras_reptile.kernels.forms import Forms

SEPARATELY = "Tasks are computed separately, as they cannot be computed as one batch: {}"
# XLA's second derivative of max pooling has the precision of bfloat16, or is missing.
MAML_IS_NOT_COMPILED = "XLA does not compile MAML's gradient through the loop for every network."

# The part of the computation that XLA compiles.
NOTHING, EACH_TASK, THE_LOOP, WHOLE_STEPS = "nothing", "each task", "the loop", "whole steps"


@dataclasses.dataclass(frozen=True)
class Plan:
    """How tasks are computed. A run prints `str(plan)`.

    device: String, the kind of device: `"CPU"`, `"GPU"` or `"TPU"`.
    replicas: Integer, the replicas of a strategy; 1 without one.
    cores: Integer, the cores of a CPU.
    carry: String, the inner state for the next meta-batch: `"mean"`, the mean over the tasks;
        `"last"`, that of the last task, where each task starts from the state after the task before
        it; or `"nothing"`.
    one_after_another: Boolean, whether the order of tasks is serial.
    one_batch: Boolean, whether all tasks are one batch, which XLA compiles.
    compiled: String, the part that XLA compiles if tasks are computed separately: `"nothing"`;
        `"each task"`, for a core of a CPU; `"the loop"` over tasks; or `"whole steps"`.
    refused: Tuple of strings, a sentence for each setting that cannot be followed.
    """

    device: str
    replicas: int
    cores: int
    carry: str
    one_after_another: bool
    one_batch: bool
    compiled: str
    refused: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        settings: Settings,
        kinds: Set[str],
        *,
        replicas: int | None = None,
        cores: int = 1,
        training: bool = True,
        eagerly: bool = False,
    ) -> "Plan":
        """Returns the plan for a model's settings on these devices.

        Args:
            settings: The model's `Settings`.
            kinds: Set of strings, the kinds of devices: `"CPU"`, `"GPU"`, `"TPU"`.
            replicas: Integer, the replicas of a strategy. Defaults to `None`, no strategy.
            cores: Integer, the cores of the CPU. Defaults to `1`.
            training: Boolean, whether tasks train the initialization by the model's method, not
                only adapt. Defaults to `True`.
            eagerly: Boolean, whether TensorFlow runs operations one by one. Defaults to `False`.

        Example:

        >>> settings = Settings(task_parallelism="auto")
        >>> Plan.of(settings, {"CPU", "GPU"}).one_batch, Plan.of(settings, {"CPU"}).one_batch
        (True, False)
        """
        device = next((kind for kind in ("TPU", "GPU") if kind in kinds), "CPU")
        by_maml = training and settings.method == "maml"
        one_batch = _one_batch(settings, device)
        compiled = _compiled(settings.jit_inner_loops, device, replicas, eagerly)
        return cls(
            device=device,
            replicas=replicas or 1,
            cores=cores,
            carry=_carry(settings.task_order, settings.inner_state),
            one_after_another=settings.task_order == "serial",
            one_batch=one_batch and not by_maml,
            compiled=NOTHING if by_maml else compiled,
            refused=_refused(settings, one_batch, compiled) if by_maml else (),
        )

    @property
    def in_series(self) -> bool:
        """Whether each task starts from the inner state that the task before it left."""
        return self.carry == "last"

    @property
    def forms(self) -> Forms:
        """The forms of layers, see `kernels.forms`."""
        if self.one_batch:
            return forms.AS_ONE_BATCH
        if self.device != "CPU":
            return forms.ON_AN_ACCELERATOR
        return forms.BY_XLA_ON_A_CPU if self.compiled == EACH_TASK else forms.ON_A_CPU

    def separately(self) -> "Plan":
        """Returns the plan for tasks that cannot be one batch."""
        return dataclasses.replace(self, one_batch=False)

    def __str__(self) -> str:
        order = "one after another" if self.one_after_another else "side by side"
        where = f"{self.cores} cores" if self.device == "CPU" else f"a {self.device}"
        if self.replicas > 1:
            where = f"{self.replicas} {self.device} replicas"
        by_xla = self.one_batch or self.device == "TPU" or self.compiled != NOTHING
        return (
            f"Tasks run {'as one batch' if self.one_batch else order} on {where} "
            f"(--task_parallelism), {'' if by_xla else 'not '}compiled by XLA (--jit_compile)."
        )


def in_series(task_order: str, inner_state: str) -> bool:
    """Returns whether each task starts from the inner state after the task before it."""
    return _carry(task_order, inner_state) == "last"


def _carry(task_order, inner_state) -> str:
    if inner_state == "reset":
        return "nothing"
    return "last" if task_order == "serial" else "mean"


def _one_batch(settings, device) -> bool:
    if settings.task_order == "serial" or settings.task_parallelism == "separate":
        return False
    return settings.task_parallelism == "vectorized" or device != "CPU"


def _compiled(jit_compile: bool | str, device, replicas, eagerly) -> str:
    if eagerly or jit_compile is False:
        return NOTHING
    if device == "GPU":
        # Under a strategy, a step has collective operations, which XLA cannot always compile. The
        # programs before and after them are compiled, see `replica_step`.
        return WHOLE_STEPS if replicas is None else THE_LOOP
    return EACH_TASK if device == "CPU" and jit_compile is True else NOTHING


def _refused(settings, one_batch, compiled) -> tuple[str, ...]:
    """Returns a sentence for each setting that training by MAML cannot follow."""
    was_asked = settings.jit_inner_loops is True and compiled != NOTHING
    return (
        *((SEPARATELY.format(MAML_IS_NOT_COMPILED),) if one_batch else ()),
        *((f"Training is not compiled: {MAML_IS_NOT_COMPILED}",) if was_asked else ()),
    )
