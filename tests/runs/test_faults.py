"""A full or read-only disk, damaged files, too little memory: one clear line, and nothing lost."""

import errno
import json
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm
from helpers import EAGER_RUN, assert_same_end, small_model
from made_images import TinyShapes

from keras_reptile import checkpoint
from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.errors import RunError
from keras_reptile.files.atomic_directory import whole_directory
from keras_reptile.runs import run_directory
from keras_reptile.runs.callbacks import RunLog
from keras_reptile.runs.divergence import Diverged, check_finite
from keras_reptile.runs.evaluating import load_chosen
from keras_reptile.runs.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
TRAIN = [
    "--dataset=sinusoid",
    "--output_dir=run",
    "--meta_iterations=6",
    *EAGER_RUN,
    "--test_tasks=2",
]
FREE_SPACE = "No space left on device. Free some space, and give the same command again"
READ_ONLY = "Read-only file system. Make it writable, or choose another place"
DENIED = "Permission denied. Make it writable, or choose another place"
NOTHING_LOST = ". Files that were written earlier are complete."
# Each start fails, and the next goes on where it did.
FAULTS = {
    "no directory": (errno.EROFS, "mkdir checkpoints", 1),
    "no settings": (errno.EACCES, "open run.json", 1),
    "disk full in the first checkpoint": (errno.ENOSPC, "open checkpoint", 1),
    "disk full as it is copied": (errno.ENOSPC, "sync best", 1),
    "disk full in a later checkpoint": (errno.ENOSPC, "sync checkpoint", 2),
    "disk full in the log": (errno.ENOSPC, "open log.csv", 2),
    "read-only in between": (errno.EROFS, "rename checkpoint", 1),
    "old checkpoints stay": (errno.EACCES, "remove checkpoint", 3),
    "no picture": (errno.ENOSPC, "open curve.png", 1),
    "no summary": (errno.ENOSPC, "rename summary.json", 1),
}
LINES = {
    "no directory": "--output_dir=run cannot be written: Read-only file system. Choose another.",
    "no settings": f"run/run.json cannot be written: {DENIED}{NOTHING_LOST}",
    "disk full in the first checkpoint": "run/checkpoints/iteration-000000002.keras cannot be "
    f"written: {FREE_SPACE}{NOTHING_LOST}",
    "disk full as it is copied": f"run/checkpoints/best.keras cannot be written: {FREE_SPACE}",
    "disk full in a later checkpoint": "iteration-000000004.keras cannot be written: No space",
    "disk full in the log": f"run/log.csv cannot be written: {FREE_SPACE}",
    "read-only in between": f"iteration-000000004.keras cannot be written: {READ_ONLY}",
    "old checkpoints stay": f"run/checkpoints cannot be written: {DENIED}",
    "no picture": f"run/curve.png cannot be written: {FREE_SPACE}",
    "no summary": f"run/summary.json cannot be written: {FREE_SPACE}",
}


def start(folder, program, flags, *moment):
    folder.mkdir(exist_ok=True)
    return warm.run("tests/support/disturbed.py", json.dumps(moment), program, *flags, cwd=folder)


def the_line(err):
    """What a program says that fails, in one line."""
    assert "Traceback" not in err
    (line,) = err.strip().splitlines()
    return line


def partial(folder):
    return [p for p in folder.rglob("*") if p.name.startswith(".")]


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The folder of a run that failed so many times and then did not, and what it said."""
    folder = tmp_path_factory.mktemp("failed")
    said = {}
    for name, moment in FAULTS.items():
        status, _, err = start(folder, "train", TRAIN, *moment)
        assert status == 1, (name, err)
        assert partial(folder) == [], name
        said[name] = the_line(err)
    status, _, err = start(folder, "train", TRAIN)
    assert status == 0, err
    return folder / "run", said


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_disk_ends_in_a_line_that_names_the_file(name, failed):
    assert failed[1][name].startswith("train: ")
    assert LINES[name] in failed[1][name]


@pytest.mark.slow
@pytest.mark.process
def test_and_loses_nothing(failed, tmp_path):
    status, _, err = start(tmp_path, "train", TRAIN)
    assert status == 0, err
    assert_same_end(tmp_path / "run", failed[0])
    assert partial(failed[0]) == []


@pytest.mark.slow
@pytest.mark.process
def test_an_export_to_a_full_disk_keeps_the_earlier_one(failed):
    folder = failed[0].parent
    flags = ["--checkpoint=run", "--output=exported", "--only_model"]
    assert start(folder, "export", flags)[0] == 0
    before = (folder / "exported" / "model.keras").read_bytes()
    flags = [*flags, "--overwrite"]
    status, _, err = start(folder, "export", flags, errno.ENOSPC, "sync model", 1)
    assert status == 1
    assert the_line(err) == (
        f"export: {folder}/exported cannot be written: {FREE_SPACE}{NOTHING_LOST}"
    )
    assert (folder / "exported" / "model.keras").read_bytes() == before
    assert partial(folder) == []


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(("what", "cause"), [("memory", "MemoryError"), ("tensor", "OOM when")])
def test_too_little_memory_ends_in_a_line_that_says_what_to_make_smaller(what, cause, tmp_path):
    status, _, err = start(tmp_path, "train", TRAIN, what, "step", 3)
    assert status == 1
    line = the_line(err)
    assert line.startswith("train: out of memory (")
    assert cause in line
    assert "Use a smaller --meta_batch_size, --inner_batch_size" in line
    names = [path.name for path in RunDirectory(tmp_path / "run").saved()]
    assert names == ["iteration-000000002.keras"]


@pytest.mark.process
@pytest.mark.parametrize("program", ["train", "evaluate", "export", "sweep", "demo"])
def test_too_little_address_space_is_said_before_tensorflow_starts(program):
    limit = (2 * 2**30, 2 * 2**30)
    ended = subprocess.run(
        [sys.executable, str(ROOT / "bin" / program)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.strip() == (
        f"{program}: the limit on address space (ulimit -v) is 2.0 GiB, and TensorFlow needs at "
        "least 4 GiB. Raise it: ulimit -v unlimited."
    )


@pytest.fixture
def directory(tmp_path):
    """A run's directory with two checkpoints, of meta-iterations 1 and 2."""
    directory, model = RunDirectory(tmp_path / "run"), small_model()
    model.optimizer.build(model.trainable_variables)
    for iteration in (1, 2):
        model.optimizer.iterations.assign(iteration)
        directory.save(model, best=True)
    return directory


