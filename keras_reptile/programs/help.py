"""The help of a program in 80 columns: a description, and its flags with their defaults."""

import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from keras_reptile.programs import flags_of_programs
from keras_reptile.programs.start import values_of
from keras_reptile.programs.streams import called
from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import Recipe

ASKS = ("-h", "-help", "--help", "-?", "-helpshort", "--helpshort")
WIDTH = 80
INDENT = 6
CHOICES = {f.name: f.metadata.get("choices", ()) for f in dataclasses.fields(Recipe)}
PROGRAM_FLAGS = "Flags"
TOPICS = {
    PROGRAM_FLAGS: (),
    "Data": (
        "dataset",
        "dataset_split",
        "validation_classes",
        "test_classes",
        "split_seed",
        "image_dir",
        "split_dir",
        "published_split",
        "manual_dir",
        "image_size",
        "channels",
    ),
    "Network": ("network", "head", "precision"),
    "Tasks": (
        "ways",
        "train_ways",
        "shots",
        "train_shots",
        "queries",
        "train_queries",
        "minibatches",
        "tail_shots",
    ),
    "Inner loop": (
        "method",
        "inner_trainable",
        "loss_reduction",
        "inner_batch_size",
        "inner_steps",
        "inner_optimizer",
        "inner_learning_rate",
        "inner_beta_1",
        "inner_beta_2",
        "inner_epsilon",
        "inner_momentum",
        "inner_clipnorm",
        "inner_weight_decay_rate",
        "inner_state",
    ),
    "Outer loop": (
        "meta_iterations",
        "meta_batch_size",
        "meta_optimizer",
        "meta_step_size",
        "meta_step_size_final",
        "task_order",
        "checkpoint_every",
    ),
    "Validation and test": (
        "eval_classes",
        "eval_inner_batch_size",
        "eval_inner_steps",
        "transductive",
        "validation_tasks",
        "test_tasks",
        "curve_tasks",
    ),
    "Devices": (
        "task_parallelism",
        "jit_compile",
        "draw_on_device",
        "strategy",
        "devices",
        "tpu",
        "connect_timeout",
    ),
}


def show_if_asked(name: str, arguments: Sequence[str]) -> None:
    """Prints the help of a program and ends, if the arguments ask for it."""
    if any(argument in ASKS for argument in arguments):
        print(text(name, defaults(name, arguments)))
        sys.exit(0)


def defaults(name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Returns the chosen recipe's values, the defaults of the flags of train and sweep."""
    chosen = {
        flag: next(values_of((flag,), [*arguments]), None)
        for flag in ("recipe", "figure", "dataset", "image_dir")
    }
    # Each figure of a sweep has its own recipe.
    if name != "train" and not (name == "sweep" and chosen["figure"]):
        return {}
    try:
        recipe_name = chosen["recipe"] or chosen["figure"]
        recipe = named.get(recipe_name, chosen["dataset"], image_dir=chosen["image_dir"])
    except ValueError:
        return {}
    return dataclasses.asdict(recipe)


def text(name: str, values: dict[str, Any]) -> str:
    """Returns the help: a description with examples, and the flags.

    Args:
        name: String, the program.
        values: Dict, the defaults by flag that replace the flags' own.
    """
    about = [*_wrapped(str(inspect.getdoc(flags_of_programs.PROGRAMS[name])))]
    return "\n".join([*about, *_by_topic(values), "", "--helpfull shows absl's flags, too."])


def of_program() -> dict[str, flags.Flag]:
    """Returns the flags of this package by name, in the order of their definition."""
    modules = flags.FLAGS.flags_by_module_dict()
    ours = [f for module in modules if module.startswith("keras_reptile.") for f in modules[module]]
    return {flag.name: flag for flag in ours}


def written(value: Any) -> str:
    """Returns a value as it is written on the command line.

    Example:

    >>> written(True), written(0.001), written(["a", "b"]), written(None)
    ('true', '0.001', 'a,b', '')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(value)
    return "" if value is None else str(value)


def _by_topic(values: dict[str, Any]) -> Iterator[str]:
    ours = of_program()
    # A program without the flags of a recipe has too few flags for topics.
    placed = {n for names in TOPICS.values() for n in names} if "shots" in ours else set()
    for topic, names in TOPICS.items():
        chosen = [n for n in ours if n not in placed] if topic == PROGRAM_FLAGS else names
        found = [
            ours[name] for name in chosen if name in ours and (topic == PROGRAM_FLAGS or placed)
        ]
        if found:
            yield from ["", f"{topic}:"]
        for flag in found:
            yield from _described(flag, values.get(flag.name, flag.default))


def _described(flag: flags.Flag, default: Any) -> Iterator[str]:
    choices = getattr(flag.parser, "enum_values", None) or CHOICES.get(flag.name, ())
    # absl writes the choices before the help of the flag.
    about = flag.help.removeprefix(f"<{'|'.join(choices)}>: ")
    # The empty choice is the default, "not given".
    listed = f" One of {', '.join(filter(None, choices))}." if choices else ""
    yield f"  --{flag.name}={written(default)}"
    indent = " " * INDENT
    yield from textwrap.wrap(
        as_typed(about + listed),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _wrapped(about: str) -> Iterator[str]:
    """Yields the lines of paragraphs in 80 columns. Examples are written as they are typed."""
    for number, paragraph in enumerate(about.split("\n\n")):
        lines = paragraph.splitlines()
        yield from [""] if number else []
        if lines[0].startswith("bin/"):
            yield from (_command(as_typed(line)) for line in lines)
        else:
            yield from textwrap.wrap(as_typed(" ".join(lines)), WIDTH, break_on_hyphens=False)


def _command(line: str) -> str:
    """Returns a command for the shell. A long one continues on further lines."""
    width = WIDTH - len("  " + " \\")
    if len(line) <= width:
        return f"  {line}"
    parts = textwrap.wrap(line, width, subsequent_indent="    ", break_on_hyphens=False)
    return " \\\n".join(f"  {part}" for part in parts)


def as_typed(text: str) -> str:
    """Returns a text with `bin/` replaced by `reptile `, if the user has typed that command."""
    return text.replace("bin/", "reptile ") if called().startswith("reptile") else text
