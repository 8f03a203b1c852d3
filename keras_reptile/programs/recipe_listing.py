"""Prints the table of recipes, or all settings of one recipe."""

import os
import sys
import textwrap
from collections.abc import Iterator

from absl import flags

from keras_reptile.programs import recipe_flags
from keras_reptile.programs.help import WIDTH, written
from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import NOTES, SINUSOID, Recipe, own_fields

ROW = "{:<24}  {:<13}  {:<13}  {:<7}  {:>15}"
HEAD = ("recipe", "data", "task", "method", "meta-iterations")
FOOT = (
    "Train one with --recipe=NAME. --recipe=NAME --show prints its source, its "
    "expected result, its cost, and all its settings."
)


def show_if_asked() -> None:
    """Prints recipes and ends the program, if the flags of `bin/train` ask for it."""
    if flags.FLAGS.list_recipes:
        lines = table()
    elif flags.FLAGS.show:
        lines = settings(flags.FLAGS.recipe, chosen())
    else:
        return
    print("\n".join(lines))
    sys.exit(0)


def chosen() -> Recipe:
    """Returns the recipe that the flags ask for."""
    given = recipe_flags.given_fields(Recipe, without=NOTES)
    return named.get(flags.FLAGS.recipe, **given)


def output_dir() -> str:
    """Returns the directory of the run that the flags ask for."""
    name = flags.FLAGS.recipe or named.run_name(chosen())
    return flags.FLAGS.output_dir or os.path.join("runs", name)


def table() -> Iterator[str]:
    """Yields the lines of the table of recipes."""
    yield ROW.format(*HEAD)
    for name, r in named.RECIPES.items():
        task = f"{r.shots} points" if r.dataset == SINUSOID else f"{r.ways}-way {r.shots}-shot"
        yield ROW.format(name, r.dataset, task, r.method, f"{r.meta_iterations:,}")
    yield from ("", *textwrap.wrap(FOOT, WIDTH))


def settings(name: str | None, recipe: Recipe) -> Iterator[str]:
    """Yields lines with a recipe's source, expected result, cost, and settings as flags."""
    name = name or named.own(recipe.dataset)
    about = (
        f"{name}: {recipe.source}",
        f"expected, {named.unit(recipe)}: {recipe.expected}",
        f"measured cost: {named.cost(name)}",
    )
    for line in about:
        yield from textwrap.wrap(line, WIDTH, subsequent_indent="  ")
    for field in own_fields(recipe):
        yield f"--{field}={written(getattr(recipe, field))}"
