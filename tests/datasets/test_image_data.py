"""Anyone's images: class folders, TFDS's sets, and how their classes are divided."""

import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from made_images import class_folders, picture, save_deep, write_image

import keras_reptile as kr
from keras_reptile.datasets import resampling
from keras_reptile.datasets.class_split import split_classes


def pool_of(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return kr.ClassPool.from_arrays(labels[:, None].astype(np.uint8), labels)


def names(pools):
    return [set(pool.names) for pool in pools]


def test_parts_have_no_class_in_common_and_follow_the_seed():
    pool = pool_of([3] * 30)
    pools = split_classes(pool, validation_classes=4, test_classes=7, split_seed=1)
    assert [len(part) for part in pools] == [19, 4, 7]
    assert set.union(*names(pools)) == set(range(30))
    again = split_classes(pool, validation_classes=4, test_classes=7, split_seed=1)
    other = split_classes(pool, validation_classes=4, test_classes=7, split_seed=2)
    assert names(pools) == names(again) != names(other)
    for part in pools:
        for position, name in enumerate(part.names):
            assert (part.class_images(position) == name).all()


@pytest.mark.parametrize(("classes", "test"), [(10, 5), (25, 5), (100, 20)])
def test_a_fifth_of_the_classes_test_and_at_least_five(classes, test):
    assert len(split_classes(pool_of([2] * classes)).test) == test


def test_small_classes_are_left_out_and_named(caplog):
    counts = [20] * 20
    counts[3] = counts[11] = 4
    whole = split_classes(pool_of(counts), validation_classes=2, test_classes=8)
    pools = split_classes(
        pool_of(counts),
        validation_classes=2,
        test_classes=8,
        training_images=11,
        evaluation_images=5,
    )
    for before, after in zip(whole, pools, strict=True):
        assert set(after.names) == set(before.names) - {3, 11}
    assert "3 (4)" in caplog.text
    assert "11 (4)" in caplog.text
    assert "classes. They have fewer than the " in caplog.text


def test_more_shots_in_evaluation_move_no_class_to_another_part():
    counts = np.arange(5, 35)
    few = split_classes(pool_of(counts), 5, 10, training_images=11, evaluation_images=2)
    many = split_classes(pool_of(counts), 5, 10, training_images=11, evaluation_images=21)
    assert set(few.train.names) == set(many.train.names)
    assert set(many.test.names) < set(few.test.names)


@pytest.mark.parametrize("options", [dict(test_classes=6), dict(validation_classes=1)])
def test_a_split_that_leaves_no_classes_is_refused(options):
    with pytest.raises(ValueError, match=r"leave classes to train on. Received: 6 classes, val"):
        split_classes(pool_of([2] * 6), **options)


@pytest.mark.parametrize("number", ["3", 2.5, -1, True])
def test_numbers_of_images_that_are_none_are_refused(number):
    for name in ("training_images", "evaluation_images"):
        with pytest.raises(ValueError, match=rf"`{name}` must .*Received: {name}={number!r}"):
            split_classes(pool_of([2] * 9), **{name: number})


def test_a_folder_of_unequal_classes(tmp_path):
    class_folders(tmp_path, {"a": 3, "b": 5, "C": 2, "d": 4})
    class_folders(tmp_path, {"e": 4}, suffix=".JPEG")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("not a class")
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    pools = kr.datasets.load("folder", image_dir=str(tmp_path), image_size=8, test_classes=2)
    assert set.union(*names(pools)) == {"a", "b", "C", "d", "e"}
    counts = dict(
        zip(
            pools.train.names + pools.test.names,
            [*pools.train.counts, *pools.test.counts],
            strict=True,
        )
    )
    assert counts == {"a": 3, "b": 5, "C": 2, "d": 4, "e": 4}
    for pool in pools:
        for position, name in enumerate(pool.names):
            if name != "e":
                expected = picture(ord(name) * 101 + 1, 8, 1)
                np.testing.assert_array_equal(pool.class_images(position)[1], expected)


def test_grey_and_colour(tmp_path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    path = write_image(tmp_path / "red.png", red)
    np.testing.assert_array_equal(kr.read_image(path, 4, 3, scale=False), red)
    grey = kr.read_image(path, 4, 1, scale=False)
    # The luma of red.
    assert grey.shape == (4, 4, 1)
    assert abs(int(grey[0, 0, 0]) - 0.299 * 255) < 25
    single = write_image(tmp_path / "grey.png", picture(0, 4, 1))
    np.testing.assert_array_equal(
        kr.read_image(single, 4, 3, scale=False), np.repeat(picture(0, 4, 1), 3, axis=-1)
    )


def test_reduction_averages_and_the_right_size_stays_as_it_is():
    stripes = tf.constant(np.tile([0, 200], (40, 20))[..., None], tf.uint8)
    reduced = resampling.resize_bilinear(stripes, 4).numpy()
    # Taking single pixels would give 0 or 200.
    assert abs(reduced.astype(int) - 100).max() <= 5
    np.testing.assert_array_equal(resampling.resize_bilinear(stripes, 40), stripes)


def test_unreadable_images_are_all_named(tmp_path):
    class_folders(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "a" / "1.png").write_bytes(b"no image")
    (tmp_path / "b" / "2.png").write_bytes((tmp_path / "b" / "0.png").read_bytes()[:60])
    with pytest.raises(
        ValueError,
        match=r"2 of 6 images cannot be read: .*a/1.png \(it is not a PNG.* file\), .*b/2.png "
        r"\(.*\). Replace or remove them",
    ):
        kr.datasets.load("folder", image_dir=str(tmp_path), test_classes=1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"x.png cannot be read as an image: No such file or directory"
    ):
        kr.read_image(tmp_path / "x.png", 8)


@pytest.mark.parametrize("image_dir", ["", "no/where", b"bytes", ["list"]])
def test_a_folder_that_is_not_there_is_refused(image_dir):
    with pytest.raises(ValueError, match=re.escape(f"image_dir={image_dir!r} is not a dir")):
        kr.datasets.load("folder", image_dir=image_dir)


def test_a_folder_with_no_classes_is_refused(tmp_path):
    write_image(tmp_path / "a.png", picture(0, 8))
    with pytest.raises(
        ValueError, match=r"has no folder with PNG, JPEG, .* It has 1 image beside the"
    ):
        kr.datasets.load("folder", image_dir=str(tmp_path))


@pytest.mark.parametrize("name", ["folder", "tfds:omniglot"])
def test_image_options_out_of_range_are_refused(name):
    where = {"image_dir": "x"} if name == "folder" else {}
    with pytest.raises(ValueError, match=r"`image_size` must be at least 1. Received: image_s"):
        kr.datasets.load(name, image_size=0, **where)
    with pytest.raises(ValueError, match=r"`channels` must be 1 \(grey\) or 3"):
        kr.datasets.load(name, channels=4, **where)


def test_a_data_directory_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"data_dir='no/where' is not a directory"):
        kr.datasets.load("tfds:omniglot", data_dir="no/where")


@pytest.mark.parametrize("name", ["tfds:", "tfds", "Omniglot"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ValueError, match=r"`dataset` must be one of \['folder', .*'tfds:NAME'"):
        kr.datasets.load(name)


def test_what_a_folder_holds_besides_its_images_is_said(tmp_path, caplog):
    class_folders(tmp_path, {name: 2 for name in "abcdef"})
    write_image(tmp_path / "beside.png", picture(0, 8))
    write_image(tmp_path / "a" / "more" / "deeper.png", picture(0, 8))
    for name in ("a/photo.heic", "heic/1.heic", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    write_image(tmp_path / "nested" / "x" / "1.png", picture(0, 8))
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    kr.datasets.load("folder", image_dir=str(tmp_path))
    (warning,) = (record.getMessage() for record in caplog.records)
    assert warning == (
        f"Not used in {tmp_path}: 1 image beside the class folders (beside.png); "
        "2 images in folders of class folders (a/more/deeper.png, nested/x/1.png); "
        "3 files without the suffix of an image (a/photo.heic, heic/1.heic, notes.txt); "
        "3 folders without images (empty, heic, nested)."
    )


def test_a_folder_of_images_alone_needs_no_word(tmp_path, caplog):
    class_folders(tmp_path, {name: 2 for name in "abcdef"})
    kr.datasets.load("folder", image_dir=str(tmp_path))
    assert not caplog.records


def test_a_folder_of_folders_of_class_folders_is_refused_with_what_it_holds(tmp_path):
    class_folders(tmp_path / "train", {"a": 2, "b": 2})
    with pytest.raises(
        ValueError, match=r"It has 4 images in folders .*train/a/0.png.*; 1 folder "
    ):
        kr.datasets.load("folder", image_dir=str(tmp_path))


def test_images_of_one_colour_and_dark_classes_are_named(tmp_path, caplog):
    class_folders(tmp_path, {name: 3 for name in "abcdef"})
    write_image(tmp_path / "b" / "1.png", np.full((8, 8, 3), (9, 99, 200), np.uint8))
    for number in range(3):
        twelve_bits = np.random.RandomState(number).randint(0, 2**12, (8, 8, 1))
        save_deep(tmp_path / "e" / f"{number}.png", twelve_bits)
        write_image(tmp_path / "f" / f"{number}.png", np.zeros((8, 8, 1), np.uint8))
    kr.datasets.load("folder", image_dir=str(tmp_path), image_size=8, channels=3)
    blank, dark = (record.getMessage() for record in caplog.records)
    names = ", ".join(str(tmp_path / name) for name in ("b/1.png", "f/0.png", "f/1.png", "f/2.png"))
    assert blank.startswith(f"4 of 18 images have a single colour: {names}. ")
    assert "All images of 1 of 6 classes are darker than 1/8 of white: e. If" in dark


@pytest.mark.parametrize("name", ["glyphs", "omniglot", "mini_imagenet", "folder", "tfds:cifar10"])
def test_a_data_set_tells_what_its_images_are(name):
    told = kr.datasets.describe(name, 28, 1)
    assert (told["image_size"], told["channels"], told["value_range"]) == (28, 1, [0.0, 1.0])
    is_drawn = name in ("glyphs", "omniglot")
    assert (told["paper"], told["ink"]) == ((1.0, 0.0) if is_drawn else (None, None))
    if name == "glyphs":
        images = kr.datasets.load(
            name, classes=10, validation_classes=0, test_classes=5
        ).train.images
        assert images.min() == 255 * told["ink"] and np.median(images) == 255 * told["paper"]
    assert kr.datasets.describe("sinusoid", 28, 1) is None


def test_copies_of_images_are_named(tmp_path, caplog):
    class_folders(tmp_path, {name: 2 for name in "abcdef"})
    shutil.copy(tmp_path / "a" / "0.png", tmp_path / "a" / "copy.png")
    shutil.copy(tmp_path / "b" / "1.png", tmp_path / "f" / "other.png")
    for name in "cd":
        write_image(tmp_path / name / "white.png", np.full((8, 8, 1), 255, np.uint8))
    kr.datasets.load("folder", image_dir=str(tmp_path), image_size=8)
    blank, copies = (record.getMessage() for record in caplog.records)
    assert "have a single colour" in blank
    assert copies.startswith("2 of 16 images have the pixels of another: ")
    assert f"{tmp_path}/a/copy.png of {tmp_path}/a/0.png" in copies
    pair = f"{tmp_path}/f/other.png", f"{tmp_path}/b/1.png"
    assert any(f"{x} of {y}" in copies for x, y in (pair, pair[::-1]))