def damaged(content, rs):
    """The content with a bit flipped, or cut off, at a random place."""
    place = rs.randint(len(content))
    if rs.rand() < 0.5:
        return content[:place]
    flipped = bytearray(content)
    flipped[place] ^= 1 << rs.randint(8)
    return bytes(flipped)


def test_damage_at_50_random_places_is_noticed_and_the_checkpoint_before_used(
    directory, capsys, monkeypatch
):
    older, newest = directory.saved()
    content, rs = newest.read_bytes(), np.random.RandomState(0)
    # The one before is whole, and read in earnest below: not 50 times.
    load = monkeypatch.setattr
    load(run_directory, "load_checkpoint", lambda p: p if p == older else load_checkpoint(p))
    for _ in range(50):
        newest.write_bytes(damaged(content, rs))
        assert directory.restore() == older
        said = capsys.readouterr().out
        assert f"Checkpoint {newest} cannot be read (ValueError: it is damaged: its" in said
        assert said.endswith("Trying the previous one.\n")
    monkeypatch.undo()
    assert directory.restore().meta_iteration == 1


def test_every_byte_of_the_checksum_counts(directory):
    newest = directory.saved()[-1]
    content = newest.read_bytes()
    for place in range(len(content) - checkpoint.DIGITS - len(checkpoint.MARK) - 2, len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1
        for wrong in (flipped, content[:place]):
            newest.write_bytes(wrong)
            with pytest.raises(ValueError, match="it is damaged: its checksum is wrong"):
                checkpoint.check_checksum(newest)


@pytest.mark.parametrize("with_checksum", [False, True])
def test_a_small_file_that_would_inflate_to_much_is_refused_unread(with_checksum, directory):
    path = directory.saved()[-1]
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        if not with_checksum:
            archive.comment = b""
        archive.writestr("assets/zeros", bytes(20_000_000))
    if with_checksum:
        checkpoint.write_checksum(path)
    assert path.stat().st_size < 200_000
    text = r"cannot be read \(ValueError: its [\d,]+ bytes would inflate to 20,\d+,\d+, and models"
    with (
        mock.patch.object(zipfile.ZipExtFile, "read", side_effect=AssertionError("inflated")),
        pytest.raises(RunError, match=text),
    ):
        load_checkpoint(path)


def test_a_damaged_or_missing_best_checkpoint_is_an_error_that_says_what_to_do(directory):
    directory.best.unlink(missing_ok=True)
    with pytest.raises(RunError, match=r"no best checkpoint: the .* so far. Choose --which=last"):
        load_chosen(directory, "best")
    directory.best.write_bytes(directory.saved()[-1].read_bytes()[:-1])
    with pytest.raises(RunError, match=r"cannot be read .* Choose --which=last, or restore the"):
        load_chosen(directory, "best")


def test_two_damaged_checkpoints_are_an_error_that_says_what_to_do(directory):
    for path in directory.saved():
        path.write_bytes(path.read_bytes()[:-1])
    text = r"None of the checkpoints in .* can be read. Restore one .* or remove them to train"
    with pytest.raises(RunError, match=text):
        directory.restore()


def test_keras_loads_a_checkpoint_and_one_without_a_checksum_is_still_read(directory):
    loaded = keras.models.load_model(directory.best)
    path = directory.path / "earlier.keras"
    loaded.save(path)
    for a, b in zip(loaded.get_weights(), load_checkpoint(path).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="it is damaged"):
        load_checkpoint(path)


def test_a_file_that_grows_too_large_leaves_the_earlier_checkpoints(directory):
    model = directory.restore()
    model.optimizer.iterations.assign(3)
    before = {p: p.read_bytes() for p in directory.checkpoints.iterdir()}
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, earlier[1]))
    try:
        with pytest.raises(RunError, match=r"000003.keras cannot be written: File too large. Rai"):
            directory.save(model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)
    assert {p: p.read_bytes() for p in directory.checkpoints.iterdir()} == before


