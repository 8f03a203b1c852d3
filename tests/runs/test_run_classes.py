"""What a run keeps of its classes, and what changed data ends in."""

import contextlib
import dataclasses
import json
import os
import shutil
from types import SimpleNamespace
from unittest import mock

import pytest
from helpers import one_block
from made_images import TinyShapes, class_folders

from keras_reptile import datasets
from keras_reptile.datasets import image_cache
from keras_reptile.errors import RunError
from keras_reptile.recipes import building, named
from keras_reptile.runs import evaluating, other_folder, run_classes, training
from keras_reptile.runs.evaluating import evaluate_run as measure
from keras_reptile.runs.run_checks import check_same_run
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.stop_on_signal import Interrupted

COUNTS = {name: 4 for name in "abcdefghi"} | {"j": 2, "k": 3, "l": 4}
SMALL = dict(
    image_size=8,
    ways=2,
    train_shots=2,
    test_classes=5,
    meta_iterations=1,
    meta_batch_size=2,
    inner_steps=1,
    inner_batch_size=2,
    eval_inner_steps=1,
    eval_inner_batch_size=2,
    validation_classes=2,
    validation_tasks=0,
    test_tasks=0,
)


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setattr(building, "build_network", one_block)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with images/, and run/, which was trained on them."""
    folder = tmp_path_factory.mktemp("begun")
    class_folders(folder / "images", COUNTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_network", one_block)
        run(folder)
    return folder


@pytest.fixture
def folder(begun, tmp_path, monkeypatch):
    """A copy, in place of the folder in which the run began."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    settings = json.loads((tmp_path / "run" / "run.json").read_text())
    settings["settings"]["image_dir"] = str(tmp_path / "images")
    (tmp_path / "run" / "run.json").write_text(json.dumps(settings))
    return tmp_path


def run(folder, verbose=0):
    recipe = named.get(dataset="folder", image_dir=str(folder / "images"), **SMALL)
    return training.train(recipe, folder / "run", verbose=verbose)


def evaluate(folder, **overrides):
    return measure(folder / "run", tasks=2, verbose=0, **overrides)


@pytest.mark.slow
def test_a_run_on_given_splits_trains_and_tests_on_these_classes(begun, tmp_path):
    for name, text in (("train", "abcd"), ("val", "ef"), ("test", "ghij")):
        (tmp_path / f"{name}.txt").write_text("\n".join(text))
    chosen = SMALL | dict(validation_classes=0, test_classes=0, split_dir=str(tmp_path))
    recipe = named.get(dataset="folder", image_dir=str(begun / "images"), **chosen)
    training.train(recipe, tmp_path / "run", verbose=0)
    content = kept(tmp_path)
    found = ["".join(content[part]) for part in ("train", "validation", "test")]
    assert found == ["abcd", "ef", "ghij"]
    assert evaluate(tmp_path)[0]["tasks"] == 2
    moved = shutil.copytree(tmp_path, tmp_path / "moved", ignore=lambda *_: ["run", "moved"])
    assert evaluate(tmp_path, split_dir=str(moved))[0]["tasks"] == 2
    (moved / "train.txt").write_text("c\nd")
    (moved / "test.txt").write_text("a\nb\ng")
    with pytest.raises(RunError, match=r"2 of the 3 test classes were training classes.*a, b"):
        evaluate(tmp_path, split_dir=str(moved))


def kept(folder):
    return json.loads((folder / "run" / "classes.json").read_text())


@pytest.mark.slow
def test_a_run_keeps_the_names_and_sizes_of_the_classes_of_each_part(begun):
    content = kept(begun)
    parts = [content[part] for part in ("train", "validation", "test")]
    left_out = [content["left_out"][part] for part in ("train", "validation", "test")]
    assert [len(a) + len(b) for a, b in zip(parts, left_out, strict=True)] == [5, 2, 5]
    assert {k: v for part in parts + left_out for k, v in part.items()} == COUNTS
    # A training class needs 3 images, two shots and a query, and a test class two.
    assert all(count >= 3 for count in content["train"].values())
    pools = datasets.load(
        "folder",
        image_dir=str(begun / "images"),
        image_size=8,
        validation_classes=2,
        test_classes=5,
    )
    assert set(content["test"]) == set(pools.test.names)


