"""The flags of the programs, as the source defines them.

The source is parsed, not imported: the pages are written without TensorFlow.
"""

import ast
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tables.words import table

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "keras_reptile"
RECIPE = PACKAGE / "recipes" / "recipe.py"
# Fields of a recipe that are no flags.
NOTES = ("source", "expected")
PROGRAMS = ("train", "evaluate", "export", "sweep", "compare", "demo")


class Flag(NamedTuple):
    name: str
    default: object
    help: str
    choices: tuple


def recipe_fields() -> Iterator[Flag]:
    """The fields of `Recipe`, each `name: type = _field(default, help, choices)`."""
    (recipe,) = [
        node
        for node in ast.parse(RECIPE.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "Recipe"
    ]
    for field in recipe.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.value, ast.Call):
            default, text, *choices = map(ast.literal_eval, field.value.args)
            if field.target.id not in NOTES:
                yield Flag(field.target.id, default, text, choices[0] if choices else ())


def defined(path: Path, function: str) -> Iterator[Flag]:
    """The flags that a function in a file defines, by `flags.DEFINE_...` or `define_path`."""
    tree = ast.parse(path.read_text())
    constants = dict(assigned(tree))
    (body,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
    for node in ast.walk(body):
        if isinstance(node, ast.Call) and is_definition(node):
            name, default, *others = [literal(argument, constants) for argument in node.args[:4]]
            text = next(value for value in others if isinstance(value, str))
            choices = next((value for value in others if isinstance(value, tuple)), ())
            yield Flag(name, default, text, choices)


def assigned(tree: ast.Module) -> Iterator[tuple[str, object]]:
    """The constants of a file, by name."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, literal(node.value, {})


def is_definition(call: ast.Call) -> bool:
    """Whether a call defines a flag with a name of its own, not one for each field."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    is_named = bool(call.args) and isinstance(call.args[0], ast.Constant)
    return is_named and (name.startswith("DEFINE_") or name == "define_path")


def literal(node: ast.expr, constants: dict[str, object]) -> object:
    """The value of a literal, or of a constant of its file; `None` of anything else."""
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def flags_of(program: str) -> list[Flag]:
    """The flags that a program has beside the fields of a recipe."""
    return list(defined(PACKAGE / "programs" / "flags_of_programs.py", program))


def rows(flags: list[Flag]) -> str:
    return table(["flag", "default", "meaning"], [row(flag) for flag in flags])


def row(flag: Flag) -> tuple[str, str, str]:
    """A flag's cells. An empty default is none: the meaning says what then holds."""
    listed = ", ".join(f"`{choice}`" for choice in flag.choices if choice)
    choices = f" One of {listed}." if listed else ""
    default = "" if flag.default in (None, "", []) else f"`{written(flag.default)}`"
    return f"`--{flag.name}`", default, f"{flag.help}{choices}".replace("|", "\\|")


def written(default: object) -> str:
    """A default as the command line takes it."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def recipe_flags() -> str:
    return rows(list(recipe_fields()))


def device_flags() -> str:
    return rows(list(defined(PACKAGE / "programs" / "device_flags.py", "define")))


def program_flags(program: str) -> str:
    return rows(flags_of(program))


TABLES: dict[str, Callable[[], str]] = {
    "recipe_flags": recipe_flags,
    "device_flags": device_flags,
    **{f"{program}_flags": partial(program_flags, program) for program in PROGRAMS},
}
VALUES: dict[str, Callable[[], str]] = {}
