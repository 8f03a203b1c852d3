"""Any command line of any program ends: with the work at hand, or with one line that says why not.

Hundreds of them, of flags that fit and flags that do not, in forks of a process that has imported
everything; see `warm_program`. A few more as whole programs.
"""

import dataclasses

import pytest
import warm
from commands import run
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from warm_program import furnished

from keras_reptile.recipes.recipe import NOTES, Recipe

pytestmark = [pytest.mark.process, pytest.mark.slow]

NUMBERS = ["0", "1", "-1", "2", "3", "5", "7", "20", "1000", "2147483648", "9223372036854775808"]
WRONG = ["", " ", "five", "2.5", "1e3", "nan", "-", "0x", "None", "--", "é", "1,2"]
REALS = ["0.5", "1e-8", "1e400", "inf", "-inf", "nan", "-0.0", "1.0"]
PATHS = ["", ".", "empty", "file", "run", "images", "missing", "missing/deep", "run/run.json"]
PATHS += ["file/below", "x" * 300, "/proc/nothing", "é", " ", "*"]
DATASETS = ["glyphs", "omniglot", "folder", "sinusoid", "mini_imagenet", "tfds:", "tfds:nope", "?"]
RECIPES = ["glyphs", "omniglot_5way", "omniglot_20way", "sinusoid", "sinusoid_maml", "images_5way"]
RECIPES += ["gradient_combinations", "tail_overlap", "Glyphs", ""]
DEVICES = ["cpu:0", "cpu:0,cpu:0", "gpu:0", "gpu:0,gpu:9", "tpu:0", ",", "", "cpu", "CPU:0"]
STRATEGIES = ["auto", "none", "one_device", "mirrored", "multi_worker", "tpu", "other"]

few, many = st.integers(1, 5).map(str), st.integers(-3, 700).map(str)
whole = st.one_of(few, few, many, st.sampled_from(NUMBERS), st.sampled_from(WRONG))
share = st.floats(0, 1).map(repr)
real = st.one_of(share, share, st.sampled_from(NUMBERS + REALS), st.sampled_from(WRONG))
text = st.sampled_from(PATHS)
boolean = st.sampled_from(["true", "false", "1", "true", "false", "maybe", ""])
BY_TYPE = {int: whole, float: real, str: text, bool: boolean}


def of_field(field):
    if field.name == "dataset":
        return st.sampled_from(DATASETS)
    choices = field.metadata["choices"]
    return st.sampled_from([*choices, "none of them"]) if choices else BY_TYPE[field.type]


FIELDS = {f.name: of_field(f) for f in dataclasses.fields(Recipe) if f.name not in NOTES}
WHERE = {
    "strategy": st.sampled_from(STRATEGIES),
    "devices": st.sampled_from(DEVICES),
    "tpu": st.sampled_from(["", "local", "nowhere"]),
    "connect_timeout": real,
}
OWN = {
    "train": {"recipe": st.sampled_from(RECIPES), "data_dir": text, "output_dir": text},
    "sweep": {
        "figure": st.sampled_from(["gradient_combinations", "tail_overlap", "study", "fig3", ""]),
        "only": st.sampled_from(["g1", "g*,*k8*", "", ",", "g9", "[", "*"]),
        "list": boolean,
        "draw_only": boolean,
        "seeds_at_once": whole,
        "data_dir": text,
        "output_dir": text,
    },
    "evaluate": {
        "checkpoint": text,
        "which": st.sampled_from(["last", "best", "first"]),
        "split": st.sampled_from(["test", "validation", "train", "none"]),
        "tasks": whole,
        "seed": whole,
        "both": boolean,
        "record": st.sampled_from(["found.json", "run", "nowhere/found.json", ""]),
        "data_dir": text,
    },
    "export": {
        "checkpoint": text,
        "output": text,
        "which": st.sampled_from(["last", "best", "first"]),
        "class_names": st.sampled_from(["a,b,c,d,e", "a,b", "a,a,a,a,a", "", ",,,,", "é,b,c,d,e"]),
        "only_model": boolean,
        "overwrite": boolean,
    },
    "demo": {"model": text, "port": whole, "ways": whole, "steps": whole},
    "compare": {
        "runs": st.sampled_from(["run", "run,file", "run/run.json", "missing", "run,run", ",", ""]),
        "names": st.sampled_from(["a", "a,b", "a,a", ""]),
        "reference": real,
        "output": st.sampled_from(["found.png", "run", "nowhere/found.png", ""]),
    },
}
FLAGS = {
    "train": FIELDS | WHERE,
    "sweep": FIELDS,
    "evaluate": {k: v for k, v in FIELDS.items() if "eval" in k or k in ("ways", "shots")} | WHERE,
    "export": {},
    "demo": {},
    "compare": {},
}
# With these most command lines get past their first check.
USUAL = {
    "train": [[], ["--dataset=omniglot"], ["--dataset=sinusoid"], ["--image_dir=images"]],
    "sweep": [["--figure=tail_overlap"], ["--figure=gradient_combinations"], []],
    "evaluate": [["--checkpoint=run"], []],
    "export": [["--checkpoint=run", "--output=out"]] * 3 + [["--output=out"], []],
    "demo": [["--model=run"]] * 4 + [[]],
    "compare": [["--runs=run"], []],
}


def flag_of(program):
    flags = OWN[program] | FLAGS[program]
    one = st.sampled_from(sorted(flags)).flatmap(
        lambda name: flags[name].map(lambda value: f"--{name}={value}")
    )
    alone = st.sampled_from(["stray", "-", "--", "--no", "--colour=red", "--ways", "-5"])
    return st.integers(0, 19).flatmap(lambda n: one if n else alone)


def command_line(program):
    usual = st.sampled_from(USUAL[program])
    return st.tuples(usual, st.lists(flag_of(program), max_size=5)).map(lambda t: t[0] + t[1])


def outcome(program, arguments):
    return warm.ask("warm_program.py", program, arguments, TFDS_DATA_DIR="empty")


def judge(program, status, err):
    assert status in (0, 1, 2), err
    lines = err.strip().splitlines()
    if status == 0:
        return
    assert len(lines) == 1, err
    assert lines[0].startswith(f"{program}: ")
    assert len(lines[0]) > len(program) + 20


CASES = {"train": 140, "sweep": 60, "evaluate": 70, "export": 30, "demo": 30, "compare": 20}


def plan(examples):
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("program", CASES)
def test_a_command_line_works_or_says_in_one_line_why_not(program):
    counts = {0: 0, 1: 0, 2: 0}

    @plan(CASES[program])
    @given(command_line(program))
    def check(arguments):
        status, err = outcome(program, arguments)
        judge(program, status, err)
        counts[status] += 1

    check()
    # Neither is all refused nor all let through. (How many are, hypothesis draws.)
    assert counts[0] and counts[1], counts


def test_whole_programs_say_the_same_as_those_that_stop_where_work_begins(tmp_path):
    furnished(tmp_path)

    @plan(6)
    @given(st.sampled_from(["train", "sweep"]), st.data())
    def check(program, data):
        arguments = data.draw(command_line(program))
        status, err = outcome(program, arguments)
        assume(status)
        real_status, _, real_err = run(program, *arguments, cwd=tmp_path)
        assert (real_status, real_err.splitlines()[-1:]) == (status, err.splitlines())

    check()
