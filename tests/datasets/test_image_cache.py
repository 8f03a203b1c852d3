"""Images come from the cache as they were decoded, and never where the files are others."""

import copy
import os
import pickle
import shutil
import time
from unittest import mock

import numpy as np
import pytest
from made_images import class_folders, picture, write_image
from PIL import Image

import keras_reptile as kr
from keras_reptile.datasets import image_cache, image_files

COUNTS = {name: 3 for name in "abcdefgh"} | {"i": 1}
SPLIT = dict(image_size=8, validation_classes=1, test_classes=3, training_images=2)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder of images, whose changes count at once, and with a cache however few they are."""
    monkeypatch.setattr(image_cache, "LEAST", 1)
    monkeypatch.setattr(image_cache, "SETTLED_SECONDS", -60)
    monkeypatch.setenv("KERAS_REPTILE_CACHE", str(tmp_path / "cache"))
    return class_folders(tmp_path / "images", COUNTS)


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded, by name, in order."""
    found = []

    def read_image(path, *arguments, **options):
        found.append(os.path.relpath(path, path.parents[1]))
        return plain(path, *arguments, **options)

    plain = image_files.read_image
    monkeypatch.setattr(image_files, "read_image", read_image)
    return found


def load(images, **options):
    return kr.datasets.load("folder", image_dir=str(images), **SPLIT | options)


def caches(tmp_path):
    return sorted((tmp_path / "cache").glob("*"))


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a.names, a.left_out, a.counts.tolist()) == (b.names, b.left_out, b.counts.tolist())
        np.testing.assert_array_equal(a.images, b.images)


def test_a_second_start_decodes_nothing_and_reads_the_same(images, tmp_path, decoded):
    first = load(images)
    assert len(decoded) == sum(COUNTS.values())
    decoded.clear()
    assert_same(first, load(images))
    assert decoded == []
    for pool in first:
        for position, name in enumerate(pool.names):
            for i, image in enumerate(pool.class_images(position)):
                np.testing.assert_array_equal(image, picture(ord(name) * 101 + i, 8, 1))
    (cache,) = caches(tmp_path)
    assert cache.stat().st_size == sum(COUNTS.values()) * 64 + 32 * len(COUNTS)


def test_another_split_is_read_from_the_same_cache(images, tmp_path, decoded, monkeypatch):
    load(images)
    decoded.clear()
    found = load(images, split_seed=3, test_classes=4, evaluation_images=3)
    assert decoded == [] and len(caches(tmp_path)) == 1
    monkeypatch.setenv("KERAS_REPTILE_CACHE", "")
    assert_same(found, load(images, split_seed=3, test_classes=4, evaluation_images=3))


@pytest.mark.parametrize("cached", [False, True])
def test_of_some_parts_only_their_classes_are_read(cached, images, decoded):
    whole = load(images)
    if not cached:
        for path in caches(images.parent):
            path.unlink()
    decoded.clear()
    found = load(images, parts=["test"])
    names = {name.split("/")[0] for name in decoded}
    assert names == (set() if cached else set(whole.test.names))
    assert_same([whole.test], [found.test])
    for part, pool in (("train", found.train), ("validation", found.validation)):
        other = getattr(whole, part)
        assert (pool.names, pool.counts.tolist()) == (other.names, other.counts.tolist())
        assert (pool.image_shape, pool.left_out) == (other.image_shape, other.left_out)
        text = rf"images of these {len(pool)} classes were not read, and `images` needs them. Name"
        with pytest.raises(AttributeError, match=text):
            pool.class_images(0)
        again = pickle.loads(pickle.dumps(copy.deepcopy(pool)))
        assert (again.names, again.image_shape) == (pool.names, pool.image_shape)
    # What was not read as a whole is not kept.
    assert len(caches(images.parent)) == cached


def test_classes_that_no_split_names_are_not_read_and_the_others_cached(images, tmp_path, decoded):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.txt").write_text("a\nb\ni\n")
    (tmp_path / "lists" / "test.txt").write_text("d\n")
    options = dict(image_dir=str(images), image_size=8, training_images=2)
    read = [
        kr.datasets.load("folder", split_dir=str(tmp_path / "lists"), **options) for _ in range(2)
    ]
    assert_same(*read)
    assert sorted({name[0] for name in decoded}) == ["a", "b", "d", "i"]
    assert len(decoded) == 10


