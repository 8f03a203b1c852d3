import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_reptile.errors import RunError
from keras_reptile.experiments import comparison
from keras_reptile.files.atomic_file import write_csv, write_json
from keras_reptile.programs import compare
from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import Recipe


def row(iteration, rate, **measured):
    return {"meta_iteration": iteration, "meta_iterations_per_second": rate, **measured}


def test_seconds_are_those_of_the_meta_iterations_alone():
    rows = [row(100, 10.0, seconds=99.0), row(300, 40.0, seconds=999.0)]
    assert comparison.training_seconds(rows).tolist() == [10.0, 15.0]


def test_a_picture_has_axes_for_each_kind_of_tasks_and_a_line_for_each_run():
    runs = {
        "slow": [row(10, 1.0, accuracy=0.0), row(20, 1.0, accuracy=0.6)],
        "fast": [row(10, 5.0, accuracy="0.7", test_accuracy=""), row(20, 5.0, test_accuracy="0.8")],
    }
    training, tests = comparison.comparison(runs, reference=90.0).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in training.get_lines()}
    assert drawn["slow"] == [[10, 0], [20, 60]]
    assert drawn["fast"] == [[2, 70]]
    fast, reference = tests.get_lines()
    assert fast.get_xydata().tolist() == [[4, 80]]
    assert len(training.get_lines()) == 2
    assert list(reference.get_ydata()) == [90, 90]
    assert tests.get_ylabel() == "accuracy on test tasks (%)"


def test_a_run_of_one_row_is_seen_and_names_are_what_they_are():
    runs = {name: [row(10, 1.0, accuracy=0.5)] for name in ("_before", "$x_$", "\udce9")}
    figure = comparison.comparison(runs)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [line.get_marker() for line in axes.get_lines()] == ["."] * 3
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [" _before", r"\$x_\$", r"\udce9"]


def test_the_legend_names_runs_that_have_other_kinds_of_accuracy():
    trained, tested = row(10, 1.0, accuracy=0.5), row(10, 1.0, accuracy=0.5, test_accuracy=0.4)
    figure = comparison.comparison({"a": [tested], "b": [trained]})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_a_run_is_read_from_its_directory_or_from_a_copy_of_its_log(tmp_path):
    write_csv(tmp_path / "log.csv", [row(10, 1.0, accuracy=0.5)])
    read = comparison.read_log(str(tmp_path))
    assert read == comparison.read_log(str(tmp_path / "log.csv"))
    assert comparison.in_words("a", read) == (
        "a: 10 meta-iterations in 10 s, training tasks 50.00 %"
    )
    said = comparison.in_words("a", [row(1, 1.0, accuracy=0.5)])
    assert said == "a: 1 meta-iteration in 1 s, training tasks 50.00 %"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([row(10, 1.0)], "There are no accuracies in .*log.csv. Give an output"),
        ([row(10, 1.0, loss_after=0.5)], "only losses in .*log.csv, as in runs on sine waves"),
        ([row(10, 0.0, accuracy=0.5)], r"log.csv cannot be read \(ValueError: a rate of 0.0\)"),
        (
            [row(20, 1.0, accuracy=0.5), row(10, 1.0)],
            "log.csv cannot be used: its meta_iteration f",
        ),
        ([{"meta_iteration": 10, "accuracy": 0.5}], "needs a meta_iteration, a meta_iterations_p"),
    ],
)
def test_a_log_that_says_too_little_is_refused(rows, text, tmp_path):
    write_csv(tmp_path / "log.csv", rows)
    with pytest.raises(RunError, match=text):
        comparison.read_log(str(tmp_path))


def test_the_program_makes_the_folder_of_its_picture(tmp_path, monkeypatch):
    write_csv(tmp_path / "log.csv", [row(10, 1.0, accuracy=0.5)])
    flags = dict(runs=[str(tmp_path)], names=["a"], reference=None)
    picture = tmp_path / "new" / "picture.png"
    monkeypatch.setattr(compare, "FLAGS", SimpleNamespace(**flags, output=str(picture)))
    compare.main()
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("reference", [-3.0, 200.0, math.inf])
def test_a_reference_that_is_no_percentage_is_refused(reference, monkeypatch):
    flags = SimpleNamespace(runs=["a"], names=["a"], reference=reference, output="a.png")
    monkeypatch.setattr(compare, "FLAGS", flags)
    with pytest.raises(ValueError, match=rf"`reference` must be .*Received: reference={reference}"):
        compare.main()


