"""docs/reference/flags.md has the flags of the programs, which it reads from their source."""

import dataclasses
import re

import pytest
from tables import flags

from keras_reptile.programs import flags_of_programs
from keras_reptile.recipes.recipe import NOTES, OF_EVALUATION, Recipe


def test_the_hyper_parameters_are_the_fields_of_a_recipe():
    found = {f.name: (f.default, f.help, f.choices) for f in flags.recipe_fields()}
    fields = {
        f.name: (f.default, f.metadata["help"], f.metadata["choices"])
        for f in dataclasses.fields(Recipe)
        if f.name not in NOTES
    }
    assert found == fields


@pytest.mark.parametrize("program", flags.PROGRAMS)
def test_each_flag_that_a_program_defines_is_found_with_its_meaning(program, monkeypatch):
    defined = []
    for kind in ("string", "bool", "enum", "integer", "float", "list"):
        add = lambda name, default, *others, **_: defined.append((name, default, others))  # noqa: E731
        monkeypatch.setattr(f"absl.flags.DEFINE_{kind}", add)
    monkeypatch.setattr(flags_of_programs, "define_path", add)
    monkeypatch.setattr(flags_of_programs.recipe_flags, "define_fields", lambda *_, **__: None)
    monkeypatch.setattr(flags_of_programs.device_flags, "define", lambda: None)
    flags_of_programs.PROGRAMS[program]()
    found = flags.flags_of(program)
    assert [(flag.name, flag.default) for flag in found] == [each[:2] for each in defined]
    for flag, (*_, others) in zip(found, defined, strict=True):
        assert flag.help in others and flag.help.endswith(".")
        assert not flag.choices or flag.choices in others


def test_the_page_has_every_program():
    programs = {path.name for path in (flags.ROOT / "bin").iterdir() if path.name[0] not in "_."}
    assert set(flags.PROGRAMS) == programs


def test_the_page_names_the_hyper_parameters_that_an_evaluation_replaces():
    page = (flags.ROOT / "docs" / "reference" / "flags.md").read_text()
    (sentence,) = re.findall(r"`bin/evaluate` has flags for some: (.*?)\. ", page, re.DOTALL)
    assert tuple(re.findall(r"`--(\w+)`", sentence)) == OF_EVALUATION


def test_a_flag_is_written_as_the_command_line_takes_it():
    choice = flags.Flag("kind", "a", "The kind.", ("a", "b"))
    assert flags.row(choice) == ("`--kind`", "`a`", "The kind. One of `a`, `b`.")
    empty = flags.Flag("kind", "", "The kind.", ("", "b"))
    assert flags.row(empty) == ("`--kind`", "", "The kind. One of `b`.")
    assert flags.row(flags.Flag("both", False, "x | y", ()))[1:] == ("`false`", "x \\| y")
    assert flags.row(flags.Flag("names", [], "Names.", ()))[1] == ""
