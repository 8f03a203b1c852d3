"""Decides whether a CPU computes the inner loops of a run by XLA, oneDNN or TensorFlow alone."""

import os
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile.errors import RunError
from keras_reptile.execution import compiled_tasks
from keras_reptile.execution.plan import in_series
from keras_reptile.files.processor import multiplies_bfloat16_in_tiles
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.threads import usable_cores

# Networks that XLA runs faster on a CPU than TensorFlow's own operations: 20 % faster in float32,
# several times faster in float16 and bfloat16. The paper's other network, with large images and few
# filters, was not faster.
FASTER = ("omniglot_convnet",)
# From this number of pixels on, a run saves more seconds than compilation takes, by precision.
# Other precisions were not measured.
WORTH = {"float32": 250_000_000, "mixed_bfloat16": 25_000_000, "mixed_float16": 25_000_000}
# The key in run.json.
KERNELS = "cpu_kernels"


class Kernels(NamedTuple):
    """The kernels with which a CPU computes a run's inner loops.

    A resumed run keeps them, so that its results are the same bit for bit.

    jit_compile: Boolean or `"auto"`, as in `ReptileModel.compile`; True is XLA.
    onednn: Boolean, whether TensorFlow's operations are those of oneDNN.
    why: String, the reason.
    """

    jit_compile: bool | str
    onednn: bool
    why: str

    def __str__(self) -> str:
        name = "XLA" if self.jit_compile is True else "oneDNN" if self.onednn else "TensorFlow"
        return f"The CPU's kernels are those of {name}: {self.why}."


def of_training(recipe: Recipe, run: dict[str, Any] | None = None) -> Kernels:
    """Returns the kernels of a training run.

    Args:
        recipe: A `Recipe`.
        run: Dict, the content of the run.json of a run that resumes. Its choice is kept unless the
            recipe's `jit_compile` is another. Defaults to `None`.
    """
    tasks = recipe.meta_iterations * recipe.meta_batch_size
    now = choice(recipe, tasks * recipe.inner_steps * recipe.inner_batch_size)
    kept = run.get(KERNELS) if run else None
    if kept is None or recipe.jit_compile != "auto" or on_a_gpu():
        return now
    return _checked(kept)


def _checked(kept) -> Kernels:
    """Returns the kernels in run.json."""
    try:
        kernels = Kernels(**kept)
        by_xla = isinstance(kernels.jit_compile, bool) or kernels.jit_compile == "auto"
        if by_xla and isinstance(kernels.onednn, bool):
            return kernels
    except TypeError:
        pass
    raise RunError(
        f"run.json cannot be used: its {KERNELS} must have jit_compile, onednn and why. Received: "
        f"{kept!r}. Restore it from a copy or use another run."
    )


def in_words(kernels: Kernels, run: dict[str, Any] | None) -> str:
    """Returns the message for a run's kernels.

    Args:
        kernels: The `Kernels`.
        run: Dict, the content of the run.json of a run that resumes, otherwise `None`.
    """
    had = run is not None and run.get(KERNELS) == kernels._asdict()
    return f"{kernels}{' The run had them before.' if had else ''}"


def of_other_kernels(kernels: Kernels) -> str | None:
    """Returns a message if this process has other operations than the run began with."""
    if kernels.onednn == onednn_is_on():
        return None
    return (
        f"This process computes {'without' if kernels.onednn else 'with'} oneDNN, unlike the run "
        "until now: numbers differ in their last bits. To keep the same numbers, stop, and set "
        f"TF_ENABLE_ONEDNN_OPTS={int(kernels.onednn)} before the command."
    )


def on_a_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def onednn_is_on() -> bool:
    """Returns whether TensorFlow's operations are those of oneDNN, its default."""
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() not in ("0", "false")


def tasks_at_once(recipe: Recipe) -> int:
    """Returns the number of tasks in a meta-batch that can be computed at the same time."""
    return 1 if in_series(recipe.task_order, recipe.inner_state) else recipe.meta_batch_size


def threads(jit_compile: bool | str, tasks: int) -> dict:
    """Returns the arguments of `one_task_per_core` for a number of tasks at once.

    Idle cores are shared where there are fewer tasks than cores, or too many for one graph.

    Example:

    >>> threads(True, 100)
    {'jit_compile': True, 'share_idle_cores': False}
    >>> threads("auto", 100)
    {'jit_compile': False, 'share_idle_cores': False}
    >>> threads(True, 101)
    {'jit_compile': True, 'share_idle_cores': True}
    """
    compiled = jit_compile is True
    kept = usable_cores() <= tasks <= compiled_tasks.MAX_TASKS_PER_GRAPH
    return {"jit_compile": compiled, "share_idle_cores": compiled and not kept}


def of_evaluation(recipe: Recipe, tasks: int) -> bool | str:
    """Returns the `jit_compile` of an evaluation of this number of tasks."""
    return chosen(recipe, tasks * recipe.eval_inner_steps * recipe.eval_inner_batch_size)


def chosen(recipe: Recipe, images: int) -> bool | str:
    """Returns the recipe's `jit_compile`. If it is "auto", it is chosen for the run.

    Args:
        recipe: A `Recipe`.
        images: Integer, the number of images in all inner steps of the run.

    Example:

    >>> chosen(Recipe(jit_compile="false"), 10**9)
    False
    >>> chosen(Recipe(network="mini_imagenet_convnet"), 10**9)
    'auto'
    """
    return choice(recipe, images).jit_compile


def choice(recipe: Recipe, images: int) -> Kernels:
    """Returns the kernels for a recipe and this number of images, with the reason.

    Example:

    >>> str(choice(Recipe(jit_compile="true"), 1))
    "The CPU's kernels are those of XLA: --jit_compile=true."
    """
    onednn = onednn_is_on()
    if recipe.jit_compile != "auto":
        by_xla = recipe.jit_compile == "true"
        return Kernels(by_xla, onednn, f"--jit_compile={recipe.jit_compile}")
    against = _against_xla(recipe, images)
    if against or on_a_gpu():
        return Kernels("auto", onednn, against)
    why = f"this network is faster by them in {recipe.precision}, and the run is long enough"
    return Kernels(True, onednn, why)


def _against_xla(recipe, images) -> str:
    """Returns the reason not to compile by XLA, or ""."""
    if recipe.method == "maml":
        return "XLA does not compile MAML's training"
    if recipe.network not in FASTER:
        return f"XLA was not faster, or not measured, for {recipe.network}"
    if recipe.precision not in WORTH:
        return f"XLA was not measured in {recipe.precision}"
    if recipe.precision == "mixed_bfloat16" and onednn_is_on() and multiplies_bfloat16_in_tiles():
        return "the processor has instructions for products of bfloat16 (amx_bf16)"
    if images * recipe.image_size**2 < WORTH[recipe.precision]:
        return "the run is too short to make up for XLA's compilation"
    return ""
