import numpy as np
import pytest
import tensorflow as tf

import keras_reptile as kr


def letters():
    labels = np.array(["b", "a", "c", "a", "b", "a"])
    return kr.ClassPool.from_arrays(np.arange(6)[:, None], labels)


def test_images_are_grouped_by_sorted_label_and_keep_their_order():
    pool = letters()
    assert pool.names == ("a", "b", "c")
    assert [pool.class_images(c).ravel().tolist() for c in range(3)] == [[1, 3, 5], [0, 4], [2]]
    assert len(pool) == 3
    assert repr(pool) == "ClassPool(classes=3, images=6, image_shape=(1,), dtype=int64)"


def test_labels_may_be_bytes_as_tfds_and_tensors_give_them():
    pool = kr.ClassPool.from_arrays(np.arange(4)[:, None], tf.constant(["b", "a", "b", "a"]))
    assert pool.names == (b"a", b"b")
    assert pool.images.ravel().tolist() == [1, 3, 0, 2]


def test_a_split_has_consecutive_parts_with_no_class_in_common():
    train, test = letters().split(1, 2)
    assert (train.names, test.names) == (("a",), ("b", "c"))
    assert test.images.ravel().tolist() == [0, 4, 2]
    assert len(letters().split(3, 0)[1]) == 0


def test_shuffling_keeps_classes_whole_and_follows_the_seed():
    first, again, other = (letters().shuffled(seed) for seed in (1, 1, 5))
    assert first.names == again.names != other.names
    where = first.names.index("a")
    assert first.class_images(where).ravel().tolist() == [1, 3, 5]


def test_rotations_make_four_classes_of_each():
    corner = np.zeros((1, 3, 3, 1), np.uint8)
    corner[0, 0, 0] = 255
    pool = kr.ClassPool.from_arrays(corner, ["x"]).with_rotations()
    assert pool.names == (("x", 0), ("x", 90), ("x", 180), ("x", 270))
    corners = [tuple(np.argwhere(pool.class_images(c)[0, ..., 0])[0]) for c in range(4)]
    assert corners == [(0, 0), (2, 0), (2, 2), (0, 2)]


def test_rotations_of_classes_of_other_sizes_keep_each_class_whole():
    pool = kr.ClassPool.from_arrays(
        np.arange(24).reshape(6, 2, 2, 1), ["b", "a", "c", "a", "b", "a"]
    )
    turned = pool.with_rotations()
    for position, (name, degrees) in enumerate(turned.names):
        expected = np.rot90(pool.class_images(pool.names.index(name)), degrees // 90, axes=(1, 2))
        np.testing.assert_array_equal(turned.class_images(position), expected)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: kr.ClassPool(np.zeros((3, 2)), [1, 1]),
            "must add up.*3 images, 2 counts that add",
        ),
        (lambda: kr.ClassPool(np.zeros((3, 2)), [3, 0]), "Every class must have at least one"),
        (lambda: kr.ClassPool.from_arrays(np.zeros((3, 2)), [1, 2]), "one label for each image"),
        (lambda: kr.ClassPool.from_arrays(np.zeros((0, 2)), []), "one label for each image"),
        (
            lambda: kr.ClassPool.from_arrays(np.zeros((3, 2)), [[0], [1], [1]]),
            r"labels of shape \(3, 1\). Leave out the last axis: `labels\[:, 0\]`",
        ),
        (
            lambda: kr.ClassPool.from_arrays(np.zeros((3, 2)), np.eye(3)),
            r"labels of shape \(3, 3\). Of one-hot labels give `labels.argmax\(axis=1\)`",
        ),
        (
            lambda: letters().split(2, 2),
            r"must fit into the pool. Received: sizes=\(2, 2\), with 3",
        ),
        (
            lambda: kr.episode_dataset(letters().subset([0]), ways=2, shots=1),
            "Received: ways=2, with 1 class. Lower",
        ),
        (
            lambda: letters().with_rotations(),
            r"need square images.*Received: images of shape \(1,\)",
        ),
    ],
)
def test_what_cannot_be_a_pool_is_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()
