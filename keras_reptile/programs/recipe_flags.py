"""absl flags for the fields of a dataclass."""

import dataclasses
from collections.abc import Callable
from typing import Any

from absl import flags

from keras_reptile.programs.path_flags import define_path
from keras_reptile.recipes.recipe import OPEN, PATHS


def define_fields(cls: type, only: tuple = (), without: tuple = ()) -> None:
    """Defines a flag for each field, with its name and its help. No flag has a default."""
    for field in _chosen(cls, only, without):
        text = field.metadata["help"]
        if field.name in PATHS:
            define_path(field.name, None, text)
        elif field.metadata["choices"] and field.name not in OPEN:
            flags.DEFINE_enum(field.name, None, field.metadata["choices"], text)
        else:
            define: dict[Any, Callable] = {
                bool: flags.DEFINE_bool,
                int: flags.DEFINE_integer,
                float: flags.DEFINE_float,
                str: flags.DEFINE_string,
            }
            define[field.type](field.name, None, text)


def given_fields(cls: type, only: tuple = (), without: tuple = ()) -> dict[str, Any]:
    """Returns the values of the flags that are on the command line."""
    values = {field.name: flags.FLAGS[field.name].value for field in _chosen(cls, only, without)}
    return {name: value for name, value in values.items() if value is not None}


def _chosen(cls, only, without):
    fields = [f for f in dataclasses.fields(cls) if f.name not in without]
    return [f for f in fields if not only or f.name in only]
