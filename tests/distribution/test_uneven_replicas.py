"""Data that are no dataset, and single meta-batches, on two replicas."""

import json

import pytest
import warm

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("uneven") / "found.json"
    program = ("tests/support/uneven_replicas.py", path)
    status, _, err = warm.run(*program, cwd=path.parent)
    assert status == 0, err
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "received"),
    [
        ("generator", "generator"),
        ("arrays", "dict"),
        ("PyDataset", "Sequence"),
        ("validation", "dict"),
    ],
)
def test_replicas_share_datasets_only(name, received, found):
    text = f"Replicas can share meta-batches of a tf.data.Dataset only. Received: {received}, with"
    assert found[name].startswith(text)


def test_a_meta_batch_that_replicas_cannot_share_is_refused_as_in_a_dataset(found):
    assert "Received: meta_batch_size=3, with 2 replicas" in found["train_on_batch"]
    assert found["meta_iteration"] == 0


def test_the_plan_names_the_replicas_of_the_models_strategy(found):
    assert found["plan"].startswith("Tasks run side by side on 2 CPU replicas (--task_parallelism)")


def test_a_single_meta_batch_gives_what_one_device_gives(found):
    assert found["difference"] < 1e-6
    # Three tasks are judged as three, whichever replica takes the odd one.
    assert found["of three"] < 1e-6
    assert found["predictions"] < 1e-5


def test_a_checkpoint_of_tensorflow_restores_every_variable_of_replicas(found):
    assert found["restored"] == 0


def test_an_evaluation_as_on_gpus_gives_each_replica_a_batch(found):
    # Two tasks on each of two replicas, and one copy that does not count.
    assert found["joined"] == [4, 4]
    assert found["losses"] < 1e-5
