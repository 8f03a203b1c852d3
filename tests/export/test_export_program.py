"""bin/export, as a user starts it."""

import json

import numpy as np
import pytest
import tensorflow as tf
import warm
from commands import SHORT, run

import keras_reptile as kr

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a short run in runs/glyphs, and its export."""
    cwd = tmp_path_factory.mktemp("export")
    status, _, err = warm.run("tests/support/train_small.py", *SHORT, cwd=cwd)
    assert status == 0, err
    names = "--class_names=a,b,c,d,e"
    status, out, err = run("export", "--checkpoint=runs/glyphs", "--output=out", names, cwd=cwd)
    assert (status, err) == (0, "")
    assert out == "Exported meta-iteration 4 to out.\n"
    return cwd


def test_the_export_adapts_and_knows_its_run(folder):
    learner = tf.saved_model.load(str(folder / "out"))
    images = np.random.RandomState(0).rand(5, 28, 28, 1).astype(np.float32)
    logits = learner.adapt_and_predict(images, np.arange(5), images, 50, 1e-3)
    assert np.argmax(logits, axis=1).tolist() == [0, 1, 2, 3, 4]
    assert learner.class_names().numpy().tolist() == [b"a", b"b", b"c", b"d", b"e"]
    metadata = json.loads((folder / "out" / "metadata.json").read_text())
    summary = json.loads((folder / "runs" / "glyphs" / "summary.json").read_text())
    assert metadata["result"] == summary["result"]
    assert metadata["settings"] == summary["settings"]
    run_file = json.loads((folder / "runs" / "glyphs" / "run.json").read_text())
    told = kr.datasets.describe("glyphs", 28, 1)
    assert metadata["images"] == summary["images"] == run_file["images"] == told
    assert (metadata["dataset"], metadata["ways"], metadata["shots"]) == ("glyphs", 5, 1)
    assert (metadata["meta_iteration"], metadata["checkpoint"]) == (4, "last")


def test_the_best_checkpoint_is_exported_without_the_accuracy_of_another(folder):
    runs = folder / "runs" / "glyphs"
    best = json.loads((runs / "summary.json").read_text())["best_validation"]
    arguments = ("--checkpoint=runs/glyphs", "--output=best", "--which=best", "--only_model")
    status, _, err = run("export", *arguments, cwd=folder)
    assert status == 0, err
    metadata = kr.pretrained(folder / "best").metadata
    assert metadata["checkpoint"] == "best"
    assert metadata["best_validation"] == best
    assert metadata["meta_iteration"] == best["meta_iteration"]
    assert (metadata["result"] is None) == (best["meta_iteration"] != 4)
    assert {p.name for p in (folder / "best").iterdir()} == {"model.keras", "metadata.json"}


def test_an_earlier_export_is_replaced_only_if_told(folder):
    arguments = ("--checkpoint=runs/glyphs", "--output=again", "--only_model")
    assert run("export", *arguments, cwd=folder)[0] == 0
    status, _, err = run("export", *arguments, cwd=folder)
    assert status == 1
    assert err.startswith("export: ")
    assert err.endswith(
        "again exists already. Choose another path, or replace it: overwrite=True, or "
        "--overwrite.\n"
    )
    assert run("export", *arguments, "--overwrite", cwd=folder)[0] == 0


MISUSES = {
    "no checkpoint named": (["--output=x"], "--checkpoint is missing"),
    "no output named": (["--checkpoint=runs/glyphs"], "--output is missing"),
    "no run": (["--checkpoint=nowhere", "--output=x"], "nowhere has no run"),
    "too few names": (
        ["--checkpoint=runs/glyphs", "--output=x", "--class_names=a,b"],
        "`class_names` needs a different name for each output",
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_ends_in_one_clear_line(name, folder):
    arguments, text = MISUSES[name]
    status, _, err = run("export", *arguments, cwd=folder)
    assert status == 1
    assert err.startswith("export: ")
    assert text in err
    assert len(err.strip().splitlines()) == 1
    assert not (folder / "x").exists()
