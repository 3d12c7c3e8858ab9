"""Damage inside a compressed image is told, and no image that is whole is taken for damaged."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_wbc.errors import ReadError
from napari_wbc.imaging.read import read_image

PIXELS = np.kron(
    np.random.default_rng(0).integers(0, 255, (30, 40, 3)), np.ones((20, 20, 1))
).astype(np.uint8)
KINDS = {
    "plain": {},
    "progressive": {"progressive": True},
    "grey": {"mode": "L"},
    "cmyk": {"mode": "CMYK"},
    "rgb": {"keep_rgb": True},
    "restart": {"restart_marker_rows": 1},
    "exif": {"comment": b"slide 1", "optimize": True},
}


def jpeg(mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def png():
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    return buffer.getvalue()


def tiff(**options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PIXELS, compression="jpeg", **options)
    return buffer.getvalue()


def damaged(data, how):
    middle = len(data) // 2
    size = min(4096, len(data) // 8)
    if how == "cut out":
        return data[:middle] + data[middle + size :]
    return data[:middle] + bytes(size) + data[middle + size :]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_jpeg_is_read(tmp_path, kind):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(**KINDS[kind]))
    assert read_image(path).shape == PIXELS.shape


@pytest.mark.parametrize("how", ["cut out", "zeros"])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_in_the_middle_of_a_jpeg_is_told(tmp_path, kind, how):
    path = tmp_path / "a.jpg"
    path.write_bytes(damaged(jpeg(**KINDS[kind]), how))
    with pytest.raises(ReadError, match=r"a\.jpg.*damaged"):
        read_image(path)


def test_a_second_picture_after_the_first_is_no_damage(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg() + jpeg())
    assert read_image(path).shape == PIXELS.shape


@pytest.mark.parametrize("options", [{"photometric": "rgb"}, {"tile": (64, 64)}])
def test_damage_in_a_jpeg_in_a_tiff_is_told(tmp_path, options):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(**options))
    assert read_image(path).shape == PIXELS.shape
    path.write_bytes(damaged(tiff(**options), "zeros"))
    with pytest.raises(ReadError, match="damaged"):
        read_image(path)


def test_every_flipped_bit_of_a_png_is_told_or_changes_nothing(tmp_path):
    path = tmp_path / "a.png"
    data = png()
    path.write_bytes(data)
    whole = read_image(path)
    rng = random.Random(0)
    told = 0
    for _ in range(60):
        place = rng.randrange(len(data))
        flipped = data[place] ^ 1 << rng.randrange(8)
        path.write_bytes(data[:place] + bytes([flipped]) + data[place + 1 :])
        try:
            assert (read_image(path) == whole).all()
        except ReadError:
            told += 1
    assert told > 50
