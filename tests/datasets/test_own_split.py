"""Splits that someone gives, as folders or as files of class names."""

import numpy as np
import pytest
from made_images import class_folders, picture

import keras_reptile as kr
from keras_reptile.datasets.class_split import split_classes
from keras_reptile.datasets.own_split import split_folders
from keras_reptile.recipes import named
from keras_reptile.recipes.data_options import data_options, more_classes


def names(pools):
    return [list(pool.names) for pool in pools]


def splits(folder, validation="val"):
    class_folders(folder / "train", {"a": 3, "b": 5, "small": 1})
    class_folders(folder / validation, {"c": 4})
    class_folders(folder / "test", {"d": 2, "e": 4})
    return str(folder)


def load(folder, **options):
    return kr.datasets.load("folder", image_dir=str(folder), image_size=8, **options)


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_folders_of_splits_decide_which_classes_train_validate_and_test(tmp_path, validation):
    pools = load(splits(tmp_path, validation))
    assert names(pools) == [["a", "b", "small"], ["c"], ["d", "e"]]
    np.testing.assert_array_equal(pools.test.class_images(0)[1], picture(ord("d") * 101 + 1, 8, 1))


def test_classes_with_too_few_images_for_their_split_are_left_out_and_others_are_told(
    tmp_path, caplog
):
    splits(tmp_path)
    class_folders(tmp_path, {"more": 2})
    (tmp_path / ".hidden").touch()
    pools = load(tmp_path, training_images=3, evaluation_images=4)
    assert names(pools) == [["a", "b"], ["c"], ["e"]]
    assert dict(pools.train.left_out) == {"small": 1}
    assert f"Not used in {tmp_path}: more." in caplog.text


def test_without_a_folder_for_validation_nothing_validates(tmp_path):
    class_folders(tmp_path / "train", {"a": 2})
    class_folders(tmp_path / "test", {"b": 2})
    assert names(load(tmp_path)) == [["a"], [], ["b"]]


def test_a_class_called_train_is_a_class(tmp_path):
    class_folders(tmp_path, {"train": 2, "test": 2, "val": 2})
    class_folders(tmp_path / "train", {"deeper": 2})
    assert split_folders(tmp_path) == {}
    assert set().union(*names(load(tmp_path, test_classes=1))) == {"train", "test", "val"}


def test_a_class_in_two_splits_is_refused(tmp_path):
    splits(tmp_path)
    class_folders(tmp_path / "test", {"a": 2})
    with pytest.raises(
        ValueError,
        match=r"one split only. Received: a \(train, test\). Remove it .* give one split's folder",
    ):
        load(tmp_path)


def test_a_folder_that_links_give_to_two_classes_is_refused(tmp_path):
    class_folders(tmp_path / "images", dict.fromkeys("abcdef", 2))
    (tmp_path / "images" / "alias").symlink_to(tmp_path / "images" / "a")
    with pytest.raises(ValueError, match=r"own folder. Received: a and alias, .*Remove all but"):
        load(tmp_path / "images")
    pools = load(tmp_path / "images", split_dir=lists(tmp_path, train="alias\nb", test="c"))
    assert names(pools) == [["alias", "b"], [], ["c"]]


@pytest.mark.parametrize(
    "option", [dict(test_classes=2), dict(validation_classes=1), dict(split_seed=3)]
)
def test_numbers_of_classes_are_refused_where_the_splits_are_given(tmp_path, option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=rf"are given, by folders.*{name}={value}. Leave these"):
        load(splits(tmp_path), **option)
    with pytest.raises(ValueError, match=rf"are given, by folders.*{name}={value}. Leave these"):
        split_classes(letters(), split_dir=str(tmp_path), **option)


def letters():
    return kr.ClassPool.from_arrays(np.arange(12)[:, None], list("abcdef") * 2)


