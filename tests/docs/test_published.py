"""Every accuracy in the tables of our full runs is that of its file."""

import csv
import dataclasses
import json
import re
from pathlib import Path

import pytest

from keras_reptile.experiments import figures
from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import NOTES

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
RECORDS = ("omniglot_5way_1_shot", "omniglot_5way_5_shots")


def record(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def in_percent(result):
    return f"{100 * result['accuracy']:.2f} ± {100 * result['confidence_95']:.2f}"


def cells(run):
    """A run's files of 1 and 5 shots, and what they say inductively and transductively."""
    files = [record(f"{run}_{shots}") for shots in ("1_shot", "5_shots")]
    return files, *zip(*(map(in_percent, file["results"]) for file in files), strict=True)


def milliseconds(found):
    return f"{found:.1f} ms" if found < 100 else f"{found:,.0f} ms"


def start_up(found):
    seconds = found["start_up"]["seconds"]
    assert len(seconds) == 3
    return f"{min(seconds):.1f} s"


@pytest.mark.parametrize(
    ("name", "heading"), [("speed", "## Speed"), ("speed_xeon", "### The same on a Xeon")]
)
def test_the_speeds_are_those_of_the_file(name, heading):
    whole, found = (ROOT / "docs/results.md").read_text(), record(name)
    _, after = whole.split(f"\n{heading}\n")
    page = after.split("\n### ")[0]
    for step in found["meta_step"]["recipes"]:
        (row,) = [r for r in page.splitlines() if f"`{step['recipe']}`" in r and "GFLOP |" in r]
        assert milliseconds(step["meta_step_ms"]) in row
        assert milliseconds(step["meta_step_in_fit_ms"]) in row
        share, rate = step["fraction_of_matrix_product_rate"], step["matrix_product_gflops"]
        assert f"{share:.0%} of {rate:.0f}".replace("%", " %") in row
    for row in found["compare"]["rows"]:
        times = (milliseconds(row[key]) for key in ("meta_step_ms", "meta_step_ms_fastest"))
        assert f"| {' | '.join(times)} | {row['first_step_seconds']:.1f} s |" in page
    for each in found["evaluation"]["ms_per_task"].values():
        assert f"| {milliseconds(each)} |" in page
    assert f"and back, the fastest of three | {start_up(found)} |" in page


def test_the_speeds_on_other_pages_are_those_of_the_file():
    found = record("speed")
    five, twenty, _ = found["meta_step"]["recipes"]
    bare, in_fit, of_twenty = map(
        milliseconds,
        (five["meta_step_ms"], five["meta_step_in_fit_ms"], twenty["meta_step_in_fit_ms"]),
    )
    readme = (ROOT / "README.md").read_text()
    assert f"| {bare}, {in_fit} in `fit` |" in readme
    assert f"and back, the fastest of three | {start_up(found)} |" in readme
    omniglot = " ".join((ROOT / "docs/omniglot.md").read_text().split())
    assert (
        f"In `fit` a meta-iteration takes {in_fit} (5 ways) and {of_twenty} (20 ways)" in omniglot
    )
    assert f"{60 * five['all_meta_iterations_hours']:.0f} minutes for the 5-way run" in omniglot
    assert 6 < twenty["all_meta_iterations_hours"] < 7 and "under seven hours" in omniglot


def test_the_speeds_on_a_gpu_are_those_of_the_file():
    page = (ROOT / "docs/devices.md").read_text()
    file = record("h200")
    for step, other in zip(file["recipes"], file["kernels_tried_out"], strict=True):
        time, tried = (milliseconds(row["meta_step_in_fit_ms"]) for row in (step, other))
        first = f"{step['first_step_seconds']:.0f} s"
        minutes = f"{60 * step['all_meta_iterations_hours']:.0f} minutes"
        assert " | ".join([f"| `{step['recipe']}`", time, first, minutes, tried]) in page
    time = milliseconds(file["recipes"][0]["meta_step_in_fit_ms"])
    assert f"meta-step takes {time}" in (ROOT / "README.md").read_text()
    assert f"came to {in_percent(file['omniglot_5way_fast'])} % (transductive" in page


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("page", ["README.md", "docs/omniglot.md"])
def test_accuracies_are_those_of_the_file(name, page):
    lines = (ROOT / page).read_text().splitlines()
    inductive, transductive = record(name)["results"]
    rows = {"keras_reptile": inductive, "keras_reptile, transductive": transductive}
    for label, result in rows.items():
        (row,) = [line for line in lines if line.startswith(f"| {label} |")]
        assert in_percent(result) in row
        assert (result["tasks"], result["transductive"]) == (10_000, "trans" in label)


@pytest.mark.parametrize(
    ("run", "flags", "settings"),
    [
        ("serial", "--task_order=serial", dict(seed=0, split_seed=0, task_order="serial")),
        ("seed_1", "--seed=1", dict(seed=1, split_seed=0, task_order="parallel")),
        ("split_1", "--seed=1 --split_seed=1", dict(seed=1, split_seed=1, task_order="parallel")),
    ],
)
def test_the_other_full_runs_have_the_accuracies_of_their_files(run, flags, settings):
    page = (ROOT / "docs/omniglot.md").read_text()
    files, inductive, transductive = cells(f"omniglot_5way_{run}")
    assert f"| with `{flags}` | {' | '.join(inductive)} |" in page
    assert f"| with `{flags}`, transductive | {' | '.join(transductive)} |" in page
    for file in files:
        # What was recorded before there was a flag had its default.
        assert {**dict(split_seed=0), **file["settings"]}.items() >= settings.items()
        assert file["meta_iteration"] == 100_000
        assert {result["tasks"] for result in file["results"]} == {10_000}


def test_the_interval_over_classes_is_that_of_its_file():
    page, found = (ROOT / "docs/omniglot.md").read_text(), record("other_test_classes")
    half = {
        mode: f"± {100 * found[mode]['confidence_95_over_classes']:.2f}"
        for mode in ("inductive", "transductive")
    }
    assert f"{half['inductive']}, transductively {half['transductive']} ([file]" in page


@pytest.mark.parametrize("name", ["omniglot_5way_5000_sum", "omniglot_5way_5000_batches_of_5"])
def test_accuracies_of_short_runs_are_those_of_their_files(name):
    found = record(name)
    (row,) = [
        r for r in (ROOT / "docs/omniglot.md").read_text().splitlines() if f"{name}.json" in r
    ]
    assert " | ".join(map(in_percent, found["results"])) in row
    assert found["meta_iteration"] == 5000
    assert found["settings"]["inner_batch_size"] * found["settings"]["inner_steps"] == 50
    assert {result["tasks"] for result in found["results"]} == {1000}


def test_the_20_way_run_is_marked_as_a_short_one_and_has_the_accuracies_of_its_files():
    files, inductive, transductive = cells("omniglot_20way_10000")
    page = (ROOT / "docs/omniglot.md").read_text()
    assert f"| 10,000 meta-iterations | {' | '.join(inductive)} |" in page
    assert f"| 10,000, transductive | {' | '.join(transductive)} |" in page
    for file, shots in zip(files, (1, 5), strict=True):
        settings = file["settings"]
        assert (settings["ways"], settings["shots"], file["meta_iteration"]) == (20, shots, 10_000)
        assert settings["meta_iterations"] == 10_000
        assert {result["tasks"] for result in file["results"]} == {1000}


def test_the_study_has_the_accuracies_of_its_files():
    page = (ROOT / "docs/study.md").read_text()
    with open(RESULTS / "study.csv", newline="") as file:
        final = [row for row in csv.DictReader(file) if row["measured"] == "final"]
    assert f"{len(final)} of the {len(figures.runs_of('study'))} runs" in page
    results = page.split("## What there is of it")[1].splitlines()
    for row in final:
        found = {name: float(row[name]) for name in ("accuracy", "confidence_95")}
        line = next(text for text in results if text.startswith(f"| `{row['curve']}` |"))
        assert line.split(" | ")[1 + int(row["seed"])] == in_percent(found)
    inductive, transductive = map(in_percent, record("omniglot_5way_40000_rate_5e-3")["results"])
    assert f"{transductive} transductive and {inductive} inductive" in page


def test_the_fast_run_is_its_recipe_and_has_the_accuracies_and_seconds_of_its_files():
    page = (ROOT / "docs/omniglot.md").read_text()
    found, recipe = record("omniglot_5way_fast_1_shot"), named.get("omniglot_5way_fast")
    inductive, transductive = map(in_percent, found["results"])
    assert f"| `omniglot_5way_fast` | {inductive} | {transductive} |" in page
    assert transductive in recipe.expected
    for length in (30_000, 39_000):
        other = record(f"omniglot_5way_fast_{length}_1_shot")
        assert " and ".join(map(in_percent, other["results"])) in page
        assert other["meta_iteration"] == length
    for run in (found, record("omniglot_5way_fast")):
        differ = {k for k, v in dataclasses.asdict(recipe).items() if run["settings"][k] != v}
        assert differ <= {
            *NOTES,
            "curve_tasks",
            "test_tasks",
            "validation_classes",
            "validation_tasks",
        }
    costs = {row["recipe"]: row for row in record("fast_and_full")["recipes"]}
    fast, full = (
        costs[name]["meta_step_in_fit_ms"] / 1000 * named.get(name).meta_iterations
        for name in ("omniglot_5way_fast", "omniglot_5way")
    )
    assert f"{fast:,.0f} s for all" in page.replace("\n", " ") and f"{full:,.0f} s" in page
    assert f"{100 * fast / full:.0f} %" in page
    assert f"took {record('omniglot_5way_fast')['seconds']:,.0f} s with" in page


@pytest.mark.parametrize("name", RECORDS)
def test_they_are_of_the_whole_run_at_the_papers_settings(name):
    found, run = record(name), json.loads((RESULTS / "omniglot_5way.json").read_text())
    assert found["meta_iteration"] == run["settings"]["meta_iterations"] == 100_000
    assert found["settings"]["validation_classes"] == 0
    differ = {k for k in run["settings"] if run["settings"][k] != found["settings"].get(k)}
    # The run had no `loss_reduction` yet: docs/omniglot.md says what was done.
    assert differ <= {"shots", "test_tasks", "jit_compile"}
    assert found["settings"]["loss_reduction"] == "sum"


PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]


def anchors(page):
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_heading_that_a_page_links_to_is_there():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
            other = page.parent / target if target else page
            assert anchor in anchors(other), f"{page.name}: {target}#{anchor}"


def test_every_file_that_a_page_shows_is_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
