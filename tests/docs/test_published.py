"""The files in docs/results are of the runs that the pages call them."""

import csv
import dataclasses
import json
import re
from pathlib import Path

import pytest
from search_candidates import SEARCHES, images_of, settings_of

import keras_reptile as kr
from keras_reptile.experiments import figures
from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import NOTES, Recipe

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
FOUND = ("omniglot_5way_best", "omniglot_20way_best", "mini_imagenet_fast")
# Fields that decide how a run is tested and watched, not what it trains.
TESTS = {"curve_tasks", "test_tasks", "validation_classes", "validation_tasks"}


def record(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def final_rows(name):
    with open(RESULTS / f"{name}.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["measured"] == "final"]


def in_percent(result):
    return f"{100 * result['accuracy']:.2f} ± {100 * result['confidence_95']:.2f}"


@pytest.mark.parametrize(
    ("run", "settings"),
    [
        ("", dict(seed=0, split_seed=0, task_order="parallel", loss_reduction="sum")),
        ("_serial", dict(seed=0, split_seed=0, task_order="serial", loss_reduction="sum")),
        ("_seed_1", dict(seed=1, split_seed=0, task_order="parallel", loss_reduction="sum")),
        ("_split_1", dict(seed=1, split_seed=1, task_order="parallel", loss_reduction="sum")),
    ],
)
@pytest.mark.parametrize(("file", "shots"), [("1_shot", 1), ("5_shots", 5)])
def test_the_full_runs_are_what_their_flags_make(run, settings, file, shots):
    found = record(f"omniglot_5way{run}_{file}")
    # What was recorded before there was a flag had its default.
    assert {**dict(split_seed=0), **found["settings"]}.items() >= settings.items()
    assert (found["settings"]["shots"], found["meta_iteration"]) == (shots, 100_000)
    assert found["settings"]["validation_classes"] == 0
    assert [(r["tasks"], r["transductive"]) for r in found["results"]] == [
        (10_000, False),
        (10_000, True),
    ]


@pytest.mark.parametrize("run", ["", "_serial", "_seed_1", "_split_1"])
@pytest.mark.parametrize("file", ["1_shot", "5_shots"])
def test_a_full_run_was_evaluated_at_the_settings_that_it_was_trained_with(run, file):
    trained, found = record(f"omniglot_5way{run}"), record(f"omniglot_5way{run}_{file}")
    assert trained["settings"]["meta_iterations"] == 100_000
    differ = {k for k, v in trained["settings"].items() if v != found["settings"].get(k)}
    assert differ <= {"shots", "test_tasks", "jit_compile"}


@pytest.mark.parametrize("file", ["1_shot", "5_shots"])
def test_the_run_with_means_differs_from_the_run_with_sums_in_that_alone(file):
    means, sums = record(f"omniglot_5way_{file}_mean"), record(f"omniglot_5way_{file}")
    differ = {k for k, v in means["settings"].items() if v != sums["settings"].get(k)}
    assert "loss_reduction" in differ
    assert differ <= {"loss_reduction", "jit_compile", *NOTES, *TESTS}
    assert means["settings"]["loss_reduction"] == "mean"
    assert means["meta_iteration"] == sums["meta_iteration"] == 100_000


@pytest.mark.parametrize(("name", "loss_reduction"), [("glyphs", "mean"), ("glyphs_sum", "sum")])
def test_the_glyphs_runs_are_their_recipe_with_another_loss(name, loss_reduction):
    found, recipe = record(name), named.get("glyphs", loss_reduction=loss_reduction)
    settings = dataclasses.asdict(recipe)
    differ = {k for k, v in found["settings"].items() if settings[k] != v}
    assert differ <= {*NOTES}
    assert not found["result"]["transductive"]


def test_the_glyphs_recipe_names_its_accuracy():
    assert in_percent(record("glyphs")["result"]) in named.get("glyphs").expected


@pytest.mark.parametrize(("file", "shots"), [("1_shot", 1), ("5_shots", 5)])
def test_the_20_way_run_is_its_recipe(file, shots):
    trained, found = record("omniglot_20way"), record(f"omniglot_20way_{file}")
    recipe = dataclasses.asdict(named.get("omniglot_20way", validation_classes=0))
    for settings in (trained["settings"], found["settings"]):
        differ = {k for k, v in recipe.items() if settings.get(k, v) != v}
        assert differ <= {"shots", "jit_compile", *NOTES, *TESTS}
    assert found["settings"]["shots"] == shots
    assert found["meta_iteration"] == 200_000
    assert {result["tasks"] for result in found["results"]} == {10_000}


@pytest.mark.parametrize("name", ["omniglot_5way_5000_sum", "omniglot_5way_5000_batches_of_5"])
def test_the_short_runs_take_as_many_images(name):
    found = record(name)
    assert found["meta_iteration"] == 5000
    assert found["settings"]["inner_batch_size"] * found["settings"]["inner_steps"] == 50
    assert {result["tasks"] for result in found["results"]} == {1000}


def unlike(settings, recipe):
    """The fields of a recipe whose values a run's recorded settings do not have."""
    # What was recorded before there was a flag had its default.
    settings = {**dataclasses.asdict(Recipe()), **settings}
    return {k for k, v in dataclasses.asdict(recipe).items() if settings[k] != v}


@pytest.mark.parametrize("name", ["omniglot_5way_fast", "omniglot_5way_fast_1_shot"])
def test_the_fast_run_is_its_recipe(name):
    differ = unlike(record(name)["settings"], named.get("omniglot_5way_fast"))
    assert differ <= {*NOTES, *TESTS}


def test_the_fast_recipe_names_its_accuracy_and_takes_less_than_half_the_time():
    _, transductive = record("omniglot_5way_fast_1_shot")["results"]
    assert in_percent(transductive) in named.get("omniglot_5way_fast").expected
    full, fast = (row["all_meta_iterations_hours"] for row in record("fast_and_full")["recipes"])
    assert fast < full / 2


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("file", ["", "_1_shot"])
def test_a_run_of_a_recipe_that_was_found_is_of_its_recipe(name, file):
    settings = record(f"{name}{file}")["settings"]
    # miniImageNet keeps its validation classes apart.
    fixed = named.get(name).dataset == "mini_imagenet"
    assert unlike(settings, named.get(name)) <= {*NOTES, *TESTS, "manual_dir"}
    assert settings["validation_classes"] == (16 if fixed else 0)


@pytest.mark.parametrize("other", ["earlier", "4000", "75000"])
def test_the_other_20way_runs_differ_in_their_length_alone(other):
    run, found = (record(f"omniglot_20way_best{n}_1_shot") for n in (f"_{other}", ""))
    differ = {k for k, v in run["settings"].items() if found["settings"][k] != v}
    length = found["meta_iteration"] if other == "earlier" else int(other)
    assert differ - {*NOTES, "test_tasks"} == (set() if other == "earlier" else {"meta_iterations"})
    assert run["settings"]["meta_iterations"] == run["meta_iteration"] == length


def test_the_evaluations_in_several_orientations_differ_in_their_number_alone():
    for ways in ("5way", "20way"):
        files = {n: record(f"omniglot_{ways}_validation_{n}_orientations") for n in (1, 4, 8)}
        for number, found in files.items():
            about = (found["orientations"], found["split"], found["classes"])
            assert about == (number, "validation", 100)
            assert found["settings"] == files[1]["settings"]
        one, four = (record(f"omniglot_{ways}_best_{n}") for n in ("1_shot", "4_orientations"))
        assert (four["orientations"], four["split"]) == (4, "test")
        assert four["settings"] == one["settings"]
    photographs = [record(f"mini_imagenet_{n}") for n in ("fast_1_shot", "fast_2_orientations")]
    photographs += [record(f"mini_imagenet_validation_{n}_orientations") for n in (1, 2)]
    assert [found.get("orientations", 1) for found in photographs] == [1, 2, 1, 2]
    assert [found["split"] for found in photographs] == ["test"] * 2 + ["validation"] * 2
    assert all(found["settings"] == photographs[0]["settings"] for found in photographs)
    turned = record("omniglot_5way_orientations")
    assert turned["settings"] == kr.pretrained(turned["model"]).metadata["settings"]
    assert [row["orientations"] for row in turned["rows"]] == [1, 4]


@pytest.mark.parametrize("name", FOUND)
def test_a_recipe_that_was_found_names_the_accuracy_of_its_run(name):
    found = record(f"{name}_1_shot")
    recipe = named.get(name)
    assert all(in_percent(result) in recipe.expected for result in found["results"])
    assert {result["tasks"] for result in found["results"]} == {10_000}
    assert recipe.meta_iterations == found["meta_iteration"]


# At most this part of the images of the paper's run.
PARTS = {
    "omniglot_5way_best": ("omniglot_5way", 0.26),
    "omniglot_20way_best": ("omniglot_20way", 0.032),
    "mini_imagenet_fast": ("mini_imagenet_5way_1shot", 0.04),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_recipe_that_was_found_computes_fewer_images_than_the_papers(name):
    paper, part = PARTS[name]
    found, full = (r.meta_iterations * images_of(r) for r in map(named.get, (name, paper)))
    assert found <= part * full


def test_both_recipes_of_omniglot_have_the_same_training():
    one, other = (dataclasses.asdict(named.get(name)) for name in FOUND[:2])
    differ = {name for name, value in one.items() if other[name] != value}
    assert differ == {"ways", "train_ways", "eval_inner_batch_size", *NOTES}
    assert named.get(FOUND[0]).ways_in_training == named.get(FOUND[1]).ways_in_training == 20


def test_the_run_with_the_settings_of_the_5way_search_is_shorter_than_the_papers_run():
    of_run = record("omniglot_5way_searched_1_shot")
    recipe = Recipe(**of_run["settings"])
    assert of_run["meta_iteration"] == recipe.meta_iterations == 80_000
    full = named.get("omniglot_5way")
    assert recipe.meta_iterations * images_of(recipe) == 0.32 * 100_000 * images_of(full)


def trials(search):
    with open(RESULTS / f"{search.results}.csv", newline="") as file:
        return [*csv.DictReader(file)]


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_recipe_that_was_found_is_a_candidate_of_the_search_that_was_in_the_last_rung(search):
    rows = trials(search)
    last = max(int(row["budget"]) for row in rows)
    finalists = [row["candidate"] for row in rows if int(row["budget"]) == last]
    found = record(search.found)["settings"]
    changes = [search.candidates[name] for name in dict.fromkeys(finalists)]
    assert any(found.items() >= change.items() for change in changes)


def test_the_shorter_run_of_the_paper_on_mini_imagenet_differs_in_its_length_alone():
    settings = record("mini_imagenet_30000")["settings"]
    recipe = named.get("mini_imagenet_5way_1shot")
    assert unlike(settings, recipe) - {*NOTES, *TESTS, "manual_dir"} == {"meta_iterations"}
    assert settings["meta_iterations"] == 30_000
    with open(RESULTS / "mini_imagenet_30000.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [int(row["meta_iteration"]) for row in rows] == [*range(1000, 31_000, 1000)]
    assert [float(rows[n]["meta_step_size"]) for n in (14, 29)] == [0.5, 0]


@pytest.mark.parametrize(("file", "shots", "images"), [("1_shot", 1, 5), ("5_shots", 5, 15)])
def test_the_shorter_run_was_tested_as_the_papers_recipes_are(file, shots, images):
    found = record(f"mini_imagenet_30000_{file}")
    settings, trained = found["settings"], record("mini_imagenet_30000")["settings"]
    of_evaluation = {"shots", "eval_inner_batch_size"}
    assert {k for k, v in settings.items() if trained[k] != v} <= of_evaluation
    assert (settings["shots"], settings["eval_inner_batch_size"]) == (shots, images)
    recipe = named.get(f"mini_imagenet_5way_{shots}shot")
    assert (recipe.shots, recipe.eval_inner_batch_size) == (shots, images)
    assert settings["eval_inner_steps"] == recipe.eval_inner_steps
    about = (found["meta_iteration"], found["checkpoint"], found["split"], found["classes"])
    assert about == (30_000, "last", "test", 20)


@pytest.mark.parametrize("orientations", [1, 4])
@pytest.mark.parametrize("name", ["any", "within_alphabet"])
def test_the_runs_within_an_alphabet_and_without_differ_in_their_tasks_alone(name, orientations):
    ending = "" if orientations == 1 else f"_{orientations}_orientations"
    found = record(f"omniglot_background_{name}{ending}")
    settings = found["settings"]
    assert found["orientations"] == orientations
    assert (settings["dataset_split"], settings["eval_classes"]) == ("background", name)
    assert (settings["ways"], settings["shots"], found["meta_iteration"]) == (20, 1, 16_000)
    other = record("omniglot_background_any")["settings"]
    assert {k for k, v in settings.items() if other[k] != v} <= {"eval_classes"}
    recipe = named.get("omniglot_20way_best")
    assert unlike(settings, recipe) <= {*NOTES, *TESTS, "dataset_split", "eval_classes"}


def test_the_fixed_runs_are_those_of_the_same_training_and_read_as_their_authors_do():
    found = record("omniglot_runs")
    settings = record("omniglot_background_within_alphabet")["settings"]
    assert {k for k, v in found["settings"].items() if settings[k] != v} <= {"train_ways"}
    assert found["meta_iteration"] == 16_000
    assert [row["orientations"] for row in found["rows"]] == [1, 4]
    assert {result["tasks"] for row in found["rows"] for result in row["results"]} == {20}
    # The authors print an error of 38.8 %.
    assert found["baseline_error"] == pytest.approx(0.388, abs=0.001)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_the_trials_of_a_search_are_its_candidates_at_equal_work(search):
    rows = trials(search)
    assert {row["candidate"] for row in rows} == {*search.candidates}
    images = images_of(named.get(search.recipe))
    for row in rows:
        assert row["settings"] == settings_of(search, row["candidate"])
        # The last meta-iteration may not fit into the budget.
        assert 0.99 < int(row["images"]) / (int(row["budget"]) * images) <= 1


@pytest.mark.parametrize("length", [30_000, 39_000])
def test_the_other_fast_runs_are_of_their_lengths(length):
    assert record(f"omniglot_5way_fast_{length}_1_shot")["meta_iteration"] == length


def test_all_runs_of_the_study_are_there():
    assert {row["run"] for row in final_rows("study")} == {*figures.runs_of("study")}


def test_all_curves_of_figure_3_are_there_and_sums_get_better_with_every_gradient():
    found = {row["curve"]: float(row["accuracy"]) for row in final_rows("gradient_combinations")}
    assert {*found} == {*figures.runs_of("gradient_combinations")}
    sums = [found[name] for name in ("g1", "g1_g2", "g1_g2_g3", "g1_g2_g3_g4")]
    assert sums == sorted(sums) and found["g1_g2"] < found["g2"]


@pytest.mark.parametrize("name", ["sinusoid", "sinusoid_fomaml", "sinusoid_maml"])
def test_relu_is_the_better_activation_in_the_trials_at_the_recipes_meta_step_size(name):
    size = named.get(name).meta_step_size
    rows = [
        row
        for row in record("sinusoid_trials")["rows"]
        if (row["recipe"], row["meta_step_size"]) == (name, size)
    ]
    best = min(rows, key=lambda row: row["loss"])
    assert len(rows) == 2 and best["network"] == named.get(name).network == "sine_mlp_relu"


def test_the_recipes_expect_what_the_paper_reports():
    paper = record("paper")
    omniglot, mini_imagenet = paper["omniglot"], paper["mini_imagenet"]
    for name, first in (("omniglot_5way", 0), ("omniglot_20way", 2)):
        for row in ("Reptile", "Reptile, transductive"):
            for number in omniglot[row][first : first + 2]:
                assert number in named.get(name).expected
    for name, place in (("mini_imagenet_5way_1shot", 0), ("mini_imagenet_5way_5shot", 1)):
        inductive, transductive = (
            mini_imagenet[row][place] for row in ("Reptile", "Reptile, transductive")
        )
        assert named.get(name).expected == f"{inductive}, transductive {transductive}"


PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]


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
