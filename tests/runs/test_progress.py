"""What a run shows as it trains."""

import sys

import keras
import pytest

from keras_reptile.runs import progress
from keras_reptile.runs.progress import COLUMNS, Progress, header, row, say

SINES = {"loss": 1.0, "loss_before": 2.0, "loss_after": 1.0, "val_loss_after": 1.5, "val_loss": 1.5}
ALL = dict.fromkeys([*COLUMNS, "loss", "val_confidence_95", "test_confidence_95"], 0.98765)


class Model:
    meta_iteration = 30


def epochs(verbose, *logs, total=60):
    callback = Progress(total, verbose)
    callback.set_model(Model())
    callback.set_params({"steps": 30})
    for found in logs:
        callback.on_epoch_begin(0)
        callback.on_train_batch_end(14)
        callback.on_epoch_end(0, found)
    return callback


@pytest.mark.parametrize("verbose", [1, 2])
def test_an_epoch_is_a_row_under_one_header(verbose, capsys):
    epochs(verbose, SINES, SINES)
    names, first, second = capsys.readouterr().out.splitlines()
    assert names.split() == [
        "meta-iteration",
        "seconds",
        "loss_before",
        "loss_after",
        "val_loss_after",
    ]
    iterations, seconds, *numbers = first.split()
    assert (iterations, numbers) == ("30/60", ["2.0000", "1.0000", "1.5000"])
    assert float(seconds) >= 0 and len(first) == len(second) == len(names)


def test_a_row_has_80_columns_whatever_there_is_to_show(capsys):
    epochs(1, ALL, total=100_000)
    names, numbers = capsys.readouterr().out.splitlines()
    assert "test_accuracy" in names and len(names) == len(numbers) <= 80
    assert len(header(list(COLUMNS[:4]))) <= 80
    assert len(row(100_000, 100_000, 99999.9, ["accuracy"], ALL)) == len(header(["accuracy"]))


def test_nothing_is_shown_unless_it_is_asked_for(capsys):
    epochs(0, SINES)
    assert capsys.readouterr().out == ""


def test_a_terminal_shows_how_far_the_epoch_is_and_then_the_row_alone(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    epochs(1, SINES)
    live, *rows = capsys.readouterr().out.split("\n")
    assert live.startswith("\r45/60, checkpoint in 0 s")
    # Blanks over what was there.
    blank, names = live.split("\r")[-2:]
    assert blank == " " * len("45/60, checkpoint in 0 s") and names.split()[0] == "meta-iteration"
    assert rows[0].split()[0] == "30/60"


def test_a_sentence_is_broken_between_words_in_a_terminal_only(capsys, monkeypatch):
    sentence = "Tasks run side by side on 2 cores (--task_parallelism), not compiled by XLA at all."
    say(1, sentence)
    assert capsys.readouterr().out == sentence + "\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    say(1, sentence)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and " ".join(lines) == sentence
    say(0, sentence)
    assert capsys.readouterr().out == ""


def test_keras_gives_what_it_takes(capsys):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["accuracy"])
    model.meta_iteration = 2
    model.fit(keras.ops.ones((2, 1)), keras.ops.ones((2, 1)), callbacks=[Progress(2, 1)], verbose=0)
    names, numbers = capsys.readouterr().out.splitlines()
    assert names == progress.header(["accuracy"]) and numbers.split()[0] == "2/2"
