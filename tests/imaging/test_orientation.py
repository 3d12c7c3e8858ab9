"""Images turned by Exif or TIFF: pixels and size as a viewer shows them."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from napari_wbc.files.guard import image_size
from napari_wbc.imaging.read import as_file_shows, read_image
from napari_wbc.imaging.rgb import turned

ROWS, COLS = np.mgrid[:40, :56]
RGB = np.stack([ROWS * 6, COLS * 4, 255 - ROWS * 3], axis=-1).astype(np.uint8)
ORIENTATIONS = range(1, 9)


def as_pillow_shows(pixels, orientation):
    image = Image.fromarray(pixels)
    image.getexif()[274] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def with_exif(form, orientation, **options):
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, form, exif=exif.tobytes(), **options)
    return buffer.getvalue()


def png_with_late_exif(orientation):
    """A PNG whose Exif comes after its pixels, which the format allows."""
    exif = Image.Exif()
    exif[274] = orientation
    data = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG")
    whole = buffer.getvalue()
    end = whole.rindex(b"IEND") - 4
    return whole[:end] + chunk + whole[end:]


def wide_png(orientation):
    """A PNG of 16 bits a colour, which another decoder reads."""
    data = cv2.imencode(".png", RGB[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    late = png_with_late_exif(orientation)
    start = late.index(b"eXIf") - 4
    chunk = late[start : late.rindex(b"IEND") - 4]
    first = data.index(b"IDAT") - 4
    return data[:first] + chunk + data[first:]


def tiff(orientation, pixels=RGB, **options):
    buffer = io.BytesIO()
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(buffer, pixels, **({"photometric": "rgb"} | options), extratags=tags)
    return buffer.getvalue()


EXACT = {
    "a.png": lambda o: with_exif("PNG", o),
    "late.png": png_with_late_exif,
    "wide.png": wide_png,
    "a.webp": lambda o: with_exif("WEBP", o, lossless=True),
    "a.tif": tiff,
    "planar.tif": lambda o: tiff(o, np.moveaxis(RGB, 2, 0).copy(), planarconfig="separate"),
    "wide.tif": lambda o: tiff(o, RGB.astype(np.uint16) * 257),
    "pillow.tif": lambda o: with_exif("TIFF", o),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", EXACT)
def test_an_image_is_turned_as_its_file_says(name, orientation, tmp_path):
    path = tmp_path / name
    path.write_bytes(EXACT[name](orientation))
    expected = as_pillow_shows(RGB, orientation)
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[:2]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_photo_is_turned_as_its_file_says(orientation, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(with_exif("JPEG", orientation, quality=95))
    expected = as_pillow_shows(RGB, orientation)
    assert image_size(path) == expected.shape[:2]
    assert np.abs(read_image(path).astype(int) - expected).mean() < 3


@pytest.mark.parametrize("orientation", [0, 9, 274])
def test_an_orientation_that_is_none_turns_nothing(orientation, tmp_path):
    for name, data in (("a.tif", tiff(orientation)), ("a.png", with_exif("PNG", orientation))):
        path = tmp_path / name
        path.write_bytes(data)
        np.testing.assert_array_equal(read_image(path), RGB)
        assert image_size(path) == (40, 56)


def test_alpha_is_turned_with_its_colours(tmp_path):
    alpha = (COLS * 4).astype(np.uint8)
    path = tmp_path / "a.tif"
    pixels = np.dstack([RGB, alpha])
    path.write_bytes(tiff(6, pixels, extrasamples=["unassalpha"]))
    over = np.round(RGB * (alpha[..., None] / 255) + 255 - alpha[..., None].astype(float))
    np.testing.assert_array_equal(read_image(path), as_pillow_shows(over.astype(np.uint8), 6))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("shown", ["as stored", "turned"])
def test_pixels_of_other_readers_are_turned_once(orientation, shown, tmp_path):
    # A square, of which the shape does not tell whether it was turned.
    square = RGB[:40, :40]
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(orientation, square))
    given = square if shown == "as stored" else turned(square, orientation)
    pixels, depth = as_file_shows(given, path)
    np.testing.assert_array_equal(pixels, turned(square, orientation))
    assert depth == 8
    assert shown == "as stored" or pixels is given


def test_pixels_of_a_file_that_only_others_read_stay_as_they_are(tmp_path):
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
    assert as_file_shows(RGB, tmp_path / "a.czi") == (RGB, 8)
