"""A small sample of the attacks of benchmarks/attacks.py, and attacks that must be noticed."""

import json
import random
from collections import Counter

import pytest
from attacking import ATTACKS, data, mutations
from attacking.verdicts import Verdicts


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return mutations.State(tmp_path_factory.mktemp("state"))


@pytest.mark.slow
@pytest.mark.parametrize("name", mutations.FILES)
def test_mutated_state_files_are_refused_or_as_they_may_be(name, state, monkeypatch):
    monkeypatch.setattr(mutations, "State", lambda folder: state)
    monkeypatch.setattr(mutations, "FILES", {name: mutations.FILES[name]})
    verdicts = mutations.attack(60, None, seed=1)
    assert verdicts.failures == []
    assert verdicts.counts.total() == 60 and verdicts.counts["refused"] > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("log.csv", lambda rows: [rows[0], rows[2], rows[1]], "meta_iteration falls"),
        ("log.csv", lambda rows: [rows[0] + ",x", *rows[1:]], "do not match its header"),
        ("log.csv", lambda rows: [*rows, rows[-1] + ",1"], "do not match its header"),
        ("log.csv", lambda rows: [rows[0], rows[1].replace("1,", "1_0,", 1)], "is not a whole"),
        ("a sweep's CSV", lambda rows: [rows[0], rows[1].replace(",0.5,", ",1.5,")], "not in 0 to"),
        (
            "a sweep's CSV",
            lambda rows: [rows[0], rows[1].replace(",9,", f",{'9' * 400},")],
            "whole",
        ),
        ("a sweep's CSV", lambda rows: [rows[0], rows[1].replace("curve", "both")], "both"),
    ],
)
def test_values_that_no_run_writes_are_refused(file, change, words, state):
    path_of, read, is_right, _ = mutations.FILES[file]
    path = path_of(state)
    content, before = path.read_text(), read(state)
    path.write_text("\n".join(change(content.splitlines())) + "\n")
    try:
        verdict, about = mutations.verdict_of(read, state, before, is_right)
        assert verdict == "refused" and words in about
    finally:
        path.write_text(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "place", "value"),
    [
        ("summary.json", ("result", "accuracy"), 1.5),
        ("summary.json", ("result", "accuracy"), 10**400),
        ("summary.json", ("result", "accuracy"), True),
        ("summary.json", ("result", "tasks"), 2.5),
        ("summary.json", ("seconds",), -1),
        ("metadata.json", ("trained_on_bytes",), "false"),
    ],
)
def test_values_of_another_kind_are_refused(file, place, value, state):
    path_of, read, is_right, _ = mutations.FILES[file]
    path = path_of(state)
    content, before = path.read_text(), read(state)
    tree = holder = json.loads(content)
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    path.write_text(json.dumps(tree))
    try:
        assert mutations.verdict_of(read, state, before, is_right)[0] == "refused"
    finally:
        path.write_text(content)


def test_a_reader_that_accepts_anything_or_fails_is_noticed(tmp_path):
    def broken(state):
        raise KeyError("a")

    right = lambda before, after: False  # noqa: E731
    assert mutations.verdict_of(broken, None, 1, right)[0] == "traceback"
    assert mutations.verdict_of(lambda state: 2, None, 1, right)[0] == "wrong"
    verdicts = Verdicts.none()
    verdicts.add("wrong", "a")
    verdicts.add("refused")
    assert verdicts.failures == ["wrong: a"] and verdicts.counts == Counter(wrong=1, refused=1)


def test_mutations_differ_from_what_they_mutate():
    content = b'{"a": [1, 2], "b": {"c": "x"}}'
    found = [*mutations.mutations(content, "json", 200, random.Random(0))]
    assert content not in found and len({*found}) > 100


@pytest.mark.slow
def test_small_files_that_inflate_are_refused(tmp_path):
    verdicts = data.zip_bombs(3, tmp_path)
    assert verdicts.counts == {"refused": 3}


@pytest.mark.slow
def test_damaged_records_are_named_or_read_as_they_were(tmp_path):
    verdicts = data.tfrecords(5, tmp_path)
    assert verdicts.failures == [] and verdicts.counts.total() == 5


def test_there_are_50_kills():
    kills = ("train", "evaluate", "export", "sweep", "workers")
    assert sum(ATTACKS[name].number for name in kills) == 50
