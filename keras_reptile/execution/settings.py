"""`Settings`: everything that a `ReptileModel` is set to, as one value."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_reptile.algorithm import moved_layers
from keras_reptile.algorithm.keras_optimizers import check_weight_decay
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.checks import check_boolean, check_choice, check_integer
from keras_reptile.episodes.network_inputs import check_byte_scale

# Fields that say how a process computes. A model's config does not contain them.
OF_A_PROCESS = ("jit_inner_loops", "draw_on_device", "steps_on_device")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a `ReptileModel`. Each is checked here, alone and together with the others.

    See `ReptileModel` for the first nine, and its `set_execution` for `jit_inner_loops` (there
    `jit_compile`), `draw_on_device` and `steps_on_device`.
    """

    method: str = "reptile"
    inner_state: str = "carried"
    task_order: str = "parallel"
    task_parallelism: str = "auto"
    inner_weight_decay_rate: float = 1.0
    transductive: bool = False
    byte_scale: float | str | None = "auto"
    head: str = "separate"
    inner_trainable: str | Sequence[str] = moved_layers.ALL
    jit_inner_loops: bool | str = "auto"
    draw_on_device: bool | str = "auto"
    steps_on_device: int | None = None

    def __post_init__(self):
        check_choice("head", self.head, ("separate", "shared"))
        # A list becomes a tuple.
        object.__setattr__(self, "inner_trainable", moved_layers.checked(self.inner_trainable))
        check_choice("method", self.method, tuple(METHODS))
        check_choice("inner_state", self.inner_state, ("carried", "reset"))
        check_order(self.task_order, self.task_parallelism)
        check_boolean("transductive", self.transductive)
        check_byte_scale(self.byte_scale)
        check_weight_decay(self.inner_weight_decay_rate)
        for name, value in (
            ("jit_compile", self.jit_inner_loops),
            ("draw_on_device", self.draw_on_device),
        ):
            if value != "auto":
                check_boolean(name, value)
        if self.steps_on_device is not None:
            steps = check_integer("steps_on_device", self.steps_on_device, 1)
            object.__setattr__(self, "steps_on_device", steps)

    def changed(self, **changes: Any) -> "Settings":
        """Returns the settings with some of them changed.

        Raises:
            ValueError: If a value is not allowed, or a separate head is to be a shared one.
        """
        if (self.head, changes.get("head")) == ("separate", "shared"):
            raise ValueError(
                "A model with separate outputs cannot get a shared head, because their moments "
                "differ, too. Received: head='shared'. Make a new model: "
                "`ReptileModel(model.network, head='shared')`."
            )
        return dataclasses.replace(self, **changes)

    def config(self) -> dict[str, Any]:
        """Returns the settings that a model's config contains."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name not in OF_A_PROCESS}

    def of_a_trace(self) -> "Settings":
        """Returns the settings without those on which no traced function depends."""
        return dataclasses.replace(self, draw_on_device="auto", steps_on_device=None)


def check_order(task_order: str, task_parallelism: str) -> None:
    """Raises `ValueError` for values that `ReptileModel` does not have, alone or together."""
    check_choice("task_order", task_order, ("parallel", "serial"))
    check_choice("task_parallelism", task_parallelism, ("auto", "separate", "vectorized"))
    if (task_order, task_parallelism) == ("serial", "vectorized"):
        raise ValueError(
            "Tasks in series cannot be one batch. Received: task_order='serial', "
            "task_parallelism='vectorized'. Use task_order='parallel', or "
            "task_parallelism='separate'."
        )
