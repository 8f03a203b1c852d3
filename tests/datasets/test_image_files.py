"""Image files of every kind, each by what its pixels were when it was written."""

import os

import numpy as np
import pytest
import tensorflow as tf
from made_images import class_folders, picture, save, save_deep, turned, write_image
from PIL import Image, ImageOps

import keras_reptile as kr
from keras_reptile.datasets import image_decoding, resampling

COLOUR = picture(0, 12, 3)
GREY = picture(1, 12, 1)


def smooth(height, width, channels=3):
    """An image of low frequencies, which JPEG hardly changes."""
    rows, columns = np.mgrid[:height, :width] / height
    waves = [np.sin(3 * rows + number) * np.cos(2 * columns) for number in range(channels)]
    return np.rint(127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def read(path, channels, size=12):
    return kr.read_image(path, size, channels, scale=False)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "grey.png", "grey.jpeg"])
def test_ordinary_files_are_as_tensorflow_decodes_them(name, channels, tmp_path):
    image = smooth(30, 40, 1 if "grey" in name else 3)
    path = write_image(tmp_path / name, image)
    expected = tf.io.decode_image(path.read_bytes(), channels).numpy()
    np.testing.assert_array_equal(image_decoding.decoded(path, channels), expected)


@pytest.mark.parametrize("suffix", ["bmp", "gif", "tif", "webp", "ppm"])
def test_other_files_show_what_was_written(suffix, tmp_path):
    options = {"lossless": True} if suffix == "webp" else {}
    grey = save(tmp_path / f"grey.{suffix}", Image.fromarray(GREY[..., 0]), **options)
    np.testing.assert_array_equal(read(grey, 1), GREY)
    np.testing.assert_array_equal(read(grey, 3), np.repeat(GREY, 3, axis=-1))
    if suffix != "gif":
        colour = save(tmp_path / f"colour.{suffix}", Image.fromarray(COLOUR), **options)
        np.testing.assert_array_equal(read(colour, 3), COLOUR)
        luma = COLOUR @ [0.299, 0.587, 0.114]
        assert abs(read(colour, 1)[..., 0] - luma).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP", "PNG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_content_decides_and_not_the_name(kind, channels, tmp_path):
    flat = Image.fromarray(np.full((12, 12, 3), 120, np.uint8))
    path = save(tmp_path / "photo.jpg", flat, format=kind)
    assert abs(read(path, channels).astype(int) - 120).max() <= 2


def test_a_jpeg_of_printers_colours_is_read_in_grey_and_in_colour(tmp_path):
    image = Image.fromarray(smooth(24, 24))
    path = save(tmp_path / "a.jpg", image.convert("CMYK"), quality=95)
    assert Image.open(path).mode == "CMYK"
    assert abs(read(path, 3, 24).astype(int) - np.asarray(image)).max() < 12
    assert abs(read(path, 1, 24)[..., 0].astype(int) - np.asarray(image.convert("L"))).max() < 12


def test_of_a_moving_picture_the_first_image_is_read(tmp_path):
    first, second = (Image.fromarray(np.full((12, 12), value, np.uint8)) for value in (40, 200))
    for name in ("a.gif", "a.webp", "a.tif"):
        path = save(tmp_path / name, first, save_all=True, append_images=[second])
        assert abs(read(path, 1).astype(int) - 40).max() <= 2, name


