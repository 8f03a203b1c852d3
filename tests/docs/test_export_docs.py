"""docs/how_to/export.md, run from top to bottom, and what it says of wrong use."""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers import one_block_network, small_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "export.md"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the page's Python leaves, and the export that it made."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 5
    # A smaller network is exported: the one that ships takes twice the time.
    shipped, source = 'kr.pretrained("omniglot_5way")\nmodel.export', "\n".join(blocks)
    assert source.count(shipped) == 1
    names = {"small": small_model(one_block_network(ways=5))}
    with contextlib.chdir(tmp_path_factory.mktemp("page")):
        exec(source.replace(shipped, "small\nmodel.export"), names)
        names["export"] = tf.saved_model.load("exported")
    return names


@pytest.mark.slow
def test_the_pages_python_runs_from_top_to_bottom(names):
    assert names["logits"].shape == (8, 5)
    assert float(names["loss"]) < 0.5
    assert names["learner"].predict(names["query_images"], verbose=0).shape == (8, 5)
    assert set(names["names"].numpy()) <= {b"a", b"b", b"c", b"d", b"e"}


def test_the_export_that_the_page_goes_on_with_has_names_and_no_command_writes_it_twice():
    commands = re.findall(r"^bin/export .*?--output=(\S+)(.*)$", PAGE.read_text(), re.MULTILINE)
    outputs = [output for output, _ in commands]
    assert len(set(outputs)) == len(outputs) == 2
    assert "--class_names=a,b,c,d,e" in dict(commands)["exported"]


def arguments(names, **others):
    given = {
        "support_images": names["support_images"],
        "support_labels": names["support_labels"],
        "query_images": names["query_images"],
        "steps": 2,
        "learning_rate": 1e-3,
    }
    return {**given, **others}


def by_method(names, **others):
    return names["export"].adapt_and_predict(*arguments(names, **others).values())


def by_signature(names, **others):
    given = {name: tf.constant(value) for name, value in arguments(names, **others).items()}
    given["support_labels"] = tf.cast(given["support_labels"], tf.int64)
    given["steps"] = tf.cast(given["steps"], tf.int64)
    return names["export"].signatures["adapt_and_predict"](**given)["logits"]


WRONG = {
    "a label without an output": dict(support_labels=np.arange(1, 6)),
    "no images": dict(support_images=np.zeros((0, 28, 28, 1), "float32"), support_labels=[]),
    "too few labels": dict(support_labels=np.arange(4)),
    "steps below zero": dict(steps=-1),
    "a rate below zero": dict(learning_rate=-1.0),
    "a rate that is not finite": dict(learning_rate=float("nan")),
}


@pytest.mark.slow
@pytest.mark.parametrize("call", [by_method, by_signature])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_use_is_an_error_that_says_what_was_received(names, call, wrong):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Received"):
        call(names, **wrong)


@pytest.mark.slow
def test_images_of_another_shape_are_refused_by_methods_and_by_signatures_otherwise(names):
    wrong = dict(query_images=np.zeros((8, 20, 28, 1), "float32"))
    with pytest.raises(
        ValueError, match=r"(?s)^Could not find matching concrete function.*query_images"
    ):
        by_method(names, **wrong)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`query_images` must have the shape"):
        by_signature(names, **wrong)


@pytest.mark.slow
def test_methods_take_several_dtypes_and_refuse_others(names):
    plain, images = by_method(names), ("support_images", "query_images")
    for labels in (names["support_labels"].astype(np.int32), list(range(5))):
        np.testing.assert_array_equal(plain, by_method(names, support_labels=labels))
    wide = {name: names[name].astype(np.float64) for name in images}
    np.testing.assert_array_equal(plain, by_method(names, **wide))
    bytes_ = {name: (255 * names[name]).astype(np.uint8) for name in images}
    as_floats = {name: x * np.float32(1 / 255) for name, x in bytes_.items()}
    expected = by_method(names, **as_floats)
    as_tensors = {name: tf.constant(x) for name, x in bytes_.items()}
    np.testing.assert_array_equal(expected, by_method(names, **bytes_))
    np.testing.assert_array_equal(expected, by_method(names, **as_tensors))
    for wrong in (
        dict(support_labels=names["support_labels"] + 0.7),
        dict(query_images=bytes_["query_images"]),
        dict(query_images=names["query_images"].astype(int)),
    ):
        with pytest.raises(ValueError, match=r"^Could not find matching concrete function"):
            by_method(names, **wrong)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a float tensor"):
        by_signature(names, query_images=as_tensors["query_images"])
