import json
import os

import pytest
import tensorflow as tf
import warm

import keras_reptile as kr
from keras_reptile.programs import start
from keras_reptile.threads import usable_cores


def test_after_tensorflow_has_started_it_warns_and_goes_on_with_the_threads_that_there_are():
    tf.zeros(1)
    before = tf.config.threading.get_inter_op_parallelism_threads()
    with pytest.warns(UserWarning, match="Its threads cannot change any more.*at the top"):
        cores = kr.one_task_per_core(before + 1)
    assert tf.config.threading.get_inter_op_parallelism_threads() == before
    assert cores == (before or usable_cores())


@pytest.mark.process
def test_operations_get_one_thread_and_there_are_as_many_as_cores(tmp_path):
    program = """
import tensorflow as tf
import keras_reptile as kr
import warnings
warnings.simplefilter("error")
assert kr.one_task_per_core(3) == 3
tf.zeros(1)
assert kr.one_task_per_core(3) == 3  # What it would set is set.
assert tf.config.threading.get_intra_op_parallelism_threads() == 1
assert tf.config.threading.get_inter_op_parallelism_threads() == 3
"""
    status, _, err = warm.run_source(program, tmp_path)
    assert status == 0, err


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(("shared", "threads"), [(False, 1), (True, 3)])
def test_with_xla_tasks_get_one_thread_each_or_share_idle_cores(shared, threads, tmp_path):
    program = f"""
import os
os.environ["XLA_FLAGS"] = "--xla_cpu_enable_fast_math=false"
import tensorflow as tf
import keras_reptile as kr
assert kr.one_task_per_core(3, jit_compile=True, share_idle_cores={shared}) == 3
tf.zeros(1)
assert tf.config.threading.get_intra_op_parallelism_threads() == {threads}
assert tf.config.threading.get_inter_op_parallelism_threads() == 3
first, second, third = os.environ["XLA_FLAGS"].split()
assert first == "--xla_cpu_enable_fast_math=false"
assert second == "--xla_cpu_multi_thread_eigen=false"
assert third == "--xla_cpu_prefer_vector_width=512"
assert float(tf.function(lambda x: x + 1, jit_compile=True)(1.0)) == 2
"""
    status, _, err = warm.run_source(program, tmp_path)
    assert status == 0, err


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("jit_compile", [False, True])
def test_on_a_gpu_xla_takes_the_same_kernels_in_every_run(jit_compile, tmp_path):
    program = f"""
import os
import tensorflow as tf
tf.config.list_physical_devices = lambda kind: [kind]
os.environ["XLA_FLAGS"] = ""
import keras_reptile as kr
kr.one_task_per_core(jit_compile={jit_compile})
*others, level, triton = os.environ["XLA_FLAGS"].split()
assert len(others) == {2 * jit_compile}
assert level == "--xla_gpu_autotune_level=0"
assert triton == "--xla_gpu_enable_triton_gemm=false"
assert float(tf.function(lambda x: x + 1, jit_compile=True)(1.0)) == 2
"""
    status, _, err = warm.run_source(program, tmp_path)
    assert status == 0, err


def test_a_file_of_xlas_flags_stays():
    assert kr.threads.with_defaults("flags.txt", kr.threads.ON_A_GPU) == "flags.txt"


def test_it_counts_the_cores_that_the_process_may_use():
    assert kr.threads.usable_cores() >= 1


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--recipe=mini_imagenet_5way_1shot", "--seed=1"], "1"),
        (["--recipe", "mini_imagenet_5way_1shot"], "1"),
        (["--checkpoint=large"], "1"),
        (["--checkpoint=small"], "0"),
        (["--checkpoint=mini_imagenet_that_is_not_there"], "0"),
        (["--dataset=omniglot", "--output_dir=runs/mini_imagenet"], "0"),
        ([], "0"),
    ],
)
def test_programs_compute_large_images_by_onednn(arguments, wanted, monkeypatch, tmp_path):
    for name, network in (("large", "mini_imagenet_convnet"), ("small", "omniglot_convnet")):
        settings = {"settings": {"dataset": "folder", "network": network}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    for given, found in ((None, wanted), ("0", "0"), ("1", "1")):
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
        if given:
            monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
        start.set_environment(arguments)
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == found


def test_the_earlier_name_of_sharing_idle_cores_is_taken_with_a_warning():
    tf.zeros(1)
    with (
        pytest.warns(DeprecationWarning, match="`lend` is now called `share_idle_cores`"),
        pytest.warns(UserWarning, match="after TensorFlow had started"),
    ):
        kr.one_task_per_core(lend=True)
