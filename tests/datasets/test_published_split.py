"""The published splits of the field: their sizes, their classes, and recipes that use them."""

import dataclasses

import numpy as np
import pytest
from made_images import class_folders
from PIL import Image

import keras_reptile as kr
from keras_reptile.datasets.own_split import check_disjoint, named_classes, split_by_names
from keras_reptile.datasets.published_split import PUBLISHED, published_split
from keras_reptile.recipes import building, named
from keras_reptile.recipes.data_options import data_options
from keras_reptile.recipes.recipe import Recipe

# Facts of the papers: some classes of each test split.
TEST_CLASSES = {
    "cifar_fs": {"baby", "bed", "worm", "rocket"},
    # The superclasses of the test: aquatic mammals, insects, medium mammals and people.
    "fc100": {"beaver", "whale", "bee", "cockroach", "fox", "skunk", "baby", "woman"},
    "tiered_imagenet": {"n03314780", "n02104029", "n07768694"},
    "cub": {"004.Groove_billed_Ani", "200.Common_Yellowthroat"},
}


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """A folder with a tiny picture of each of CUB's classes, all of one colour."""
    folder = tmp_path_factory.mktemp("birds")
    names = [n for part in named_classes(published_split("cub")).values() for n in part]
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    for name in names:
        (folder / name).mkdir()
        picture.save(folder / name / "1.png")
    return folder


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_classes_are_as_many_as_published_and_in_one_split_each(name):
    classes = named_classes(published_split(name))
    check_disjoint(classes)
    assert tuple(map(len, classes.values())) == PUBLISHED[name].classes
    assert TEST_CLASSES[name] <= set(classes["test"])


def test_both_splits_of_cifar_have_the_same_100_classes():
    both = [named_classes(published_split(name)) for name in ("cifar_fs", "fc100")]
    first, second = ({n for part in split.values() for n in part} for split in both)
    assert first == second and len(first) == 100


def test_tiered_imagenet_is_of_wordnet_ids():
    classes = named_classes(published_split("tiered_imagenet"))
    assert all(n[0] == "n" and n[1:].isdigit() for part in classes.values() for n in part)


def test_the_split_of_birds_goes_by_the_order_of_the_folders(birds):
    pools = kr.datasets.load(
        "folder", image_dir=str(birds), split_dir=published_split("cub"), image_size=4, channels=3
    )
    in_order = sorted(folder.name for folder in birds.iterdir())
    expected = in_order[0::2], in_order[1::4], in_order[3::4]
    assert [list(pool.names) for pool in pools] == list(map(list, expected))


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match=r"The published splits are \['cifar_fs', .*Did you mean"):
        published_split("cifar-fs")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_trains_on_the_split(name):
    recipe = named.get(f"{name}_5way")
    folder = {"image_dir": "x"} if recipe.dataset == "folder" else {}
    options = data_options(dataclasses.replace(recipe, **folder), None)
    assert options["split_dir"] == published_split(name)
    assert options["validation_classes"] == 0 and options["channels"] == 3


def test_the_recipe_of_birds_reads_them(birds):
    few = dict(image_dir=str(birds), image_size=4, train_shots=1, train_queries=False, queries=1)
    pools = building.load_pools(named.get("cub_5way", **few), None)
    assert len(pools.train) == 100 and len(pools.test.left_out) == 50


def test_two_splits_are_refused():
    both = Recipe(dataset="folder", image_dir="x", split_dir="y", published_split="cub")
    with pytest.raises(ValueError, match=r"split_dir='y', published_split='cub'\. Leave one"):
        data_options(both, None)


def test_lists_that_the_user_gives_replace_the_split_of_a_recipe():
    given = named.get("cub_5way", image_dir="x", split_dir="lists")
    assert (given.split_dir, given.published_split) == ("lists", "")
    assert data_options(given, None)["split_dir"] == "lists"
    assert named.get("cub_5way", split_dir="").published_split == "cub"
    both = named.get("cub_5way", image_dir="x", split_dir="lists", published_split="cub")
    with pytest.raises(ValueError, match=r"split_dir='lists', published_split='cub'\. Leave one"):
        data_options(both, None)
    with pytest.raises(ValueError, match=r"do not use `split_dir`\. Received: dataset='sinusoid'"):
        named.get("sinusoid", split_dir="lists")


def test_a_folder_without_the_classes_of_a_split_is_refused_by_the_name_of_the_split(tmp_path):
    cats = class_folders(tmp_path / "images", {"cat": 2, "dog": 2}, channels=3)
    text = (
        r"published_split='cub' names classes that are not there: 001\.Black.* and 190 more\. The "
        r"classes: cat, dog\. It is a split of Caltech-UCSD Birds.*: give these images, or another"
    )
    with pytest.raises(ValueError, match=text):
        building.load_pools(named.get("cub_5way", image_dir=str(cats)), None)


def test_folders_of_splits_beside_a_published_split_are_refused_by_its_name(tmp_path):
    for part in ("train", "val", "test"):
        class_folders(tmp_path / part, {f"n_{part}": 2}, channels=3)
    text = (
        r"The folders train, val, test in image_dir='.*' decide the splits\. Received with it: "
        r"published_split='tiered_imagenet'\. Leave it out \(--published_split= where a recipe sets"
    )
    recipe = named.get("tiered_imagenet_5way", image_dir=str(tmp_path))
    with pytest.raises(ValueError, match=text):
        building.load_pools(recipe, None)
    few = dict(image_size=8, train_shots=1, queries=1)
    left_out = named.get("tiered_imagenet_5way", image_dir=str(tmp_path), published_split="", **few)
    assert building.load_pools(left_out, None).test.names == ("n_test",)
    with pytest.raises(ValueError, match=r"by `split_dir` or by `published_split`\. Received .*=3"):
        building.load_pools(named.get("cub_5way", image_dir=str(tmp_path), test_classes=3), None)


def test_classes_that_a_published_split_does_not_name_are_left_out_by_its_name(birds, caplog):
    names = [folder.name for folder in birds.iterdir()]
    split_by_names([*names, "cat"], published_split("cub"))
    assert "Left out 1 of 201 classes, which no file in published_split='cub' names: cat." in (
        caplog.text
    )


def test_data_of_fixed_classes_have_no_published_split():
    with pytest.raises(ValueError, match="`published_split` is for dataset='folder' or 'tfds:NAME"):
        data_options(Recipe(dataset="glyphs", published_split="cub"), None)