def test_a_run_says_what_it_read(folder, capsys):
    run(folder, verbose=2)
    content = kept(folder)
    counts = [len(content[part]) for part in ("train", "validation", "test")]
    images = sum(sum(content[part].values()) for part in ("train", "validation", "test"))
    assert (
        f"Read {images} images of {sum(counts)} classes (folder in {folder / 'images'}): "
        "{} to train on, {} to validate, {} to test. classes.json names them.\n".format(*counts)
    ) in capsys.readouterr().out


def add(images):
    class_folders(images, {"new": 4})


def remove(images):
    shutil.rmtree(images / "a")


def shrink(images):
    (images / "b" / "0.png").unlink()


CHANGES = {
    add: r"new missing \(now 4 images in",
    remove: r"a 4 images in [a-z]* \(now missing\)",
    shrink: r"Classes: b 4 images in ([a-z]*) \(now 3 images in \1\)",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_data_is_refused_on_resume_and_in_an_evaluation(change, folder):
    before = kept(folder)
    change(folder / "images")
    text = r"The data have changed since the run in .*/run began. Classes: .*"
    for work in (run, evaluate):
        with pytest.raises(RunError, match=text) as raised:
            work(folder)
        assert raised.match(CHANGES[change])
        assert raised.match("Restore the data as in .*classes.json: otherwise training classes may")
    assert kept(folder) == before


@pytest.mark.slow
def test_an_evaluation_may_leave_out_other_classes_and_read_a_folder_that_was_moved(folder):
    assert evaluate(folder, shots=2, queries=2)[0]["tasks"] == 2
    assert evaluate(folder, shots=1, queries=1, train_shots=1)[0]["tasks"] == 2
    (folder / "images").rename(folder / "moved")
    assert evaluate(folder, image_dir=str(folder / "moved"))[0]["tasks"] == 2


def test_an_evaluation_on_training_classes_takes_those_with_images_for_its_own_tasks(
    folder, monkeypatch
):
    def loaded(recipe, *arguments):
        found.append(load(recipe, *arguments).train)
        raise Interrupted

    load, found = building.load_pools, []
    monkeypatch.setattr(building, "load_pools", loaded)
    content = kept(folder)
    sizes = {**content["train"], **content["left_out"]["train"]}
    for images in (2, 3, 4):
        with pytest.raises(Interrupted):
            evaluate(folder, split="train", shots=images - 1, queries=1)
        assert {*found[-1].names} == {name for name, size in sizes.items() if size >= images}
    assert len(found[0]) > len(found[2])


def test_an_evaluation_of_another_folder_says_what_differs_in_its_classes(tmp_path, caplog):
    for place in ("images", "moved", "less"):
        class_folders(tmp_path / place, COUNTS)
    class_folders(tmp_path / "others", {f"new_{name}": 4 for name in COUNTS})
    trained = named.get(image_dir=str(tmp_path / "images"), **SMALL)
    pools = building.load_pools(trained, None)
    directory = RunDirectory(tmp_path / "run")
    directory.write_json(run_classes.FILE, run_classes.describe(pools))
    name = pools.test.names[0]
    (tmp_path / "less" / name / "0.png").unlink()

    def said(place, **given):
        overrides = {"image_dir": str(tmp_path / place), **given}
        recipe = evaluating._with_overrides(trained, overrides, both=False)
        caplog.clear()
        found = building.load_pools(recipe, None)
        other_folder.warn(directory, trained, recipe, found, "test")
        return [m for m in caplog.messages if str(tmp_path) in m]

    assert said("images") == said("moved") == []
    assert said("less") == [
        f"{tmp_path}/less differs from the run's folder in test classes: {name} 4 images in test "
        "(now 3 images in test)."
    ]
    assert said("others") == [
        f"{tmp_path}/others has 12 classes, and tasks are drawn from 5, the test classes by the "
        "run's numbers and seed. Name other ones with --split_dir."
    ]
    (tmp_path / "train.txt").write_text("new_a")
    (tmp_path / "test.txt").write_text("\n".join(f"new_{name}" for name in "bcdefg"))
    assert not any("run's numbers" in m for m in said("others", split_dir=str(tmp_path)))


def test_another_order_of_classes_is_said(tmp_path, caplog):
    class_folders(tmp_path / "images", COUNTS)
    chosen = SMALL | dict(validation_classes=0, test_classes=0, split_dir=str(tmp_path))
    recipe = named.get(image_dir=str(tmp_path / "images"), **chosen)
    directory = RunDirectory(tmp_path / "run")
    (tmp_path / "train.txt").write_text("a\nb\nj\nc")
    said = []
    for test, images in (("def", 1), ("def", 4), ("dfe", 1)):
        (tmp_path / "test.txt").write_text("\n".join(test))
        changed = dataclasses.replace(recipe, train_shots=images)
        pools = building.load_pools(changed, None)
        if not said:
            directory.write_json(run_classes.FILE, run_classes.describe(pools))
        caplog.clear()
        run_classes.check_same(directory, pools)
        said.append("in another order than when it began" in caplog.text)
    assert said == [False, False, True]


def test_classes_that_lack_images_are_named_where_they_make_the_others_too_few(tmp_path):
    class_folders(tmp_path / "images", COUNTS)
    recipe = named.get(image_dir=str(tmp_path / "images"), **{**SMALL, "shots": 4})
    text = (
        r"with 0 classes, and 5 more with too few images. Lower `ways`, shots or `queries`, or x."
    )
    with pytest.raises(ValueError, match=text):
        building.check_ways(recipe, building.load_pools(recipe, None), "test", ", or x")


def test_an_evaluation_may_give_a_split_in_place_of_the_runs_own(tmp_path, monkeypatch):
    class_folders(tmp_path / "images", COUNTS)
    for name, text in (("train", "abcd"), ("val", "ef"), ("test", "gh")):
        (tmp_path / f"{name}.txt").write_text("\n".join(text))
        class_folders(tmp_path / "other" / name, {f"{name}{c}": 4 for c in text})
    # It draws validation and test classes.
    trained = named.get(image_dir=str(tmp_path / "images"), split_seed=1, **SMALL)
    for given, expected in (
        ({"split_dir": str(tmp_path)}, ("g", "h")),
        ({"image_dir": str(tmp_path / "other")}, ("testg", "testh")),
    ):
        recipe = evaluating._with_overrides(trained, given, both=False)
        assert building.load_pools(recipe, None).test.names == expected
    monkeypatch.chdir(tmp_path)
    given = {"image_dir": "other"}
    recipe = evaluating._with_overrides(trained, given, both=False)
    assert recipe.image_dir == str(tmp_path / "other")
    with pytest.raises(ValueError, match=r"Received with it: validation_classes=1. Leave these"):
        given = {"split_dir": str(tmp_path), "validation_classes": 1}
        building.load_pools(evaluating._with_overrides(trained, given, both=False), None)


def test_a_run_whose_folder_was_moved_resumes_with_the_new_path_in_its_settings(tmp_path):
    directory, recipe = RunDirectory(tmp_path), named.get(image_dir="/before", **SMALL)
    moved = dataclasses.replace(recipe, image_dir="/now")
    for written, raises in (recipe, True), (moved, False):
        directory.write_json("run.json", {"settings": dataclasses.asdict(written)})
        text = r"image_dir='/before' \(now '/now'\).* If a folder was moved, write its new path to"
        with pytest.raises(RunError, match=text) if raises else contextlib.nullcontext():
            check_same_run(directory, moved)
    with pytest.raises(RunError, match=r"seed=0 \(now 1\). Give the same .*--output_dir.$"):
        check_same_run(directory, dataclasses.replace(moved, seed=1))


def test_results_are_said_though_their_record_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", mock.Mock(side_effect=OSError(28, "No space left")))
    model = SimpleNamespace(meta_iteration=3)
    with pytest.raises(RunError, match=r'record.json cannot be .*The results: \[\{"accuracy": 0.5'):
        evaluating._write(tmp_path / "record.json", [{"accuracy": 0.5}], named.get(), model, {})


@pytest.mark.slow
def test_an_evaluation_reads_the_images_of_its_classes_alone(folder, monkeypatch):
    def read_images(paths, *arguments):
        read.update(path.parent.name for path in paths)
        return plain(paths, *arguments)

    plain, read = image_cache.read_images, set()
    monkeypatch.setattr(image_cache, "read_images", read_images)
    evaluate(folder)
    assert read == {*kept(folder)["test"]}


@pytest.mark.slow
def test_another_division_must_not_test_classes_that_were_trained_on(folder):
    trained = kept(folder)["train"]
    text = r"of the \d+ test classes were training classes of the run in .*/run: "
    with pytest.raises(RunError, match=text) as raised:
        evaluate(folder, split_seed=1)
    named_classes = str(raised.value).split("/run: ")[1].split(". Use")[0].split(", ")
    assert named_classes and set(named_classes) <= set(trained)
    assert evaluate(folder, split_seed=1, split="train")[0]["tasks"] == 2
    class_folders(folder / "other", {f"x{i}": 4 for i in range(12)})
    assert evaluate(folder, image_dir=str(folder / "other"))[0]["tasks"] == 2


def test_a_run_of_an_earlier_version_goes_on_as_it_did(folder, capsys):
    (folder / "run" / "classes.json").unlink()
    add(folder / "images")
    run(folder, verbose=2)
    assert "to test.\n" in capsys.readouterr().out
    evaluate(folder)
    assert not (folder / "run" / "classes.json").exists()


def test_a_run_without_a_checkpoint_begins_anew_with_the_classes_of_now(folder):
    shutil.rmtree(folder / "run" / "checkpoints")
    add(folder / "images")
    run(folder)
    assert '"new"' in (folder / "run" / "classes.json").read_text()


def test_another_version_of_a_data_set_is_refused(folder):
    path = folder / "run" / "classes.json"
    path.write_text(path.read_text().replace('"source": ""', '"source": "images/1.0.0"'))
    text = r"run began. Data set 'images/1.0.0' \(now ''\). Restore the d"
    with pytest.raises(RunError, match=text):
        run(folder)


@pytest.mark.parametrize("content", ["{}", '{"source": "", "train": {}, "test": []}'])
def test_a_file_of_classes_that_is_none_is_refused(content, folder):
    (folder / "run" / "classes.json").write_text(content)
    with pytest.raises(RunError, match=r"classes.json cannot be used: it must have the run's cla"):
        evaluate(folder)


def test_a_set_of_tfds_tells_its_version(tmp_path):
    TinyShapes(data_dir=tmp_path).download_and_prepare()
    pools = datasets.load("tfds:tiny_shapes", data_dir=str(tmp_path), test_classes=4)
    described = run_classes.describe(pools)
    assert described["source"] == "tiny_shapes/1.0.0"
    names = {name for part in ("train", "validation", "test") for name in described[part]}
    assert names == set(TinyShapes.NAMES)


def test_digests_differ_where_classes_do(begun):
    def digest(**options):
        options = dict(image_size=8, test_classes=5) | options
        return run_classes.digest(
            datasets.load("folder", image_dir=str(begun / "images"), **options)
        )

    assert digest() == digest() != digest(split_seed=1)
