"""The programs in bin/, as a user starts them."""

import json
import re
import shutil

import pytest
import warm
from commands import SHORT, SHORTEST, run
from made_images import TinyShapes, class_folders

pytestmark = pytest.mark.process

# Compiling would take longer than what there is to see.
ENDLESS = ["--meta_iterations=100000", "--checkpoint_every=2", "--jit_compile=false"]


def disturbed(moment, program, *flags, cwd):
    """What became of a program at a moment, see `disturbed.py`."""
    return warm.run("tests/support/disturbed.py", json.dumps(moment), program, *flags, cwd=cwd)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run in the default place, and what it printed."""
    cwd = tmp_path_factory.mktemp("finished")
    status, out, err = run("train", *SHORTEST, cwd=cwd)
    assert status == 0, err
    return cwd, out


@pytest.mark.slow
def test_training_ends_with_accuracy_interval_and_where_things_are(finished):
    cwd, out = finished
    assert "val_accuracy" in out
    # Before the table: what was read, and how it is computed.
    assert max(map(len, out.splitlines()[3:])) <= 80
    tail = out.strip().splitlines()[-5:]
    assert tail[0].startswith("Trained 4 meta-iterations in ")
    assert tail[1].startswith("Test accuracy ")
    assert " % ± " in tail[1]
    assert "5-way 1-shot, inductive, 2 tasks" in tail[1]
    files = "checkpoints/, log.csv, curve.png, tasks.png, summary.json"
    assert tail[2] == f"In runs/glyphs: {files}."
    assert tail[3:] == [
        "Evaluate: bin/evaluate --checkpoint=runs/glyphs --both",
        "Export:   bin/export --checkpoint=runs/glyphs --output=exported/glyphs",
    ]
    found = {p.name for p in (cwd / "runs" / "glyphs").iterdir()}
    assert found == {
        "checkpoints",
        "tensorboard",
        "log.csv",
        "curve.png",
        "tasks.png",
        "summary.json",
        "run.json",
        "classes.json",
    }


@pytest.mark.slow
def test_evaluation_ends_with_a_line_of_json(finished):
    cwd, _ = finished
    arguments = ("--checkpoint=runs/glyphs", "--shots=2", "--transductive", "--tasks=5")
    status, out, err = run("evaluate", *arguments, cwd=cwd)
    assert status == 0, err
    result = json.loads(out.strip().splitlines()[-1])
    assert set(result) == {
        "accuracy",
        "confidence_95",
        "tasks",
        "non_finite_tasks",
        "ways",
        "shots",
        "transductive",
        "orientations",
    }
    assert (result["tasks"], result["ways"], result["shots"]) == (5, 5, 2)
    assert result["transductive"] is True


@pytest.mark.slow
def test_a_single_task_ends_without_an_interval(finished, tmp_path):
    cwd = shutil.copytree(finished[0], tmp_path / "copy")
    status, out, err = run("evaluate", "--checkpoint=runs/glyphs", "--tasks=1", cwd=cwd)
    assert status == 0, err
    assert json.loads(out.strip().splitlines()[-1])["confidence_95"] is None
    assert '"confidence_95": null' in out
    # Nor does anything tell the time of a run without its log.
    (cwd / "runs" / "glyphs" / "log.csv").unlink()
    status, out, err = run("train", *SHORTEST, "--test_tasks=1", cwd=cwd)
    assert status == 0, err
    trained, tested = out.strip().splitlines()[-5:-3]
    assert trained == "Trained 4 meta-iterations."
    assert re.fullmatch(r"Test accuracy [\d.]+ % \(5-way 1-shot, inductive, 1 task\)\.", tested)


@pytest.mark.slow
def test_both_ways_of_predicting_end_with_a_line_each(finished):
    cwd, _ = finished
    arguments = ("--checkpoint=runs/glyphs", "--both", "--tasks=5", "--record=found/both.json")
    status, out, err = run("evaluate", *arguments, cwd=cwd)
    assert status == 0, err
    first, second = (json.loads(line) for line in out.strip().splitlines()[-2:])
    record = json.loads((cwd / "found" / "both.json").read_text())
    assert record["results"] == [first, second]
    assert record["orientations"] == 1
    assert record["meta_iteration"] == record["settings"]["meta_iterations"]
    assert {"versions", "machine", "command", "seconds"} <= set(record)
    assert (first["transductive"], second["transductive"]) == (False, True)
    assert first["tasks"] == second["tasks"] == 5
    arguments = ("--checkpoint=runs/glyphs", "--both", "--transductive")
    status, _, err = run("evaluate", *arguments, cwd=cwd)
    assert status == 1
    assert err == (
        "evaluate: `both` evaluates inductively and transductively. Received with it: "
        "transductive=True. Give one of the two.\n"
    )


@pytest.mark.slow
def test_an_evaluation_in_four_orientations_says_so_in_its_record(finished):
    cwd, _ = finished
    arguments = ("--checkpoint=runs/glyphs", "--orientations=4", "--tasks=5")
    status, out, err = run("evaluate", *arguments, "--record=four.json", cwd=cwd)
    assert status == 0, err
    record = json.loads((cwd / "four.json").read_text())
    assert record["orientations"] == 4
    assert record["results"] == [json.loads(out.strip().splitlines()[-1])]
    status, _, err = run("evaluate", "--checkpoint=runs/glyphs", "--orientations=3", cwd=cwd)
    assert (status, err) == (
        1,
        "evaluate: `orientations` must be one of (1, 2, 4, 8). Received: orientations=3.\n",
    )


@pytest.mark.slow
def test_a_record_that_cannot_be_written_is_refused_before_the_work(finished):
    cwd, _ = finished
    status, out, err = run("evaluate", "--checkpoint=runs/glyphs", "--record=runs", cwd=cwd)
    assert (status, out) == (1, "")
    assert err.startswith("evaluate: runs cannot be written: Is a directory.")


@pytest.mark.slow
def test_a_folder_of_images_trains_and_is_measured(tmp_path):
    counts = {name: 12 for name in "abcdefghijkl"} | {"small": 1}
    class_folders(tmp_path / "My images", counts)
    status, out, err = run(
        "train", "--image_dir=My images", "--test_classes=7", *SHORTEST, cwd=tmp_path
    )
    assert status == 0, err
    assert "small (1)." in err
    assert "In runs/folder_My_images: " in out
    arguments = ("--checkpoint=../runs/folder_My_images", "--shots=3", "--tasks=2")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    status, out, err = run("evaluate", *arguments, cwd=elsewhere)
    assert status == 0, err
    assert json.loads(out.strip().splitlines()[-1])["shots"] == 3


@pytest.mark.slow
def test_a_set_of_tfds_trains_in_colour_with_the_other_network(tmp_path):
    TinyShapes(data_dir=tmp_path / "data").download_and_prepare()
    arguments = [
        "--dataset=tfds:tiny_shapes",
        "--data_dir=data",
        "--channels=3",
        "--image_size=16",
        "--ways=2",
        "--train_shots=3",
        "--test_classes=4",
    ]
    # Without a test: its pictures in colour take most of the time, see test_task_pictures.py.
    flags = ("--network=mini_imagenet_convnet", "--test_tasks=0")
    status, out, err = run("train", *arguments, *SHORTEST, *flags, cwd=tmp_path)
    assert status == 0, err
    assert "In runs/tfds_tiny_shapes: " in out
    settings = json.loads((tmp_path / "runs" / "tfds_tiny_shapes" / "run.json").read_text())
    assert settings["settings"]["network"] == "mini_imagenet_convnet"


@pytest.mark.slow
def test_sine_waves_end_with_their_squared_error_and_a_picture(tmp_path):
    short = ["--meta_iterations=4", "--checkpoint_every=2", "--validation_tasks=2"]
    status, out, err = run("train", "--dataset=sinusoid", *short, "--test_tasks=3", cwd=tmp_path)
    assert status == 0, err
    tail = out.strip().splitlines()[-4:]
    assert tail[0].startswith("Test loss ")
    assert tail[0].endswith("(mean squared error after 32 steps on 10 points, 3 tasks).")
    assert "In runs/sinusoid: " in tail[1]
    assert " predictions.png," in tail[1]
    assert (tmp_path / "runs" / "sinusoid" / "predictions.png").exists()
    arguments = ("--checkpoint=runs/sinusoid", "--which=best", "--tasks=2")
    status, out, err = run("evaluate", *arguments, cwd=tmp_path)
    assert status == 0, err
    result = json.loads(out.strip().splitlines()[-1])
    assert set(result) == {
        "loss",
        "confidence_95",
        "tasks",
        "non_finite_tasks",
        "shots",
        "inner_steps",
    }


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    flags = (*SHORTEST, *ENDLESS)
    status, _, err = disturbed(["SIGINT", "step", 3], "train", *flags, cwd=tmp_path)
    assert status == 130
    first, *_, last = err.strip().splitlines()
    assert first.startswith("SIGINT: stopping after this meta-iteration, and")
    assert last == "train: stopped and saved in runs/glyphs. The same command resumes from there."
    checkpoints = tmp_path / "runs" / "glyphs" / "checkpoints"
    assert (checkpoints / "iteration-000000003.keras").exists()
    assert list(tmp_path.rglob(".partial*")) == []


# Two curves in seconds.
SWEEP = [
    "--figure=gradient_combinations",
    "--dataset=glyphs",
    "--network=small_network:build",
    "--only=g1,g2",
    "--inner_batch_size=5",
    "--eval_inner_batch_size=5",
    "--eval_inner_steps=2",
    "--curve_tasks=2",
    "--test_tasks=2",
]


@pytest.mark.slow
def test_a_sweep_ends_with_accuracies_and_where_things_are(tmp_path):
    status, out, err = disturbed([], "sweep", *SWEEP, "--meta_iterations=2", cwd=tmp_path)
    assert status == 0, err
    g1, g2, done, where = out.strip().splitlines()[-4:]
    assert g1.startswith("g1: ")
    assert g2.startswith("g2: ")
    assert done.startswith("2 runs done, ")
    name = "gradient_combinations"
    assert where == f"In runs/{name}: {name}.csv, {name}.png, runs/."
    found = {p.name for p in (tmp_path / "runs" / name).iterdir()}
    assert found == {f"{name}.csv", f"{name}.png", "runs"}


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ctrl_c_says_how(tmp_path):
    arguments = (*SWEEP, *ENDLESS)
    status, _, err = disturbed(["kill", "step", 3], "sweep", *arguments, cwd=tmp_path)
    assert status == -9, err
    # Of Slurm, before the time is over.
    status, out, err = disturbed(["SIGUSR1", "step", 1], "sweep", *arguments, cwd=tmp_path)
    assert status == 130
    assert "Resuming at meta-iteration 2 in runs/gradient_combinations/runs/g1" in out
    assert err.strip().splitlines()[-1] == (
        "sweep: stopped and saved in runs/gradient_combinations. "
        "The same command resumes from there."
    )
    csv = (tmp_path / "runs" / "gradient_combinations" / "gradient_combinations.csv").read_text()
    assert csv.splitlines()[1].startswith("g1,g1,glyphs,5,5,reptile,")


@pytest.mark.slow
def test_the_runs_of_a_figure_can_be_listed(tmp_path):
    status, out, _ = run(
        "sweep", "--figure=tail_overlap", "--only=*shared_k8*", "--list", cwd=tmp_path
    )
    assert status == 0
    assert out.splitlines()[0] == (
        "fomaml_shared_k8_b25_e0.25: fomaml, 8 steps of 25 images, cycling, tail_shots=0, "
        "meta_step_size=0.25; curve=fomaml_shared, panels=ac"
    )
    assert len(out.splitlines()) == 3
    assert list(tmp_path.iterdir()) == []


MISUSES = {
    "an unknown flag": ("train", ["--colour=red"], 2, "Unknown command line flag 'colour'"),
    "an argument": (
        "train",
        ["omniglot"],
        2,
        "only flags are accepted, as --name=value. Received: omniglot",
    ),
    "an unknown data set": (
        "train",
        ["--dataset=nope"],
        1,
        "['folder', 'glyphs', 'mini_imagenet', ",
    ),
    "an unknown recipe": ("train", ["--recipe=nope"], 1, "`recipe` must be one of ["),
    "a number that is none": ("train", ["--ways=five"], 2, "--ways=five"),
    "too many ways": ("train", ["--ways=1000"], 1, "ways=1000, with 500 classes. Lower `ways`"),
    "too many shots": ("train", ["--shots=20"], 1, "shots=20, queries=1, with 20 images"),
    "no data": (
        "train",
        ["--dataset=omniglot", "--data_dir=no/such/folder"],
        1,
        "data_dir='no/such/folder' is not a directory",
    ),
    "no folder": ("train", ["--image_dir=no/images"], 1, "image_dir='no/images' is not a dir"),
    "a folder for other data": (
        "train",
        ["--dataset=glyphs", "--image_dir=x"],
        1,
        "`image_dir` is for dataset='folder' only",
    ),
    "images for sine waves": (
        "train",
        ["--dataset=sinusoid", "--image_size=28"],
        1,
        "do not use `image_size`",
    ),
    "a directory for sine waves": (
        "train",
        ["--dataset=sinusoid", "--data_dir=."],
        1,
        "Sine waves are read from no directory. Received: data_dir='.'",
    ),
    "a directory for glyphs": (
        "train",
        ["--data_dir=no/such/folder"],
        1,
        "Glyphs are read from no directory. Received: data_dir='no/such/folder'. Leave `data_dir`",
    ),
    "a directory of TFDS for images": (
        "train",
        ["--image_dir=images", "--data_dir=."],
        1,
        "The images of folders are read from `image_dir`. Received: data_dir='.'. Leave `data_",
    ),
    "an unknown set of TFDS": ("train", ["--dataset=tfds:omnglot"], 1, "Did you mean omniglot?"),
    "no miniImageNet": (
        "train",
        ["--dataset=mini_imagenet", "--data_dir=.", "--manual_dir=none"],
        1,
        "miniImageNet is not prepared in ",
    ),
    "no checkpoint named": ("evaluate", [], 1, "--checkpoint is missing"),
    "no run": ("evaluate", ["--checkpoint=nowhere"], 1, "nowhere has no run"),
    "no runs": ("compare", [], 1, "--runs is missing: output directories of bin/train"),
    "two runs of one name": (
        "compare",
        ["--runs=a,a"],
        1,
        "Received: 2 --runs, and the names a, a. Use --names, with one name for each run.",
    ),
    "more names than runs": (
        "compare",
        ["--runs=a,b", "--names=x,y,x"],
        1,
        "Received: 2 --runs, and the names x, y, x. Use --names, with one name for each run.",
    ),
    "momentum of Adam": (
        "train",
        ["--inner_momentum=0.9"],
        1,
        "Inner adam does not use `inner_momentum`. Leave these out, or choose inner_optimizer='s",
    ),
    "moments of SGD": (
        "train",
        ["--inner_optimizer=sgd", "--inner_beta_1=0.9", "--inner_epsilon=1"],
        1,
        "Inner sgd does not use `inner_beta_1`, `inner_epsilon`. Leave these out, or choose",
    ),
    "a device twice": (
        "train",
        ["--devices=cpu:0,cpu:00"],
        1,
        "must be different devices of this host, such as 'gpu:0,gpu:1'",
    ),
    "a figure without tests": (
        "sweep",
        ["--figure=tail_overlap", "--test_tasks=0", "--curve_tasks=2"],
        1,
        "tail_overlap needs tests of its runs. Received: test_tasks=0, curve_tasks=2.",
    ),
    "no log": ("compare", ["--runs=nowhere"], 1, "There are no accuracies in nowhere."),
    "no figure": (
        "sweep",
        [],
        1,
        "--figure is missing: one of gradient_combinations, study, tail_",
    ),
    "an unknown figure": ("sweep", ["--figure=fig3"], 2, "--figure=fig3"),
    "what each curve has of its own": (
        "sweep",
        ["--figure=tail_overlap", "--inner_steps=3"],
        1,
        "Each curve of tail_overlap sets its own `inner_steps`. Received: inner_steps=3.",
    ),
    "several seeds at once of a figure with one": (
        "sweep",
        ["--figure=tail_overlap", "--seeds_at_once=2"],
        1,
        "Each setting of tail_overlap has one seed only. Received: seeds_at_once=2. Leave it out.",
    ),
    "an unknown curve": (
        "sweep",
        ["--figure=gradient_combinations", "--only=g1,g7"],
        1,
        "Received: 'g7', with the runs g1, g2, half_g1_g2",
    ),
    "runs to train where none is trained": (
        "sweep",
        ["--figure=tail_overlap", "--draw_only", "--only=fomaml_*"],
        1,
        "--only chooses the runs to train, and --draw_only trains none. Received: --only=fomaml_*.",
    ),
    "nothing to draw": (
        "sweep",
        ["--figure=tail_overlap", "--draw_only"],
        1,
        "runs/tail_overlap has no results of tail_overlap yet.",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MISUSES)
def test_misuse_ends_in_one_clear_line(name):
    program, arguments, expected_status, text = MISUSES[name]
    # What is refused before the work begins, by a process that does no work: in less time.
    status, err = warm.ask("warm_program.py", program, arguments, TFDS_DATA_DIR="empty")
    assert status == expected_status, err
    assert "Traceback" not in err
    lines = [line for line in err.strip().splitlines() if line]
    assert lines[-1].startswith(f"{program}: ")
    assert text in lines[-1]
    assert len(lines) == 1, err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no runs", "an unknown curve", "an unknown flag", "no run"])
def test_a_whole_program_says_no_more(name, tmp_path):
    program, arguments, expected_status, text = MISUSES[name]
    status, out, err = run(program, *arguments, cwd=tmp_path)
    assert (status, out) == (expected_status, "")
    assert text in err and err.startswith(f"{program}: ") and len(err.splitlines()) == 1


@pytest.mark.slow
def test_a_run_that_diverges_ends_in_one_clear_line(tmp_path):
    flags = ("--inner_optimizer=sgd", "--inner_learning_rate=1e30")
    status, _, err = run("train", *flags, *SHORT, cwd=tmp_path)
    (line,) = err.strip().splitlines()
    assert (status, line[:32]) == (1, "train: Training diverged: loss_a"), err


@pytest.mark.slow
def test_evaluating_glyphs_in_a_directory_is_refused(finished):
    cwd, _ = finished
    flags = ("--checkpoint=runs/glyphs", "--data_dir=no/such/folder")
    status, out, err = run("evaluate", *flags, cwd=cwd)
    assert (status, out) == (1, "")
    assert err.startswith("evaluate: Glyphs are read from no directory. Received: data_dir='no/")


@pytest.mark.slow
def test_too_few_folders_to_train_on_are_told_what_took_the_others(tmp_path):
    class_folders(tmp_path / "images", dict.fromkeys("abcdefgh", 12))
    status, _, err = run("train", "--image_dir=images", *SHORTEST, cwd=tmp_path)
    assert status == 1
    assert err.strip() == (
        "train: `ways` must not exceed the number of training classes. Received: ways=5, with 3 "
        "classes. Lower `ways`, or lower --test_classes (by default a fifth of all classes, at "
        "least 5)."
    )


@pytest.mark.slow
def test_an_evaluation_without_queries_is_refused(finished):
    cwd, _ = finished
    status, out, err = run("evaluate", "--checkpoint=runs/glyphs", "--queries=0", cwd=cwd)
    assert (status, out) == (1, "")
    assert err == "evaluate: `queries` must be at least 1. Received: queries=0.\n"


@pytest.mark.slow
def test_a_checkpoint_of_another_network_is_refused(finished):
    cwd, _ = finished
    status, _, err = run("evaluate", "--checkpoint=runs/glyphs", "--ways=3", cwd=cwd)
    assert status == 1
    assert err.strip() == (
        "evaluate: The checkpoint's network has 5 outputs. Received: ways=3. "
        "Use --ways=5 or another checkpoint."
    )


@pytest.mark.slow
@pytest.mark.parametrize("content", ['{"settings": {"foo": 1}}', "{}", "[]"])
def test_settings_of_another_version_end_in_one_clear_line(content, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(content)
    for program, *flags in (
        ("train", "--output_dir=run"),
        ("evaluate", "--checkpoint=run"),
        ("export", "--checkpoint=run", "--output=out"),
    ):
        status, _, err = run(program, *flags, cwd=tmp_path)
        assert status == 1
        assert err.startswith(f"{program}: run/run.json cannot be used: ")
        assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_another_runs_directory_is_refused(finished):
    cwd, _ = finished
    status, _, err = run("train", *SHORTEST, "--inner_steps=4", cwd=cwd)
    assert status == 1
    assert "runs/glyphs has a run with other settings: inner_steps=2 (now 4)" in err
    assert len(err.strip().splitlines()) == 1
