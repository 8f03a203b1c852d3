import functools
import random

import numpy as np
import pytest

import keras_reptile as kr
from keras_reptile.datasets import omniglot

READ = functools.cache(omniglot._read)


@pytest.fixture(autouse=True)
def what_can_be_read_is_read_once(monkeypatch):
    monkeypatch.setattr(omniglot, "_read", READ)


@pytest.fixture
def data_dir(shared):
    return str(shared / "tensorflow_datasets")


def test_the_order_of_classes_is_the_authors():
    order = omniglot.authors_order()
    assert order[:10] == [820, 1436, 946, 1161, 886, 204, 1206, 662, 1225, 1037]
    assert sorted(order) == list(range(1623))


def test_another_seed_shuffles_as_pythons_random_does():
    expected = list(range(1623))
    random.seed(1)
    random.shuffle(expected)
    assert omniglot.authors_order(seed=1) == expected != omniglot.authors_order()


@pytest.mark.slow
def test_the_split_seed_decides_which_classes_test(data_dir):
    names = {
        seed: kr.datasets.load(
            "omniglot", data_dir=data_dir, rotations=False, validation_classes=0, split_seed=seed
        ).test.names
        for seed in (0, 1)
    }
    # 423 of 1,623 twice: 110 in common are to be expected, by 8 more or less.
    assert len(names[1]) == 423 and 80 < len({*names[0]} & {*names[1]}) < 140


@pytest.mark.slow
def test_the_groups_of_the_evaluation_classes_are_its_20_alphabets(data_dir):
    pools = kr.datasets.load("omniglot", data_dir=data_dir, split="background", rotations=False)
    sizes = np.unique(pools.test.groups, return_counts=True)[1]
    # The published 20-way tasks need 20 characters of an alphabet: all of these have them.
    assert (len(sizes), sizes.sum(), sizes.min()) == (20, 659, 20)
    assert not {*pools.test.groups} & {*pools.train.groups, *pools.validation.groups}
    assert len({*pools.train.groups, *pools.validation.groups}) == 30


@pytest.mark.slow
def test_the_split_seed_decides_which_background_classes_validate(data_dir):
    pools = [
        kr.datasets.load(
            "omniglot", data_dir=data_dir, split="background", rotations=False, split_seed=seed
        )
        for seed in (0, 1)
    ]
    assert len({*pools[0].validation.names} & {*pools[1].validation.names}) < 25
    assert pools[0].test.names == pools[1].test.names


@pytest.mark.slow
def test_the_authors_split_with_rotated_training_classes(data_dir):
    pools = kr.datasets.load("omniglot", data_dir=data_dir)
    assert [len(pool) for pool in pools] == [4 * 1150, 50, 423]
    assert all((pool.counts == 20).all() for pool in pools)
    names = [{n[0] if isinstance(n, tuple) else n for n in pool.names} for pool in pools]
    assert len(names[0] | names[1] | names[2]) == 1623
    assert set(np.unique(pools.test.images)) == {0, 255}
    assert pools.test.image_shape == (28, 28, 1)
    # Mostly paper, which is white.
    assert 0.8 < pools.test.images.mean() / 255 < 0.97


@pytest.mark.slow
def test_without_validation_the_training_classes_are_the_authors_1200(data_dir):
    pools = kr.datasets.load("omniglot", data_dir=data_dir, validation_classes=0, rotations=False)
    assert [len(pool) for pool in pools] == [1200, 0, 423]
    ordered = sorted([*pools.train.names, *pools.test.names])
    positions = [ordered.index(name) for name in pools.train.names[:5]]
    assert positions == [820, 1436, 946, 1161, 886]


@pytest.mark.slow
def test_the_background_split_is_by_alphabet(data_dir):
    pools = kr.datasets.load("omniglot", data_dir=data_dir, split="background", rotations=False)
    assert [len(pool) for pool in pools] == [964 - 50, 50, 659]
    alphabets = [{name // 1000 for name in pool.names} for pool in pools]
    assert len(alphabets[2]) == 20
    assert not alphabets[2] & (alphabets[0] | alphabets[1])


@pytest.mark.slow
def test_images_are_those_of_the_authors_program(shared, data_dir):
    run = np.load(shared / "reference" / "reptile_sgd.npz")
    pools = kr.datasets.load("omniglot", data_dir=data_dir, validation_classes=0)
    ours = {(image[..., 0] > 0).tobytes() for pool in pools for image in pool.images}
    theirs = np.concatenate([run[f"images/{i}/0/0"] for i in range(3)])
    assert all((image > 0).tobytes() in ours for image in theirs)


def test_nearest_neighbour_keeps_the_middle_sample():
    assert omniglot.nearest_rows(105, 28).tolist()[:5] == [1, 5, 9, 13, 16]
    assert omniglot.nearest_rows(4, 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(split="mine"), r"`split` must be 'authors' or 'background'. Received: split='mine'"),
        (dict(validation_classes=1200), r"must be in 0 to 899.*Received: validation_classes=1200"),
        (dict(validation_classes=-1), r"must not be negative. Received: validation_classes=-1"),
        (dict(split_seed=-1), r"`split_seed` must not be negative. Received: split_seed=-1"),
        (dict(image_size=0), r"`image_size` must be at least 1. Received: image_size=0"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        kr.datasets.load("omniglot", **options)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match=r"must be one of \['folder', 'glyphs', .* or 'tfds:NAME'"):
        kr.datasets.load("cifar")


def test_a_missing_directory_is_refused_before_any_download(tmp_path):
    with pytest.raises(
        ValueError, match=r"nowhere' is not a directory. Give TFDS's data directory"
    ):
        kr.datasets.load("omniglot", data_dir=str(tmp_path / "nowhere"))


def test_missing_data_that_cannot_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(omniglot, "SOURCE", "no-such-host.invalid")
    with pytest.raises(
        ValueError, match=r"Omniglot is not prepared in data_dir=.*TFDS_DATA_DIR.*cause"
    ):
        kr.datasets.load("omniglot", data_dir=str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_damaged_data_is_noticed(damage, data_dir, tmp_path):
    import shutil
    from pathlib import Path

    copy = tmp_path / "omniglot" / "3.0.0"
    copy.mkdir(parents=True)
    for path in (Path(data_dir) / "omniglot" / "3.0.0").iterdir():
        shutil.copyfile(path, copy / path.name)
    record = copy / "omniglot-train.tfrecord-00000-of-00001"
    if damage == "truncated":
        content = record.read_bytes()
        record.write_bytes(content[: len(content) // 9])
    else:
        record.unlink()
    text = (
        r"omniglot cannot be read from .*3.0.0. Damaged or missing: omniglot-train.tfrecord-00000-"
        r"of-00001. Remove that folder, so that it is prepared again. The cause: \w+Error: "
    )
    with pytest.raises(ValueError, match=text):
        kr.datasets.load("omniglot", data_dir=str(tmp_path))
