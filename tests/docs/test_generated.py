"""The numbers on the pages are those of the files in docs/results."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import generate
import pytest
import warm
from tables import full_runs, words

ROOT = Path(__file__).resolve().parents[2]
PAGES = generate.pages()
RESULTS = ROOT / "docs" / "results"


def run(root, *flags):
    (ended,) = warm.run_together([(root / "docs" / "generate.py", *flags)], root)
    return ended


@pytest.fixture
def copy(tmp_path):
    """The pages, their generator and the files that it reads, to change."""
    ignored = shutil.ignore_patterns("*.png", "__pycache__")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=ignored)
    of_package = (f"keras_reptile/{name}" for name in ("pretrained_models", "programs", "recipes"))
    for folder in ("benchmarks", "bin", *of_package):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def change(copy, name):
    """Another accuracy in a file of results."""
    path = copy / "docs" / "results" / f"{name}.json"
    content = json.loads(path.read_text())
    content["results"][0]["accuracy"] = 0.12345
    path.write_text(json.dumps(content))


@pytest.mark.process
def test_no_page_is_stale():
    ended = run(ROOT, "--check")
    assert ended.status == 0, ended.out


@pytest.mark.process
def test_a_stale_table_is_named_and_nothing_is_written(copy):
    change(copy, "omniglot_5way_5000_batches_of_5")
    before = (copy / "docs" / "experiments" / "omniglot.md").read_text()
    ended = run(copy, "--check")
    assert ended.status == 1
    assert ended.out == "docs/experiments/omniglot.md: table omniglot_5000 is stale\n"
    assert "python docs/generate.py" in ended.err
    assert (copy / "docs" / "experiments" / "omniglot.md").read_text() == before


@pytest.mark.process
def test_the_pages_are_written_with_what_the_files_say(copy):
    change(copy, "omniglot_5way_1_shot")
    ended = run(copy)
    assert ended.status == 0 and "README.md: table headline is new" in ended.out
    assert "| keras_reptile | 12.35 ± " in (copy / "README.md").read_text()
    assert run(copy, "--check").status == 0


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table: growth -->", "README.md: unpaired marker <!-- table: growth -->. Close each"),
        ("<!-- end -->", "README.md: unpaired marker <!-- end -->"),
        ("<!-- table: no --> <!-- end -->", "README.md: there is no table 'no' in docs/tables"),
    ],
)
def test_a_wrong_marker_is_refused(copy, text, message):
    page = copy / "README.md"
    page.write_text(f"{page.read_text()}\n{text}\n")
    ended = run(copy, "--check")
    assert ended.status == 1 and message in ended.err


def test_each_table_stands_on_one_page_and_each_value_on_some():
    found = Counter(m[:2] for page in PAGES for m in generate.MARKED.findall(page.read_text()))
    assert {name for kind, name in found if kind == "table"} == {*generate.TABLES}
    assert {name for kind, name in found if kind == "value"} == {*generate.VALUES}
    assert {number for (kind, _), number in found.items() if kind == "table"} == {1}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_measured_number_stands_outside_of_what_is_generated(page):
    by_hand = generate.MARKED.sub("", page.read_text())
    assert re.findall(r".*\d ± .*|.*\d\.\d+ (?:ms|s|%)\b.*", by_hand) == []


def test_each_file_of_results_is_linked_from_a_page():
    text = "\n".join(page.read_text() for page in PAGES)
    missing = [p.name for p in sorted(RESULTS.iterdir()) if f"results/{p.name})" not in text]
    assert missing == []


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_each_file_says_where_its_numbers_come_from(path):
    assert {"command", "what"} & json.loads(path.read_text()).keys()


def test_numbers_are_written_alike():
    result = {"accuracy": 0.95064, "confidence_95": 0.001949}
    assert words.accuracy(result) == "95.06 ± 0.19"
    assert words.accuracy(result, 1) == "95.1 ± 0.2"
    assert [words.milliseconds(ms) for ms in (3.54, 99.94, 610.4, 1602.7)] == [
        "3.5 ms",
        "99.9 ms",
        "610 ms",
        "1,603 ms",
    ]
    assert [words.duration(s) for s in (41, 354, 3300, 60_000)] == [
        "41 seconds",
        "5.9 minutes",
        "55 minutes",
        "17 hours",
    ]
    assert [words.two_digits(x) for x in (0.0111, 7.42, 127.9, 3187)] == [
        "0.011",
        "7.4",
        "130",
        "3,200",
    ]
    assert words.table(["a", ""], [["1", ""]]) == "| a | |\n| --- | --- |\n| 1 | |"


def test_a_table_with_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"All rows must have 2 cells\. Received: .*'lonely'"):
        words.table(["a", "b"], [["lonely"]])


@pytest.mark.parametrize(
    ("percent", "said"),
    [(97.534, "0.08 below"), (97.61, "within"), (97.79, "within"), (97.8, "0.01 above")],
)
def test_a_cell_is_compared_with_the_range_of_the_re_runs(percent, said):
    assert full_runs.beside(percent, [97.61, 97.79]) == said