def test_a_log_that_is_none_is_an_error(directory):
    for text in ("meta_iteration\nx\n", "a,b\n1,2\n", "\xff\n"):
        directory.log.write_bytes(text.encode("latin-1"))
        with pytest.raises(RunError, match=r"log.csv cannot be read.*Every row.*Repair or remove"):
            directory.rows()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (tf.errors.ResourceExhaustedError, r"model cannot be written: No space. Free some space"),
        (tf.errors.PermissionDeniedError, r"model cannot be written: No space. Make it writable"),
    ],
)
def test_a_disk_that_fails_tensorflow_keeps_the_directory(error, text, tmp_path):
    path = tmp_path / "model"
    with pytest.raises(RunError, match=text), whole_directory(path, False, []):
        raise error(None, None, "{{node save}} No space [Op:SaveV2]")
    assert list(tmp_path.iterdir()) == []


def test_memory_that_tensorflow_lacks_is_no_fault_of_the_disk(tmp_path):
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    with (
        pytest.raises(tf.errors.ResourceExhaustedError),
        whole_directory(tmp_path / "model", False, []),
    ):
        raise error


def test_a_disk_that_fails_tensorboard_names_its_folder(directory, monkeypatch):
    def create(path):
        raise tf.errors.ResourceExhaustedError(None, None, f"{path}/a; No space left on device")

    monkeypatch.setattr(tf.summary, "create_file_writer", create)
    text = r"tensorboard cannot be written: .*a; No space left on device. Free some space, and give"
    with pytest.raises(RunError, match=text):
        RunLog(directory, [])


def test_a_disk_that_fails_while_scalars_are_written_names_the_folder(directory, monkeypatch):
    log = RunLog(directory, [])

    def flush():
        raise tf.errors.UnknownError(None, None, "events.out; Input/output error")

    monkeypatch.setattr(log.writer, "flush", flush)
    text = r"tensorboard cannot be written: events.out; Input/output error"
    with pytest.raises(RunError, match=text):
        log._write_scalars(1, {"meta_iteration": 1, "loss_after": 0.5})


def test_weights_that_are_no_numbers_are_not_kept(directory):
    model = directory.restore()
    check_finite(model)
    model.trainable_variables[0].assign(model.trainable_variables[0] * np.inf)
    text = r"Training diverged: .*kernel is not finite at meta-iteration 2. Earlier .* intact. Lowe"
    with pytest.raises(Diverged, match=text):
        check_finite(model)


@pytest.mark.parametrize("spoiled", ["weight", "inner moment", "outer moment"])
def test_no_checkpoint_takes_what_is_no_number(spoiled, directory):
    model = directory.restore()
    model.compile(keras.optimizers.Adam(0.5))
    model.optimizer.build(model.trainable_variables)
    of = {
        "weight": model.trainable_variables,
        "inner moment": model.inner_variables,
        "outer moment": model.optimizer.variables,
    }
    variable = of[spoiled][-1]
    variable.assign(keras.ops.full(variable.shape, np.nan, variable.dtype))
    files = [*directory.saved(), directory.best]
    before = [path.read_bytes() for path in files]
    with pytest.raises(Diverged, match=r"is not finite at meta-iteration"):
        directory.save(model, best=True)
    assert [*directory.saved(), directory.best] == files
    assert [path.read_bytes() for path in files] == before


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damaged_records_end_in_a_line_that_names_the_file(damage, tmp_path):
    TinyShapes(data_dir=tmp_path / "data").download_and_prepare()
    record = next(tmp_path.rglob("*train.tfrecord*"))
    content = bytearray(record.read_bytes())
    if damage == "truncated":
        record.write_bytes(content[:-7])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        record.write_bytes(content)
    else:
        record.unlink()
    flags = ["--dataset=tfds:tiny_shapes", "--data_dir=data", "--test_classes=4"]
    status, _, err = warm.run("bin/train", *flags, cwd=tmp_path)
    assert status == 1
    line = the_line(err)
    assert line.startswith("train: tiny_shapes cannot be read from ")
    assert f"Damaged or missing: {record.name}. Remove that folder, so that it is" in line
    assert not (tmp_path / "runs").exists()


def test_checkpoints_of_a_thousand_million_meta_iterations_are_found_in_order(directory):
    directory.saved()[0].rename(directory.checkpoints / "iteration-1000000000.keras")
    directory.saved()[0].rename(directory.checkpoints / "iteration-999999999.keras")
    assert [path.stem for path in directory.saved()] == [
        "iteration-999999999",
        "iteration-1000000000",
    ]
    assert directory.newest_iteration() == 10**9
