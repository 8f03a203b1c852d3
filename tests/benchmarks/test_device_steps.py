"""Packed programs: what is written, and what JAX computes with it, against TensorFlow."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from accelerators import packing, plugins, running, steps

BENCHMARKS = Path(packing.__file__).resolve().parents[1]
NAME = "sinusoid/train"
RUN_ONCE = """
import json, sys
from pathlib import Path
import numpy as np
from accelerators.running import Program
print(json.dumps([np.asarray(a).tolist() for a in Program(Path(sys.argv[1])).run()]))
"""


def test_inputs_are_read_in_their_order_and_images_are_made_up(tmp_path):
    inputs = [np.arange(3.0), np.zeros((2, 4, 4, 1), np.uint8), np.int64(7)]
    packing.write(tmp_path, b"program", inputs, {"meta_steps": 10})
    known = json.loads((tmp_path / "known.json").read_text())
    first, images, last = running.inputs_of(tmp_path, known)
    assert (tmp_path / "program.pb").read_bytes() == b"program" and known["meta_steps"] == 10
    np.testing.assert_array_equal(first, inputs[0])
    assert images.shape == (2, 4, 4, 1) and images.dtype == np.uint8 and images.std() > 50
    assert last == 7 and last.dtype == np.int64


def test_one_of_the_two_folders_is_demanded():
    command = [sys.executable, BENCHMARKS / "device_steps.py", "--pack=a", "--packed=b"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "device_steps.py: give one of --pack=FOLDER and --packed=FOLDER."
    )


def test_a_file_for_times_is_refused_where_nothing_is_timed(tmp_path):
    flags = ["--pack=a", f"--json={tmp_path / 'found.json'}"]
    command = [sys.executable, BENCHMARKS / "device_steps.py", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1 and not (tmp_path / "a").exists()
    assert ended.stderr.splitlines()[-1] == (
        "device_steps.py: --pack times nothing. Give --json beside --packed=FOLDER."
    )


@pytest.mark.slow
@pytest.mark.accelerator
def test_jax_computes_what_tensorflow_does(tmp_path):
    if reason := plugins.missing("gpu"):
        pytest.skip(reason)
    with steps.as_on("gpu"):
        run, arguments, _ = steps.made(NAME)
        hlo, inputs, known = packing.of_tensorflow(NAME, "gpu")
        wanted = [t.numpy() for t in tf.nest.flatten(run(*arguments))]
    packing.write(tmp_path, hlo, inputs, known)
    environment = {"PATH": "", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(BENCHMARKS)}
    command = [sys.executable, "-c", RUN_ONCE, str(tmp_path)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found = json.loads(output.stdout.splitlines()[-1])
    np.testing.assert_allclose(found[: len(wanted)], wanted, rtol=1e-4)