@pytest.mark.parametrize("shape", [(12, 12, 1), (12, 12, 3)])
def test_of_16_bits_the_upper_8_are_kept(shape, tmp_path):
    values = np.random.RandomState(0).randint(0, 2**16, shape)
    path = save_deep(tmp_path / "a.png", values)
    np.testing.assert_array_equal(read(path, shape[-1]), values // 256)
    white = save_deep(tmp_path / "white.png", np.full(shape, 2**16 - 1))
    assert kr.read_image(white, 12, 1).min() == 1.0
    if shape[-1] == 1:
        tiff = save(tmp_path / "a.tif", Image.fromarray(values[..., 0].astype(np.uint16)))
        np.testing.assert_array_equal(read(tiff, 1), values // 256)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_images_are_turned_upright(name, orientation, tmp_path):
    image = Image.fromarray(smooth(20, 30))
    path = save(tmp_path / name, image, exif=turned(orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    found = image_decoding.decoded(path, 3)
    assert found.shape == expected.shape
    assert abs(found.astype(int) - expected).max() < 12
    assert image_decoding.decoded(path, 1).shape == (*expected.shape[:2], 1)
    if name != "a.tif":
        as_it_lies = image_decoding.decoded(path, 3, upright=False)
        assert as_it_lies.shape == (20, 30, 3)


def test_damaged_exif_data_leave_an_image_as_it_lies(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(smooth(20, 30)), exif=b"Exif\0\0II*\0\xff\xff")
    assert image_decoding.decoded(path, 3).shape == (20, 30, 3)


@pytest.mark.parametrize("suffix", ["png", "gif", "webp", "tif"])
def test_what_is_transparent_shows_white(suffix, tmp_path):
    # A black drawing: two pixels of it, the rest with nothing but a black colour of its own.
    drawing = np.zeros((12, 12, 4), np.uint8)
    drawing[5, 5:7, 3] = 255
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(drawing), **options)
    expected = np.full((12, 12, 1), 255, np.uint8)
    expected[5, 5:7] = 0
    np.testing.assert_array_equal(read(path, 1), expected)
    np.testing.assert_array_equal(read(path, 3), np.repeat(expected, 3, axis=-1))


def test_the_transparent_value_of_16_bits_shows_white(tmp_path):
    values = np.full((12, 12), 0xC8C8, np.uint16)
    values[3], values[4] = 7, 8
    path = save(tmp_path / "a.png", Image.fromarray(values), transparency=7)
    expected = np.full((12, 12, 1), 0xC8, np.uint8)
    expected[3], expected[4] = 255, 0
    for channels in (1, 3):
        np.testing.assert_array_equal(read(path, channels), np.repeat(expected, channels, axis=-1))


def test_half_transparency_is_half_white_and_a_full_layer_changes_nothing(tmp_path):
    layer = np.full((12, 12, 4), 128, np.uint8)
    half_white = read(save(tmp_path / "a.png", Image.fromarray(layer)), 1)
    # 128 of 255 parts of 128, the rest of 255.
    assert abs(half_white.astype(int) - 191).max() <= 1
    whole = np.concatenate([COLOUR, np.full((12, 12, 1), 255, np.uint8)], axis=-1)
    path = save(tmp_path / "whole.png", Image.fromarray(whole))
    for channels in (1, 3):
        expected = tf.io.decode_png(path.read_bytes(), channels).numpy()
        np.testing.assert_array_equal(read(path, channels), expected)


def test_values_without_a_range_are_refused(tmp_path):
    for name, values in {
        "float.tif": np.zeros((4, 4), np.float32),
        "int.tif": np.full((4, 4), 2**20, np.int32),
        "negative.tif": np.full((4, 4), -1, np.int32),
    }.items():
        path = save(tmp_path / name, Image.fromarray(values))
        with pytest.raises(
            ValueError, match=rf"{name} cannot be read .*range of its 32-bit values"
        ):
            kr.read_image(path)


def no_image(path):
    path.write_bytes(b"no image at all")


def half(path):
    write_image(path, picture(0, 40, 3))
    path.write_bytes(path.read_bytes()[:200])


def of_fractions(path):
    save(path, Image.fromarray(np.zeros((4, 4), np.float32)), format="TIFF")


ODD = {
    "no image": (no_image, "it is not a PNG, JPEG, GIF, WebP, BMP, TIFF or PPM file"),
    "an empty file": (lambda path: path.touch(), "it is empty"),
    "a truncated file": (half, "."),
    "a pipe": (os.mkfifo, "it is not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file"),
    "a dead link": (lambda path: path.symlink_to("no/where"), "it is a link to a file that does"),
    "a link to itself": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "32 bits": (of_fractions, "the range of its 32-bit values is unknown"),
}


@pytest.mark.parametrize("kind", ODD)
def test_every_odd_file_ends_in_one_line_that_names_it(kind, tmp_path):
    make, why = ODD[kind]
    class_folders(tmp_path, {name: 2 for name in "abcdef"})
    make(tmp_path / "b" / "odd.png")
    with pytest.raises(
        ValueError, match=rf"1 of 13 images cannot be read: .*b/odd.png \({why}"
    ) as e:
        kr.datasets.load("folder", image_dir=str(tmp_path))
    assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match=rf"b/odd.png cannot be read as an image: {why}"):
        kr.read_image(tmp_path / "b" / "odd.png")


def test_names_of_any_bytes_are_read(tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    class_folders(tmp_path, {"a": 2, "b": 2, odd: 2, "c": 2, "d": 2, "e": 2})
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / f"{odd}.png")
    pools = kr.datasets.load("folder", image_dir=str(tmp_path), image_size=8)
    assert odd in pools.train.names + pools.test.names
    (tmp_path / odd / "0.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"caf\\udce9/0.png \(it is not a PNG"):
        kr.datasets.load("folder", image_dir=str(tmp_path), image_size=8)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    class_folders(tmp_path, {"a": 1})
    (tmp_path / "a").chmod(0)
    with pytest.raises(ValueError, match=r"The folder .*/a cannot be read: Permission denied"):
        kr.datasets.load("folder", image_dir=str(tmp_path))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_is_read_as_a_run_reads_it_to_the_last_bit(channels, tmp_path):
    for name in "abcdef":
        write_image(tmp_path / name / "0.jpg", smooth(40, 30) - ord(name))
    options = dict(image_size=28, channels=channels, test_classes=5)
    pool = kr.datasets.load("folder", image_dir=str(tmp_path), **options).test
    episodes = kr.episode_dataset(pool, ways=5, shots=1, queries=0, tasks=1, scale=True)
    support, _ = (t[0] for t in next(iter(episodes))["support"])
    files = [kr.read_image(tmp_path / name / "0.jpg", 28, channels) for name in pool.names]
    assert files[0].dtype == np.float32
    assert {f.tobytes() for f in files} == {image.numpy().tobytes() for image in support}


@pytest.mark.parametrize("size", [(105, 105), (500, 375), (84, 84), (30, 84), (333, 500)])
def test_nearest_neighbours_are_those_of_pillow(size, tmp_path):
    image = np.random.RandomState(0).randint(0, 256, (*size, 3), np.uint8)
    for reduced in (28, 84):
        expected = Image.fromarray(image).resize((reduced, reduced), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(
            resampling.resize_to_square(image, reduced, "nearest"), expected
        )
    path = write_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(
        kr.read_image(path, 84, 3, resampling="nearest", scale=False),
        resampling.resize_to_square(image, 84, "nearest"),
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(image_size=0), r"`image_size` must be at least 1"),
        (dict(channels=4), r"`channels` must be 1 \(grey\) or 3"),
        (dict(resampling="cubic"), r"`resampling` must be one of \('bilinear', 'nearest'\)"),
    ],
)
def test_arguments_out_of_range_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        kr.read_image("a.png", **options)
