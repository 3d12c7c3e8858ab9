"""Alpha that no viewer heeds, and the one depth of a slide."""

from __future__ import annotations

import io
import shutil
import struct

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_wbc.imaging.read import as_file_shows, read_image
from napari_wbc.imaging.rgb import as_rgb8

ROWS, COLS = np.mgrid[:40, :56]
RGB = np.stack([ROWS * 6, COLS * 4, 255 - ROWS * 3], axis=-1).astype(np.uint8)
GREY = RGB[..., 0]
ALPHA = (COLS * 4).astype(np.uint8)
NONE = np.zeros_like(ALPHA)
BRIGHT = np.stack([ROWS * 100, COLS * 70, 4095 - ROWS * 50], axis=-1).astype(np.uint16)
"""A field of 12 bits."""
DARK = BRIGHT // 5
"""A field of the same camera, in which no pixel has more than 10 bits."""


def over_white(colors, alpha):
    opaque = alpha[..., None] / 255
    return np.round(colors * opaque + 255 * (1 - opaque)).astype(np.uint8)


def scaled(pixels, bits):
    return np.minimum(np.round(pixels * (255 / ((1 << bits) - 1))), 255).astype(np.uint8)


@pytest.fixture
def read(tmp_path):
    def written(data, name="a.bin"):
        path = tmp_path / name
        path.write_bytes(data)
        return read_image(path)

    return written


def tiff(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **({"photometric": "rgb"} | options))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("samples", "extras", "expected"),
    [
        ([ALPHA], ["unspecified"], RGB),
        ([ALPHA], ["unassalpha"], over_white(RGB, ALPHA)),
        ([NONE], ["unassalpha"], RGB),
        ([NONE], ["assocalpha"], RGB),
        ([GREY, ALPHA], ["unspecified", "unassalpha"], over_white(RGB, ALPHA)),
        ([GREY, ALPHA], ["unspecified", "unspecified"], RGB),
    ],
)
def test_a_further_sample_is_alpha_only_if_the_tiff_says_so(read, samples, extras, expected):
    pixels = np.dstack([RGB, *samples])
    np.testing.assert_array_equal(read(tiff(pixels, extrasamples=extras)), expected)
    apart = np.moveaxis(pixels, 2, 0).copy()
    data = tiff(apart, extrasamples=extras, planarconfig="separate")
    np.testing.assert_array_equal(read(data), expected)


def test_colours_that_are_multiplied_by_alpha_are_not_multiplied_again(read):
    expected = over_white(RGB, ALPHA)
    times_alpha = np.round(RGB * (ALPHA[..., None] / 255)).astype(np.uint8)
    image = read(tiff(np.dstack([times_alpha, ALPHA]), extrasamples=["assocalpha"]))
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_grey_tiffs_may_have_alpha(read):
    pixels = np.dstack([GREY, ALPHA])
    grey = np.repeat(GREY[..., None], 3, axis=2)
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    with_alpha = read(tiff(pixels, extrasamples=["unassalpha"], **options))
    np.testing.assert_array_equal(with_alpha, over_white(grey, ALPHA))
    without = read(tiff(pixels, extrasamples=["unspecified"], **options))
    np.testing.assert_array_equal(without, grey)


@pytest.mark.parametrize("mask", [0xFF000000, 0])
def test_a_bitmap_of_32_bits_without_alpha_is_seen(read, mask):
    pixels = np.dstack([RGB[..., ::-1], NONE])[::-1].tobytes()
    # BITMAPV4HEADER, with masks of red, green, blue and alpha.
    header = struct.pack("<IiiHHIIiiII", 108, 56, 40, 1, 32, 3, len(pixels), 2835, 2835, 0, 0)
    header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, mask) + b"BGRs" + bytes(48)
    start = 14 + len(header)
    data = struct.pack("<2sIII", b"BM", start + len(pixels), 0, start) + header + pixels
    np.testing.assert_array_equal(read(data), RGB)


def test_a_png_whose_alpha_is_0_everywhere_is_seen(read):
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([RGB, NONE])).save(buffer, "PNG")
    np.testing.assert_array_equal(read(buffer.getvalue()), RGB)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_layers_whose_alpha_is_0_everywhere_are_seen(dtype):
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (np.dstack([RGB, NONE]) * (full / 255)).astype(dtype)
    assert np.abs(as_rgb8(pixels, "layer").astype(int) - RGB).max() <= 1


@pytest.mark.parametrize("hot", [1, 3])
def test_hot_pixels_leave_a_field_as_bright_as_it_is(read, hot):
    pixels = BRIGHT.copy()
    pixels[7, 3 : 3 + hot] = 0xFFFF
    expected = scaled(pixels, 12)
    assert (expected[7, 3 : 3 + hot] == 255).all()
    np.testing.assert_array_equal(read(tiff(pixels)), expected)
    np.testing.assert_array_equal(as_rgb8(pixels, "layer"), expected)