def test_images_in_folders_of_splits_are_cached(tmp_path, images, decoded):
    folder = tmp_path / "splits"
    for split, name in (("train", "k"), ("val", "l"), ("test", "m")):
        class_folders(folder / split, {name: 4})
    first, second = (
        kr.datasets.load("folder", image_dir=str(folder), image_size=8) for _ in range(2)
    )
    assert_same(first, second)
    assert len(decoded) == 12 and [pool.names for pool in first] == [("k",), ("l",), ("m",)]


@pytest.mark.parametrize("parts", ["test", ["tests"], 3, [["test"]]])
def test_parts_that_there_are_not_are_refused(parts, images):
    with pytest.raises(ValueError, match=r"`parts` must be a list of some of .*Received: parts="):
        load(images, parts=parts)


# Files that change


def rewritten_in_its_size(path):
    """Another image of the same size in bytes, whose time is set back."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    other = path.with_name("other.bmp")
    content[-1] ^= 0xFF
    other.write_bytes(content)
    time.sleep(0.02)
    path.write_bytes(other.read_bytes())
    other.unlink()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


CHANGES = {
    "rewritten": lambda folder: write_image(folder / "a" / "1.png", picture(77, 8, 1)),
    "added": lambda folder: write_image(folder / "a" / "9.png", picture(77, 8, 1)),
    "removed": lambda folder: (folder / "a" / "1.png").unlink(),
    "renamed": lambda folder: (folder / "a" / "1.png").rename(folder / "a" / "9.png"),
    "a class renamed": lambda folder: (folder / "a").rename(folder / "j"),
    "rewritten in its size and time": lambda folder: rewritten_in_its_size(folder / "b" / "0.bmp"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_decoded_anew(change, images, monkeypatch):
    Image.fromarray(picture(1, 8, 1)[..., 0]).save(images / "b" / "0.bmp")
    before = load(images)
    CHANGES[change](images)
    found = load(images)
    monkeypatch.setenv("KERAS_REPTILE_CACHE", "")
    assert_same(found, load(images))
    same = [np.array_equal(a.images, b.images) for a, b in zip(before, found, strict=True)]
    assert not all(same) or [a.names for a in before] != [b.names for b in found]


def test_other_sizes_channels_and_folders_have_other_caches(images, tmp_path):
    load(images)
    for options in ({"image_size": 5}, {"channels": 3}):
        assert load(images, **options).train.image_shape != (8, 8, 1)
    shutil.copytree(images, tmp_path / "copy")
    for path in images.rglob("*.png"):
        times = path.stat()
        os.utime(tmp_path / "copy" / path.relative_to(images), ns=(1, times.st_mtime_ns))
    write_image(tmp_path / "copy" / "a" / "0.png", picture(5, 8, 1))
    assert_same([load(images).test], [load(images).test])
    load(tmp_path / "copy")
    assert len(caches(tmp_path)) == 4


def test_a_folder_is_the_same_however_it_is_named(images, tmp_path, decoded, monkeypatch):
    (tmp_path / "link").symlink_to(images)
    load(images)
    decoded.clear()
    monkeypatch.chdir(tmp_path)
    for name in ("images", "./images/", tmp_path / "link"):
        load(name)
    assert decoded == []


def test_files_that_have_just_changed_are_not_kept(images, tmp_path, monkeypatch):
    monkeypatch.setattr(image_cache, "SETTLED_SECONDS", 60)
    load(images)
    assert caches(tmp_path) == []


def test_few_images_and_those_of_who_wants_no_cache_are_not_kept(images, tmp_path, monkeypatch):
    monkeypatch.setattr(image_cache, "LEAST", sum(COUNTS.values()) + 1)
    load(images)
    monkeypatch.setattr(image_cache, "LEAST", 1)
    monkeypatch.setenv("KERAS_REPTILE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    load(images)
    assert caches(tmp_path) == []


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"KERAS_REPTILE_CACHE": "~/mine"}, "home/mine"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/keras_reptile"),
        ({"XDG_CACHE_HOME": ""}, "home/.cache/keras_reptile"),
        ({}, "home/.cache/keras_reptile"),
    ],
)
def test_where_caches_are_kept(variables, folder, tmp_path, monkeypatch):
    for name in ("KERAS_REPTILE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path / "home"), **variables}.items():
        monkeypatch.setenv(name, value)
    assert image_cache.cache_directory() == tmp_path / folder


# Damage


def flipped(content, place):
    changed = bytearray(content)
    changed[place] ^= 1 << place % 8
    return bytes(changed)


def test_each_damaged_bit_is_noticed_and_the_cache_made_anew(images, tmp_path, decoded, caplog):
    whole = load(images)
    (cache,) = caches(tmp_path)
    content = cache.read_bytes()
    places = np.random.RandomState(0).choice(len(content), 20, replace=False).tolist()
    damaged = [flipped(content, place) for place in (0, len(content) - 1, *places)]
    damaged += [b"", content[:-1], content + b"0", content[: len(content) // 2]]
    for wrong in damaged:
        cache.write_bytes(wrong)
        decoded.clear()
        caplog.clear()
        assert_same(whole, load(images))
        assert f"{cache} is not used: it" in caplog.text and "is written again." in caplog.text
        assert len(decoded) == sum(COUNTS.values()) and cache.read_bytes() == content


def test_a_damaged_class_that_is_not_needed_is_not_looked_at(images, tmp_path, caplog):
    whole = load(images)
    (cache,) = caches(tmp_path)
    content = bytearray(cache.read_bytes())
    place = 32 * len(COUNTS) + 64 * 3 * sorted(COUNTS).index(whole.train.names[0])
    content[place] ^= 1
    cache.write_bytes(content)
    assert_same([whole.test], [load(images, parts=["test"]).test])
    assert "is not used" not in caplog.text
    assert_same(whole, load(images))
    assert "its checksums are wrong" in caplog.text


def test_a_cache_that_cannot_be_written_is_a_warning(images, tmp_path, monkeypatch, caplog):
    (tmp_path / "cache").write_text("a file")
    load(images)
    assert "Images are decoded again at every start: " in caplog.text


def test_another_users_cache_is_read_though_its_times_may_not_be_set(
    images, tmp_path, decoded, monkeypatch, caplog
):
    first = load(images)
    decoded.clear()
    monkeypatch.setattr(os, "utime", mock.Mock(side_effect=PermissionError(1, "Not permitted")))
    assert_same(first, load(images))
    assert decoded == [] and "is not used" not in caplog.text and len(caches(tmp_path)) == 1


def test_an_image_that_is_not_there_is_named_as_ever(images):
    (images / "a" / "2.png").unlink()
    (images / "a" / "2.png").symlink_to("nowhere")
    text = r"1 of 25 images cannot be read: .*a/2.png \(it is a link to a file that does not exist"
    with pytest.raises(ValueError, match=text):
        load(images)


def test_the_caches_that_were_not_used_for_longest_are_removed(images, tmp_path, monkeypatch):
    load(images, image_size=5)
    (older,) = caches(tmp_path)
    load(images, image_size=6)
    (newer,) = set(caches(tmp_path)) - {older}
    os.utime(older, (1, 1))
    os.utime(newer, (2, 2))
    load(images, image_size=5)  # Which is used, and so the newer of the two.
    monkeypatch.setattr(image_cache, "MAX_CACHE_BYTES", 2000)
    image_cache.remove_oldest(tmp_path / "cache", 2000)
    assert caches(tmp_path) == [older]
    image_cache.remove_oldest(tmp_path / "cache", 0)
    assert caches(tmp_path) == []


def test_a_cache_that_another_process_removes_meanwhile_is_passed_over(tmp_path):
    (tmp_path / "gone.images").symlink_to("nowhere")
    (tmp_path / "old.images").write_bytes(bytes(10))
    image_cache.remove_oldest(tmp_path, 0)
    assert not (tmp_path / "old.images").exists()


def test_the_images_of_all_parts_lie_in_one_array(images):
    pools = load(images)
    assert pools.train.images.base is not None
    assert pools.train.images.base is pools.test.images.base


def test_the_names_of_files_may_be_any_bytes(images, decoded):
    shutil.copy(images / "a" / "0.png", os.fsencode(images) + b"/a/caf\xe9.png")
    first = load(images)
    decoded.clear()
    assert_same(first, load(images))
    assert decoded == []