def test_runs_on_different_tasks_are_named(tmp_path, monkeypatch, capsys):
    paths = [str(tmp_path / name) for name in ("five", "twenty")]
    for path, ways in zip(paths, (5, 20), strict=True):
        Path(path).mkdir()
        write_csv(f"{path}/log.csv", [row(10, 1.0, accuracy=0.5)])
        settings = dataclasses.asdict(named.get("glyphs", ways=ways))
        write_json(f"{path}/run.json", {"settings": settings})
    flags = dict(runs=paths, names=["a", "b"], reference=None, output=str(tmp_path / "a.png"))
    monkeypatch.setattr(compare, "FLAGS", SimpleNamespace(**flags))
    compare.main()
    text = (
        "The accuracies are of different tasks: ways=5 (a), ways=20 (b).\n"
        "The accuracies on training tasks are of different tasks: train_ways=5 (a), "
        "train_ways=20 (b).\n"
    )
    assert text in capsys.readouterr().out
    monkeypatch.setattr(compare.FLAGS, "runs", [paths[0], f"{paths[1]}/log.csv"])
    compare.main()
    assert "different tasks" not in capsys.readouterr().out


def said_of(folder, one, other):
    """What is said of two runs whose recipes have these fields."""
    runs = {}
    for name, fields in (("a", one), ("b", other)):
        (folder / name).mkdir()
        settings = dataclasses.asdict(Recipe(**fields))
        write_json(folder / name / "run.json", {"settings": settings})
        runs[name] = comparison.read_tasks(str(folder / name))
    return comparison.other_tasks(runs)


ALL = "The accuracies are of different tasks: "
TRAINING = "The accuracies on training tasks are of different tasks: "
VALIDATION = "The accuracies on validation tasks are of different tasks: "


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"train_ways": 20, "head": "shared"}, "train_ways=5 (a), train_ways=20 (b)."),
        ({"train_ways": 5, "head": "shared"}, ""),
        ({"train_shots": 5}, "train_shots=10 (a), train_shots=5 (b)."),
        ({"inner_steps": 9, "test_tasks": 9}, ""),
    ],
)
def test_training_tasks_of_other_ways_or_shots_are_named(tmp_path, others, said):
    assert said_of(tmp_path, {}, others) == (TRAINING + said if said else "")


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("image_dir", "/birds", "/dogs"),
        ("test_classes", 20, 150),
        ("image_size", 28, 84),
        ("channels", 1, 3),
    ],
)
def test_other_images_and_other_test_classes_are_named(tmp_path, name, one, other):
    of_a, of_b = ({"dataset": "folder", name: value} for value in (one, other))
    assert said_of(tmp_path, of_a, of_b) == f"{ALL}{name}={one} (a), {name}={other} (b)."


@pytest.mark.parametrize(
    ("dataset", "numbers", "kinds"),
    [
        ("omniglot", (20, 50), [TRAINING, VALIDATION]),
        ("omniglot", (0, 50), [TRAINING]),
        ("mini_imagenet", (8, 16), [VALIDATION]),
        ("mini_imagenet", (0, 16), []),
    ],
)
def test_validation_classes_change_training_tasks_where_they_are_taken_from_their_classes(
    tmp_path, dataset, numbers, kinds
):
    runs = [{"dataset": dataset, "validation_classes": n} for n in numbers]
    listed = "validation_classes={} (a), validation_classes={} (b).".format(*numbers)
    assert said_of(tmp_path, *runs).splitlines() == [kind + listed for kind in kinds]


def test_all_kinds_of_tasks_that_differ_are_named(tmp_path):
    said = said_of(tmp_path, {}, {"shots": 5, "train_shots": 15})
    assert said.splitlines() == [
        f"{ALL}shots=1 (a), shots=5 (b).",
        f"{TRAINING}train_shots=10 (a), train_shots=15 (b).",
    ]


def test_a_setting_that_only_one_of_two_data_sets_has_is_not_named(tmp_path):
    said = said_of(tmp_path, {"dataset": "mini_imagenet"}, {"dataset": "omniglot"})
    assert said == f"{ALL}dataset=mini_imagenet (a), dataset=omniglot (b)."


def test_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"There are no accuracies in .*nothing"):
        comparison.read_log(str(tmp_path / "nothing"))