def test_alpha_says_nothing_of_the_depth(read):
    opaque = np.full(GREY.shape, 0xFFFF, np.uint16)
    pixels = np.dstack([BRIGHT, opaque])
    expected = scaled(BRIGHT, 12)
    np.testing.assert_array_equal(read(tiff(pixels, extrasamples=["unassalpha"])), expected)
    np.testing.assert_array_equal(as_rgb8(pixels, "layer"), expected)
    png = cv2.imencode(".png", pixels[..., [2, 1, 0, 3]])[1].tobytes()
    np.testing.assert_array_equal(read(png), expected)


@pytest.mark.parametrize("dark_first", [True, False])
@pytest.mark.parametrize("n", [2, 40])
def test_all_fields_of_a_slide_have_the_depth_of_one_camera(tmp_path, dark_first, n):
    for i in range(n):
        tifffile.imwrite(tmp_path / f"{i}.tif", DARK, photometric="rgb")
    bright = n - 1 if dark_first else 0
    tifffile.imwrite(tmp_path / f"{bright}.tif", BRIGHT, photometric="rgb")
    order = range(n) if dark_first else reversed(range(n))
    for i in order:
        expected = scaled(BRIGHT if i == bright else DARK, 12)
        np.testing.assert_array_equal(read_image(tmp_path / f"{i}.tif"), expected)


def test_a_field_that_was_changed_is_looked_at_again(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DARK, photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), scaled(DARK, 10))
    tifffile.imwrite(tmp_path / "b.tif", BRIGHT, photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), scaled(DARK, 12))


def test_images_of_other_cameras_and_broken_ones_beside_say_nothing(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DARK, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", BRIGHT[:30] * 16, photometric="rgb")
    tifffile.imwrite(tmp_path / "c.tif", BRIGHT[..., 0] * 16, photometric="minisblack")
    (tmp_path / "d.tif").write_bytes(b"II*\0")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), scaled(DARK, 10))


def test_a_tiff_may_say_its_depth(tmp_path):
    tags = [(281, "H", 3, (4095,) * 3, True)]
    tifffile.imwrite(tmp_path / "a.tif", DARK, photometric="rgb", extratags=tags)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), scaled(DARK, 12))


def test_the_brightest_pixel_is_not_taken_for_a_depth(tmp_path):
    tags = [(281, "H", 3, (int(DARK.max()),) * 3, True)]
    tifffile.imwrite(tmp_path / "a.tif", DARK, photometric="rgb", extratags=tags)
    tifffile.imwrite(tmp_path / "b.tif", BRIGHT, photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), scaled(DARK, 12))


@pytest.mark.parametrize(("said", "bits"), [(12, 12), (14, 14), (16, 10), (8, 10)])
def test_an_ome_tiff_may_say_its_depth(tmp_path, said, bits):
    metadata = {"SignificantBits": said}
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, DARK, photometric="rgb", ome=True, metadata=metadata)
    np.testing.assert_array_equal(read_image(path), scaled(DARK, bits))


def test_a_depth_that_does_not_hold_the_pixels_is_not_believed(tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = {"SignificantBits": 10}
    tifffile.imwrite(path, BRIGHT, photometric="rgb", ome=True, metadata=metadata)
    np.testing.assert_array_equal(read_image(path), scaled(BRIGHT, 12))


def test_a_layer_has_the_depth_of_the_slide_that_its_file_is_of(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DARK, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", BRIGHT, photometric="rgb")
    pixels, depth = as_file_shows(DARK, tmp_path / "a.tif")
    assert pixels is DARK
    np.testing.assert_array_equal(as_rgb8(pixels, "layer", depth=depth), scaled(DARK, 12))


def test_white_as_zero_may_count_from_the_top_of_its_own_range(tmp_path):
    grey = BRIGHT[..., 2]
    grey[0, 0] = 0
    for top in (4095, 0xFFFF):
        path = tmp_path / f"{top}.tif"
        tifffile.imwrite(path, top - grey, photometric="miniswhite")
        np.testing.assert_array_equal(read_image(path)[..., 0], scaled(grey, 12))


def test_the_depth_of_a_copy_elsewhere_is_that_of_its_new_slide(tmp_path):
    slide = tmp_path / "slide"
    slide.mkdir()
    tifffile.imwrite(slide / "a.tif", DARK, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", BRIGHT, photometric="rgb")
    np.testing.assert_array_equal(read_image(slide / "a.tif"), scaled(DARK, 10))
    shutil.copy2(slide / "a.tif", tmp_path)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), scaled(DARK, 12))


def test_formats_that_say_their_highest_value_need_no_guess(read):
    grey = DARK[..., 0]
    big_endian = grey.astype(">u2").tobytes()
    for highest, bits in ((4095, 12), (0xFFFF, 16)):
        image = read(b"P5 56 40 %d\n" % highest + big_endian)
        np.testing.assert_array_equal(image[..., 0], scaled(grey, bits))
    packed = imagecodecs.jpeg2k_encode(grey, level=0, bitspersample=12, codecformat="jp2")
    assert np.abs(read(packed)[..., 0].astype(int) - scaled(grey, 12)).max() <= 1
