import json
import os
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from made_images import IMAGES, PLACES, mini_imagenet, picture, save, turned
from PIL import Image

import keras_reptile as kr
from keras_reptile.datasets import mini_imagenet_layouts as layouts
from keras_reptile.datasets.image_decoding import decoded
from keras_reptile.datasets.mini_imagenet import MiniImagenet
from keras_reptile.datasets.mini_imagenet_cache import read_cache

LAYOUTS = (*PLACES, "cache", "cache of Python 2")


@pytest.fixture(autouse=True)
def miniature(monkeypatch):
    monkeypatch.setattr(layouts, "CLASSES", {"train": 3, "validation": 2, "test": 2})
    monkeypatch.setattr(layouts, "IMAGES_PER_CLASS", IMAGES)


def load(tmp_path, **options):
    (tmp_path / "data").mkdir(exist_ok=True)
    options = {"manual_dir": str(tmp_path / "manual"), "validation_classes": 2, **options}
    return kr.datasets.load("mini_imagenet", data_dir=str(tmp_path / "data"), **options)


class BuilderTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks of a builder."""

    DATASET_CLASS = MiniImagenet
    SPLITS = {"train": 3 * IMAGES, "validation": 2 * IMAGES, "test": 2 * IMAGES}  # noqa: RUF012
    EXAMPLE_DIR = tempfile.mkdtemp()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        mini_imagenet(Path(cls.EXAMPLE_DIR))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.EXAMPLE_DIR)
        super().tearDownClass()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_same_images(layout, tmp_path):
    found = layouts.find_images(mini_imagenet(tmp_path, layout))
    expected = layouts.find_images(mini_imagenet(tmp_path / "other"))
    assert {split: len(images) for split, images in found.items()} == {
        "train": 12,
        "validation": 8,
        "test": 8,
    }
    for split, images in found.items():
        assert [label for _, label in images] == [label for _, label in expected[split]]
        for (image, _), (other, _) in zip(images, expected[split], strict=True):
            if isinstance(image, np.ndarray):
                np.testing.assert_array_equal(image, decoded(other, 3))
            else:
                assert image.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_pools_are_the_three_splits_pixel_by_pixel(tmp_path):
    manual = mini_imagenet(tmp_path / "manual", "flat")
    pools = load(tmp_path)
    assert [pool.names for pool in pools] == [
        ("ntrain0", "ntrain1", "ntrain2"),
        ("nval0", "nval1"),
        ("ntest0", "ntest1"),
    ]
    assert all((pool.counts == IMAGES).all() for pool in pools)
    assert pools.train.image_shape == (84, 84, 3)
    assert pools.train.images.dtype == np.uint8
    expected = picture(sum(map(ord, "nval1_2.png")) * 31 + 2)
    np.testing.assert_array_equal(pools.validation.class_images(1)[2], expected)
    # Once prepared, the images are not looked at again.
    shutil.rmtree(manual)
    again = load(tmp_path, validation_classes=1)
    np.testing.assert_array_equal(again.train.images, pools.train.images)
    assert again.validation.names == ("nval0",)
    grey = load(tmp_path, image_size=28, channels=1)
    assert grey.test.image_shape == (28, 28, 1)


def test_a_training_pool_is_not_copied_for_episodes(tmp_path):
    mini_imagenet(tmp_path / "manual")
    train = load(tmp_path).train
    before = train.tensor[0, 0, 0, 0].numpy()
    train.images[0, 0, 0, 0] = before + 1
    assert train.tensor[0, 0, 0, 0].numpy() == before + 1


def test_other_sizes_are_squeezed_to_84(tmp_path):
    manual = mini_imagenet(tmp_path / "manual")
    large = np.random.RandomState(0).randint(0, 256, (375, 500, 3), np.uint8)
    path = manual / "test" / "ntest0" / "ntest0_0.png"
    save(path, Image.fromarray(large), exif=turned(6))
    image = load(tmp_path).test.images[0]
    # As the authors' program reads it, with the default of Pillow before version 7.
    expected = Image.open(path).resize((84, 84), Image.Resampling.NEAREST).convert("RGB")
    np.testing.assert_array_equal(image, expected)


def test_what_an_earlier_version_prepared_is_read(tmp_path, monkeypatch):
    manual = mini_imagenet(tmp_path / "manual")
    (tmp_path / "data").mkdir()
    with monkeypatch.context() as earlier:
        earlier.setattr(MiniImagenet, "VERSION", tfds.core.Version("1.0.0"))
        builder = MiniImagenet(data_dir=tmp_path / "data")
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual)
        )
    assert builder.data_path.name == "1.0.0"
    shutil.rmtree(manual)
    assert len(load(tmp_path).train) == 3


@pytest.mark.parametrize("inside", ["", "images"])
def test_100_folders_are_split_by_their_names(inside, tmp_path, monkeypatch):
    monkeypatch.setattr(layouts, "CLASSES", {"train": 64, "validation": 16, "test": 20})
    monkeypatch.setattr(layouts, "IMAGES_PER_CLASS", 1)
    known = json.loads(layouts.KNOWN.read_text())
    names = [name for split in known.values() for name in split]
    assert len(set(names)) == 100
    for name in names:
        (tmp_path / inside / name).mkdir(parents=True)
        (tmp_path / inside / name / "1.JPEG").touch()
    found = layouts.find_images(tmp_path)
    assert {s: [label for _, label in images] for s, images in found.items()} == known
    assert "n01532829" in known["train"]  # The first rows of Ravi and Larochelle's three lists.
    assert "n01855672" in known["validation"]
    assert "n01930112" in known["test"]


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


CACHES = {
    "code": (lambda: {"image_data": Bomb()}, r"it names \w+\.mkdir, which no array needs"),
    "a name of NumPy": (lambda: {"image_data": np.load}, "it names numpy.load, which no array"),
    "no dict": (lambda: [1, 2], "is not a cache of miniImageNet: "),
    "no images": (lambda: {"class_dict": {}}, "it has no 'image_data'"),
    "floats": (
        lambda: {"image_data": np.zeros((2, 8, 8, 3)), "class_dict": {"a": [0]}},
        r"its image_data are float64 of shape \(2, 8, 8, 3\)",
    ),
    "a list of images": (
        lambda: {"image_data": [[1]], "class_dict": {"a": [0]}},
        "its image_data are of type list",
    ),
    "too few images": (
        lambda: {"image_data": np.zeros((2, 8, 8, 3), np.uint8), "class_dict": {"a": [1, 2]}},
        "it does not have all images of the class a",
    ),
}


@pytest.mark.parametrize("kind", CACHES)
def test_a_cache_runs_no_code_and_holds_images(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, text = CACHES[kind]
    path = mini_imagenet(tmp_path, "cache") / "mini-imagenet-cache-val.pkl"
    for protocol in (2, 5):
        path.write_bytes(pickle.dumps(make(), protocol))
        with pytest.raises(ValueError, match=rf"mini-imagenet-cache-val.pkl .*{text}"):
            layouts.find_images(tmp_path)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_caches_of_every_protocol_are_read(protocol, tmp_path):
    images = np.random.RandomState(0).randint(0, 256, (6, 8, 8, 3), np.uint8)
    classes = {"b": [0, 2, 4], "a": np.array([5, 3, 1])}
    path = tmp_path / "cache.pkl"
    path.write_bytes(pickle.dumps({"image_data": images, "class_dict": classes}, protocol))
    found = read_cache(path)
    assert [label for _, label in found] == ["a"] * 3 + ["b"] * 3
    np.testing.assert_array_equal([image for image, _ in found], images[[5, 3, 1, 0, 2, 4]])


def test_a_cache_that_is_cut_off_or_missing_is_named(tmp_path):
    path = mini_imagenet(tmp_path, "cache") / "mini-imagenet-cache-train.pkl"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cache-train.pkl is not a cache of miniImageNet: "):
        layouts.find_images(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=r"train images are missing: .*cache-train.pkl does"):
        layouts.find_images(tmp_path)


def remove_split(manual):
    shutil.rmtree(manual / "val")


def remove_image(manual):
    (manual / "train" / "ntrain1" / "ntrain1_3.png").unlink()


def spoil_image(manual):
    path = manual / "test" / "ntest0" / "ntest0_1.png"
    path.write_bytes(path.read_bytes()[:100])


def remove_class(manual):
    shutil.rmtree(manual / "test" / "ntest1")


def repeat_row(manual):
    rows = (manual / "test.csv").read_text().splitlines()
    (manual / "test.csv").write_text("\n".join([*rows[:-1], rows[-2]]) + "\n")


def repeat_class(manual):
    shutil.move(manual / "test" / "ntest1", manual / "test" / "ntrain0")


BROKEN = {
    "a missing split": ("folders", remove_split, r"validation images are missing: .*manual/val "),
    "a missing image": ("folders", remove_image, r"Received: 3 of the class ntrain1 in the train"),
    "an unreadable image": (
        "folders",
        spoil_image,
        r"ntest0_1.png cannot be read as an image: ",
    ),
    "a missing class": (
        "folders",
        remove_class,
        r"test split must have 2 classes. Received: 1 cla",
    ),
    "a repeated class": ("folders", repeat_class, r"class ntrain0 in 2 splits of .*manual"),
    "a missing list": ("flat", lambda m: (m / "val.csv").unlink(), r"missing: .*val.csv does"),
    "a missing file of a list": (
        "flat",
        lambda m: (m / "images" / "nval1_0.png").unlink(),
        r".*val.csv lists nval1_0.png with the label nval1. This file is not in .*images",
    ),
    "a list with no header": (
        "flat",
        lambda m: (m / "test.csv").write_text("a.png,n1\n"),
        r"test.csv must have the header filename,label or class_n.* Received: \['a.png', 'n1'\]",
    ),
    "a list in UTF-16": (
        "flat",
        lambda m: (m / "test.csv").write_text("filename,label\na.png,n1\n", encoding="utf-16"),
        r"test.csv cannot be read: 'utf-8' codec can't decode .* Save it as a CSV file in UTF-8",
    ),
    "a list with a line that is too long": (
        "flat",
        lambda m: (m / "test.csv").write_text("filename,label\n" + "a" * 200_000 + ",n1\n"),
        r"test.csv cannot be read: field larger than field limit",
    ),
    "a row with no label": (
        "flat",
        lambda m: (m / "test.csv").write_text("filename,label\na.png,\n"),
        r"test.csv has a row without a filename or a label: a.png,",
    ),
    "an image that is listed twice": (
        "flat",
        repeat_row,
        r"test.csv must list each image once. Received: 1 image more than once, the first .*png",
    ),
    "nothing there": ("folders", shutil.rmtree, r"is not prepared in .*Manual directory .*manual"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_and_leaves_nothing_behind(name, tmp_path):
    layout, damage, text = BROKEN[name]
    damage(mini_imagenet(tmp_path / "manual", layout))
    with pytest.raises(ValueError, match=text):
        load(tmp_path)
    assert not list((tmp_path / "data").rglob("dataset_info.json"))
    # Once it is repaired, it works.
    shutil.rmtree(tmp_path / "manual", ignore_errors=True)
    mini_imagenet(tmp_path / "manual", layout)
    assert len(load(tmp_path).train) == 3


def test_damage_to_the_prepared_data_is_noticed(tmp_path):
    mini_imagenet(tmp_path / "manual")
    load(tmp_path)
    record = next((tmp_path / "data").rglob("*train.tfrecord*"))
    record.write_bytes(record.read_bytes()[:1000])
    with pytest.raises(
        ValueError, match=r"mini_imagenet cannot be read from .*Damaged or missing: .*train"
    ):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(validation_classes=17), r"must be at most 16, the.*validation_classes=17"),
        (dict(image_size=0), r"`image_size` must be at least 1"),
        (dict(channels=2), r"`channels` must be 1 \(grey\) or 3 \(colour\). Received: channels=2"),
        (dict(data_dir="no/where"), r"data_dir='no/where' is not a directory"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        kr.datasets.load("mini_imagenet", **options)