def lists(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return str(folder)


def test_files_name_the_classes_of_each_split(tmp_path, caplog):
    where = lists(tmp_path, train="\ufeffe\n\n a \n", val="c", test="b\r\nd\r\n")
    pools = split_classes(letters(), split_dir=where)
    assert names(pools) == [["e", "a"], ["c"], ["b", "d"]]
    np.testing.assert_array_equal(pools.train.class_images(0).ravel(), [4, 10])
    assert "Left out 1 of 6 classes, which no file in" in caplog.text
    assert caplog.text.rstrip().endswith("names: f.")


def test_files_name_class_folders_and_integers(tmp_path):
    class_folders(tmp_path / "images", {"a": 2, "b": 2, "c": 2})
    where = lists(tmp_path, train="b", test="a\nc")
    assert names(load(tmp_path / "images", split_dir=where)) == [["b"], [], ["a", "c"]]
    numbers = kr.ClassPool.from_arrays(np.zeros((6, 1)), np.arange(6) % 3)
    other = lists(tmp_path, train="0\n2", test="1")
    assert names(split_classes(numbers, split_dir=other)) == [[0, 2], [], [1]]


def test_names_in_files_may_have_other_spaces_and_another_form_of_unicode(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    where = lists(tmp_path, train=f"{composed}\n spaced", test="c")
    for name in (decomposed, composed):
        class_folders(tmp_path / name, {name: 2, " spaced ": 2, "c": 2})
        assert names(load(tmp_path / name, split_dir=where)) == [[name, " spaced "], [], ["c"]]
    class_folders(tmp_path / decomposed, {composed: 2})
    both = load(tmp_path / decomposed, split_dir=where)
    assert names(both) == [[composed, " spaced "], [], ["c"]]
    where = lists(tmp_path, train=f"{composed}\n{decomposed}", test="c")
    assert names(load(tmp_path / decomposed, split_dir=where))[0] == [composed, decomposed]
    with pytest.raises(ValueError, match="one split only"):
        load(tmp_path / composed, split_dir=where)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (dict(test="a"), "has no train.txt"),
        (
            dict(train="a\nx", test="y"),
            r"classes that are not there: x, y. The classes: a, b, c.*f\. Name only",
        ),
        (dict(train="a", test="a"), r"Received: a \(train, test\)"),
        (dict(train="a\nb\na", test="c"), r"Received: a \(train, train\)"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        split_classes(letters(), split_dir=lists(tmp_path, **files))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is not a directory. Give a folder with train.txt"):
        split_classes(letters(), split_dir=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"split_dir=5 is not a directory"):
        split_classes(letters(), split_dir=5)
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ValueError, match=r"train.txt cannot be read: .*Write names as UTF-8"):
        split_classes(letters(), split_dir=str(tmp_path))


def test_folders_and_files_together_are_refused(tmp_path):
    where = lists(tmp_path, train="a", test="d")
    with pytest.raises(ValueError, match=r"decide the splits. Received with it: split_dir="):
        load(splits(tmp_path / "images"), split_dir=where)


def test_a_recipe_passes_the_files_on_and_gives_advice_that_helps(tmp_path):
    recipe = named.get(image_dir=splits(tmp_path), split_dir="lists")
    assert data_options(recipe, None)["split_dir"] == "lists"
    assert more_classes(recipe, "train") == ", or add classes to this split"
    folders = named.get(image_dir=str(tmp_path))
    assert "split_dir" not in data_options(folders, None)
    assert more_classes(folders, "test") == ", or add classes to this split"
    with pytest.raises(ValueError, match=r"`split_dir` is for dataset='folder' or 'tfds:NAME'"):
        data_options(named.get("glyphs", split_dir="lists"), None)


def test_classes_are_selected_by_name():
    pool = letters().select(["e", "a"])
    assert pool.names == ("e", "a")
    np.testing.assert_array_equal(pool.images.ravel(), [4, 10, 0, 6])
    turned = kr.ClassPool.from_arrays(np.zeros((2, 4, 4, 1)), [7, 9]).with_rotations()
    assert turned.select([(9, 90)]).names == ((9, 90),)
    for wrong in (["x"], ["a", "a"]):
        with pytest.raises(ValueError, match=rf"each once. Received: \['{wrong[0]}'\]"):
            letters().select(wrong)
