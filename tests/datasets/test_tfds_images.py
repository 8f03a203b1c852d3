"""Labelled image sets of TFDS, by their names."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from made_images import TinyShapes

import keras_reptile as kr
from keras_reptile.datasets import tfds_images


def names(pools):
    return [set(pool.names) for pool in pools]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tfds"))
    TinyShapes(data_dir=path).download_and_prepare()
    return path


def test_a_set_of_tfds_by_name(data_dir):
    pools = kr.datasets.load("tfds:tiny_shapes", data_dir=data_dir, image_size=10, test_classes=4)
    assert set.union(*names(pools)) == set("abcdefghi")
    for pool in pools:
        assert pool.image_shape == (10, 10, 1)
        for position, name in enumerate(pool.names):
            number = "abcdefghi".index(name)
            # Train and test, not small, which repeats them; secret labels are left out.
            assert len(pool.class_images(position)) == (1 if name == "i" else 6)
            assert (pool.class_images(position) == 20 * number).all()


def test_a_set_of_tfds_in_colour_and_another_size(data_dir):
    options = dict(image_size=5, channels=3, test_classes=4, training_images=2)
    pools = kr.datasets.load("tfds:tiny_shapes", data_dir=data_dir, **options)
    assert pools.train.image_shape == (5, 5, 3)
    assert len(pools.train) + len(pools.test) in (8, 9)
    assert (pools.train.images == pools.train.images[:, :1, :1, :1]).all()


def builder_of(data, examples):
    splits = {"train": SimpleNamespace(num_examples=examples)}
    return SimpleNamespace(info=SimpleNamespace(splits=splits), as_dataset=lambda **options: data)


@pytest.mark.parametrize("size", [1, 2])
def test_the_channels_of_tfds_images_may_differ(size):
    pixels = [[9], [9, 7], [0, 0, 255], [0, 0, 255, 7]]
    images = [np.full((1, 1, len(pixel)), pixel, np.uint8) for pixel in pixels]
    spec = {
        "image": tf.TensorSpec((None, None, None), tf.uint8),
        "label": tf.TensorSpec((), "int64"),
    }
    data = tf.data.Dataset.from_generator(
        lambda: ({"image": image, "label": 0} for image in images), output_signature=spec
    )
    grey, _ = tfds_images.read(builder_of(data, 4), "train", size, channels=1)
    assert grey[:, 0, 0].tolist() == [[9], [9], [29], [29]]
    colour, _ = tfds_images.read(builder_of(data, 4), "train", size, channels=3)
    assert colour[:, 0, 0].tolist() == [[9, 9, 9], [9, 9, 9], [0, 0, 255], [0, 0, 255]]


def test_only_secret_labels_of_tfds_are_left_out(tmp_path):
    class SignedShapes(TinyShapes):
        labels = (-5, -3, -1, *range(7))

        def _info(self):
            features = {"image": tfds.features.Image(shape=(10, 10, 1)), "label": np.int64}
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager):
            return {"train": self._examples(self.labels)}

    class SecretShapes(SignedShapes):
        labels = (-1, -1)

    for builder in (SignedShapes, SecretShapes):
        builder.__module__ = TinyShapes.__module__
        builder(data_dir=str(tmp_path)).download_and_prepare()
    pools = kr.datasets.load("tfds:signed_shapes", data_dir=str(tmp_path))
    assert set.union(*names(pools)) == {-5, -3, *range(7)}
    with pytest.raises(ValueError, match=r"no image of 'secret_shapes' has a known label. Choose"):
        kr.datasets.load("tfds:secret_shapes", data_dir=str(tmp_path))


def test_colour_with_transparency_becomes_grey_by_luma_in_tfds():
    blue = np.array([[[[0, 0, 255, 7]]]] * 2, np.uint8)
    builder = builder_of(tf.data.Dataset.from_tensor_slices({"image": blue, "label": [0, 1]}), 2)
    grey, _ = tfds_images.read(builder, "train", 1, channels=1)
    # The luma of blue.
    np.testing.assert_array_equal(grey.ravel(), [29, 29])
    colour, _ = tfds_images.read(builder, "train", 1, channels=3)
    np.testing.assert_array_equal(colour, blue[..., :3])


@pytest.mark.slow
def test_omniglot_by_its_name_in_tfds(shared, monkeypatch):
    chosen, choose = [], tfds_images._split

    def the_small_one(builder):
        chosen.append(choose(builder))
        return "small1"

    monkeypatch.setattr(tfds_images, "_split", the_small_one)
    pools = kr.datasets.load("tfds:omniglot", data_dir=str(shared / "tensorflow_datasets"))
    assert chosen == ["train+test"]
    # Of 136 characters, in a twelfth of the time of all 1,623.
    assert [len(pool) for pool in pools] == [109, 0, 27]
    assert all((pool.counts == 20).all() for pool in pools if len(pool))


def test_tfds_sets_that_will_not_do(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_images, "SOURCE", "no-such-host.invalid")
    for name, text in {
        "omnglot": r"There is no data set 'omnglot' in TFDS.*Did you mean omniglot\?.*catalogue",
        "coco": r"TFDS's 'coco' is not a set of images with one label each. Its features: F",
        # Its inputs are a dict.
        "hillstrom": r"TFDS's 'hillstrom' is not a set of images with one label each. Its feat",
        "wikipedia": r"TFDS's 'wikipedia' is not a set of images",
        "emnist/nope": r"TFDS cannot open 'emnist/nope': ",
        "cifar10/nope=1": r"TFDS cannot open 'cifar10/nope=1': TypeError: ",
        "cifar10": r"TFDS has not prepared 'cifar10' in .*The cause: gaierror",
    }.items():
        with pytest.raises(ValueError, match=text):
            kr.datasets.load(f"tfds:{name}", data_dir=str(tmp_path))


def test_a_damaged_set_of_tfds_is_noticed(data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    record = next(tmp_path.rglob("*train.tfrecord*"))
    record.write_bytes(record.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"tiny_shapes cannot be read from .*The cause: "):
        kr.datasets.load("tfds:tiny_shapes", data_dir=str(tmp_path))


def test_fewer_images_than_promised_are_noticed(data_dir, monkeypatch):
    builder = tfds.builder("tiny_shapes", data_dir=data_dir)
    monkeypatch.setattr(tfds_images, "_batches", lambda *arguments: [])
    with pytest.raises(ValueError, match=r"The cause: OSError: 0 images instead of 41"):
        tfds_images.read(builder, "train", 8)
