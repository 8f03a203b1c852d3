"""The fixed one-shot tasks of Omniglot's authors are read as they are."""

import shutil

import keras
import numpy as np
import pytest
from made_images import picture, write_image

import keras_reptile as kr

WAYS, RUNS = 3, 2


def drawing(run, number, size=10):
    """The image of a run: training images have numbers 1 to 3, and test images 11 to 13."""
    return picture(100 * run + number, size, 1)


# The training image of the class of each test image, by runs.
ANSWERS = {1: (2, 3, 1), 2: (1, 3, 2)}


@pytest.fixture
def folder(tmp_path):
    for run, answers in ANSWERS.items():
        name = f"run{run:02d}"
        lines = []
        for i, answer in enumerate(answers, 1):
            write_image(tmp_path / name / "training" / f"class{i:02d}.png", drawing(run, i))
            write_image(tmp_path / name / "test" / f"item{i:02d}.png", drawing(run, 10 + i))
            lines.append(f"{name}/test/item{i:02d}.png {name}/training/class{answer:02d}.png")
        (tmp_path / name / "class_labels.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_run_is_a_task_of_its_training_images_and_its_test_images(folder):
    tasks = kr.omniglot_runs(folder, image_size=10, inner_batch_size=2, inner_steps=5)
    assert tasks.element_spec["order"].shape == (RUNS, 5, 2)
    (element,) = tasks
    (support, labels), (query, answers) = element["support"], element["query"]
    for run in ANSWERS:
        expected = [drawing(run, i) for i in (1, 2, 3)]
        np.testing.assert_array_equal(support[run - 1], expected)
        np.testing.assert_array_equal(query[run - 1], [drawing(run, 10 + i) for i in (1, 2, 3)])
        np.testing.assert_array_equal(answers[run - 1] + 1, ANSWERS[run])
    np.testing.assert_array_equal(labels, [range(WAYS)] * RUNS)
    assert set(element["order"].numpy().ravel()) == {0, 1, 2}


def test_images_are_reduced_as_those_of_the_data_set(folder):
    (element,) = kr.omniglot_runs(folder, image_size=4)
    rows = [1, 3, 6, 8]  # the pixels at the middle of 4 parts of 10 pixels
    np.testing.assert_array_equal(
        element["support"][0][0][0], drawing(1, 1)[rows][:, rows], strict=True
    )


def test_the_seed_decides_the_minibatches_alone(folder):
    one, same, other = (
        next(iter(kr.omniglot_runs(folder, inner_batch_size=2, seed=seed))) for seed in (0, 0, 9)
    )
    np.testing.assert_array_equal(one["order"], same["order"])
    assert (one["order"].numpy() != other["order"].numpy()).any()
    np.testing.assert_array_equal(one["support"][0], other["support"][0])


def test_a_model_is_evaluated_on_them(folder):
    network = keras.Sequential(
        [keras.Input((10, 10, 1)), keras.layers.Flatten(), keras.layers.Dense(WAYS)]
    )
    model = kr.ReptileModel(network)
    model.compile("sgd")
    found = kr.evaluate(model, kr.omniglot_runs(folder, image_size=10, inner_steps=2), verbose=0)
    assert (len(found.accuracies), found.ways, found.shots) == (RUNS, WAYS, 1)


def test_what_is_no_folder_of_runs_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"other has no runs: it must contain folders run01 to r"):
        kr.omniglot_runs(tmp_path / "other")
    labels = folder / "run02" / "class_labels.txt"
    text = labels.read_text()
    for wrong in ("one", text.replace("run02", "run01"), text.replace("run02/test", "/run02/test")):
        labels.write_text(wrong)
        with pytest.raises(ValueError, match=r"Each line of .*labels.txt must have .*as in run02/"):
            kr.omniglot_runs(folder)
    for wrong, received in (
        (text.replace("class01", "class03"), r"3 test images of 2 classes"),
        ("", r"0 test images of 0 classes"),
    ):
        labels.write_text(wrong)
        with pytest.raises(ValueError, match=rf"a test image of each class. Received: {received}"):
            kr.omniglot_runs(folder)
    labels.write_text(text.splitlines()[0])
    with pytest.raises(ValueError, match=r"Received: \(3, 3\) in run01, \(1, 1\) in run02. Unpack"):
        kr.omniglot_runs(folder)
    labels.unlink()
    with pytest.raises(ValueError, match=r"class_labels.txt cannot be read: No such file.* Unpack"):
        kr.omniglot_runs(folder)
    labels.write_text(text)
    (folder / "run01" / "test" / "item02.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"item02.png cannot be read as an image"):
        kr.omniglot_runs(folder)


def test_all_runs_are_read_and_no_other_folders(folder):
    shutil.copytree(folder / "run02", folder / "run02 copy")
    labels = folder / "run01" / "class_labels.txt"
    labels.write_bytes(b"\xef\xbb\xbf" + labels.read_bytes().replace(b"\n", b"\r\n"))
    (element,) = kr.omniglot_runs(folder, image_size=4)
    assert len(element["order"]) == RUNS
    (folder / "run02").rename(folder / "run04")
    text = r"must contain all runs from run01 to run04. Missing: run02, run03. Unpack all_runs"
    with pytest.raises(ValueError, match=text):
        kr.omniglot_runs(folder)


def test_a_folder_that_contains_that_of_the_runs_is_told_from_it(folder, tmp_path):
    inner = tmp_path / "unpacked" / "all_runs"
    for run in ANSWERS:
        shutil.copytree(folder / f"run{run:02d}", inner / f"run{run:02d}")
    with pytest.raises(ValueError, match=r"has no runs: .*Did you mean .*unpacked/all_runs\?"):
        kr.omniglot_runs(tmp_path / "unpacked")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (dict(image_size=0), r"`image_size` must be at least 1"),
        (dict(seed=-1), r"`seed` must not be negative"),
        (dict(inner_steps=-1), r"`inner_steps` must not be negative"),
        (dict(inner_batch_size=0), r"`inner_batch_size` must be at least 1"),
    ],
)
def test_what_is_out_of_range_is_refused(folder, arguments, text):
    with pytest.raises(ValueError, match=text):
        kr.omniglot_runs(folder, **arguments)
