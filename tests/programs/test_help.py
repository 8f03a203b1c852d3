"""Help, recipes and near names, which need no TensorFlow."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment

from keras_reptile.distribution.strategies import NAMES
from keras_reptile.experiments.figures import FIGURES
from keras_reptile.programs import device_flags, flags_of_programs, help, recipe_listing
from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import NOTES, Recipe

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = list(flags_of_programs.PROGRAMS)
# Whoever imports TensorFlow fails.
WITHOUT = "import sys; sys.modules['tensorflow'] = None; sys.argv[0] = {!r}\n"
START = "from keras_reptile.programs import start; start.check_installed = lambda: None\n"


def run(program, *arguments):
    """Status, output and errors of a program, or of `reptile` with it, without TensorFlow."""
    path = ROOT / "bin" / program
    call = f"start.start_program({program!r})" if path.exists() else "start.start_command()"
    source = WITHOUT.format(str(path)) + START + call
    ended = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_says_what_a_program_does_and_has_80_columns(program):
    status, out, err = run("reptile", program, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(str(flags_of_programs.PROGRAMS[program].__doc__).splitlines()[0])
    assert f"  reptile {program}" in out and "bin/" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_programs_in_bin_are_called_so_in_their_help():
    _, out, _ = run("export", "--help")
    assert "  bin/export --checkpoint=runs/glyphs --output=exported/glyphs\n" in out


def test_every_flag_of_a_recipe_has_a_topic_and_the_values_of_the_recipe_that_is_named():
    _, out, _ = run("train", "--help", "--recipe=omniglot_20way")
    fields = {f.name for f in dataclasses.fields(Recipe)} - {*NOTES}
    assert fields - {"seed"} <= {name for names in help.TOPICS.values() for name in names}
    # A flag that may be left empty lists the other choices.
    assert "One of cifar_fs, cub, fc100, tiered_imagenet." in " ".join(out.split())
    for name in fields:
        value = help.written(getattr(named.RECIPES["omniglot_20way"], name))
        assert f"\n  --{name}={value}\n" in out
    assert out.index("\nInner loop:") < out.index("--inner_steps=10") < out.index("\nOuter loop:")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--dataset=sinusoid"], "--network=sine_mlp_relu"),
        ([], "--dataset=glyphs"),
        (["--image_dir=images"], "--meta_iterations=2000"),
        (["--recipe=none"], "--dataset="),
    ],
)
def test_help_shows_what_a_run_with_the_flags_would_begin_with(arguments, line):
    _, out, _ = run("train", *arguments, "--help")
    assert f"\n  {line}\n" in out


def test_the_help_of_a_sweep_shows_the_values_of_its_figure():
    _, out, _ = run("sweep", "--figure=study", "--help")
    assert "\n  --meta_iterations=5000\n" in out
    _, out, _ = run("sweep", "--help")
    assert "\n  --meta_iterations=\n" in out


def test_recipes_are_a_table_of_80_columns():
    status, out, _ = run("train", "--list_recipes")
    assert status == 0
    rows = out.splitlines()[1 : len(named.RECIPES) + 1]
    assert [row.split()[0] for row in rows] == list(named.RECIPES)
    assert (
        "omniglot_20way            omniglot       20-way 1-shot  reptile          200,000" in rows
    )
    assert max(map(len, out.splitlines())) <= 80


def test_a_recipe_shows_all_its_settings_as_flags():
    status, out, _ = run("train", "--recipe=mini_imagenet_5way_1shot", "--show", "--ways=3")
    assert status == 0
    assert "expected, %: 47.07 ± 0.26, transductive 49.97 ± 0.32" in out
    flags = [line for line in out.splitlines() if line.startswith("--")]
    recipe = named.get("mini_imagenet_5way_1shot", ways=3)
    assert {"--ways=3", "--train_queries=true", "--inner_epsilon=1e-08"} < {*flags}
    fields = [f.name for f in dataclasses.fields(Recipe) if f.name not in NOTES]
    # Adam has no momentum.
    fields.remove("inner_momentum")
    assert flags == [f"--{name}={help.written(getattr(recipe, name))}" for name in fields]
    _, out, _ = run("train", "--dataset=sinusoid", "--show")
    assert "expected, mean squared error: " in out and "--expected" not in out


@pytest.mark.parametrize("name", ["omniglot_5way", "sinusoid", "cub_5way"])
def test_the_settings_that_a_recipe_shows_are_taken_as_flags(name):
    shown = []
    flags = [f"--recipe={name}"]
    for _ in range(2):
        status, out, err = run("train", *flags, "--show")
        assert (status, err) == (0, "")
        shown.append(flags := [line for line in out.splitlines() if line.startswith("--")])
    assert shown[0] == shown[1]


NEAR = {
    "a flag": ("train", ["--metod=maml"], 2, "flag 'metod'. Did you mean 'method'? See --help."),
    "a choice": ("train", ["--method=reptil"], 2, "<fomaml|maml|reptile>. Did you mean 'reptile'?"),
    "a recipe": ("train", ["--recipe=omniglot5way"], 1, "Did you mean 'omniglot_5way'?"),
    "a data set": ("train", ["--dataset=omnglot"], 1, "'omnglot'. Did you mean 'omniglot'?"),
    "a network": ("train", ["--network=omniglot_convet"], 1, "Did you mean 'omniglot_convnet'?"),
    "a figure": ("sweep", ["--figure=tail_overlp"], 2, "Did you mean 'tail_overlap'?"),
    "a program": ("reptile", ["trian"], 2, "no program 'trian'. Did you mean 'train'?"),
}


@pytest.mark.parametrize("kind", NEAR)
def test_a_name_that_is_nearly_right_is_asked_for(kind):
    program, arguments, expected, text = NEAR[kind]
    status, out, err = run(program, *arguments)
    assert (status, out, len(err.splitlines())) == (expected, "", 1), err
    assert text in err


def test_the_command_lists_its_programs_and_its_version():
    for arguments in ([], ["--help"], ["help"]):
        status, out, err = run("reptile", *arguments)
        assert (status, err) == (0, "")
        for program in PROGRAMS:
            assert f"\n  {program} " in out
        assert max(map(len, out.splitlines())) <= 80
    assert run("reptile", "--version")[1] == "0.1.0\n"


def test_an_error_of_the_command_names_the_program():
    _, _, err = run("reptile", "train", "stray")
    assert err == "reptile train: only flags are accepted, as --name=value. Received: stray\n"


def test_what_flags_name_without_tensorflow_is_what_there_is():
    assert device_flags.STRATEGIES == NAMES
    assert set(flags_of_programs.FIGURES) == set(FIGURES)
    assert recipe_listing.ROW.format(*recipe_listing.HEAD) == next(recipe_listing.table())
