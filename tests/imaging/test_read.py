"""Every kind of image file, and every way one can be broken: one clear error, and silence."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import image_size
from napari_wbc.imaging.read import find_slides, open_slide, read_image
from napari_wbc.imaging.rgb import as_rgb8

ROWS, COLS = np.mgrid[:40, :56]
RGB = np.stack([ROWS * 6, COLS * 4, 255 - ROWS * 3], axis=-1).astype(np.uint8)
"""A field that no flip, turn or swap of channels leaves as it is, smooth for JPEG's sake."""
GREY = RGB[..., 0]
GREY_RGB = np.repeat(GREY[..., None], 3, axis=2)
ALPHA = (COLS * 4).astype(np.uint8)
OVER_WHITE = np.round(RGB * (ALPHA[..., None] / 255) + 255 - ALPHA[..., None].astype(float)).astype(
    np.uint8
)


def pillow(pixels, form, mode=None, **options):
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, form, **options)
    return buffer.getvalue()


def tiff(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def palette(form, **options):
    image = Image.fromarray(RGB).quantize(
        64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    return pillow(image, form, **options), np.asarray(image.convert("RGB"))


RGBA = np.dstack([RGB, ALPHA])
WIDE = RGB.astype(np.uint16) * 257
EXACT = {
    "grey.png": (pillow(GREY, "PNG"), GREY_RGB),
    "rgb.png": (pillow(RGB, "PNG"), RGB),
    "rgba.png": (pillow(RGBA, "PNG"), OVER_WHITE),
    "palette.png": palette("PNG"),
    "grey.bmp": (pillow(GREY, "BMP"), GREY_RGB),
    "rgb.bmp": (pillow(RGB, "BMP"), RGB),
    "palette.bmp": palette("BMP"),
    "palette.gif": palette("GIF"),
    "grey.gif": (pillow(GREY, "GIF"), GREY_RGB),
    "rgb.webp": (pillow(RGB, "WEBP", lossless=True), RGB),
    "rgba.webp": (pillow(RGBA, "WEBP", lossless=True, exact=True), OVER_WHITE),
    "rgb.jp2": (pillow(RGB, "JPEG2000"), RGB),
    "grey.j2k": (pillow(GREY, "JPEG2000", no_jp2=True), GREY_RGB),
    "grey16.jp2": (pillow(GREY.astype(np.uint16) * 257, "JPEG2000"), GREY_RGB),
    "rgb.ppm": (pillow(RGB, "PPM"), RGB),
    "grey.pgm": (pillow(GREY, "PPM"), GREY_RGB),
    "grey.tif": (tiff(GREY, photometric="minisblack"), GREY_RGB),
    "rgb.tif": (tiff(RGB, photometric="rgb"), RGB),
    "rgba.tif": (tiff(RGBA, photometric="rgb", extrasamples=["unassalpha"]), OVER_WHITE),
    "palette.tif": palette("TIFF"),
    "grey16.png": (pillow(GREY.astype(np.uint16) * 257, "PNG"), GREY_RGB),
    "grey16.tif": (tiff(WIDE[..., 0], photometric="minisblack"), GREY_RGB),
    "rgb16.tif": (tiff(WIDE, photometric="rgb"), RGB),
    "rgb16-big-endian.tif": (tiff(WIDE, photometric="rgb", byteorder=">"), RGB),
    "big.tif": (tiff(RGB, photometric="rgb", bigtiff=True), RGB),
    "lzw.tif": (tiff(RGB, photometric="rgb", compression="lzw"), RGB),
    "deflate.tif": (tiff(RGB, photometric="rgb", compression="adobe_deflate", predictor=True), RGB),
    "packbits.tif": (tiff(RGB, photometric="rgb", compression="packbits"), RGB),
    "tiled.tif": (tiff(RGB, photometric="rgb", tile=(16, 32)), RGB),
    "tiled-lzw.tif": (tiff(WIDE, photometric="rgb", tile=(16, 32), compression="lzw"), RGB),
    "strips.tif": (tiff(RGB, photometric="rgb", rowsperstrip=7), RGB),
    "planar.tif": (
        tiff(np.moveaxis(RGB, 2, 0).copy(), photometric="rgb", planarconfig="separate"),
        RGB,
    ),
    "white-is-zero.tif": (tiff(255 - GREY, photometric="miniswhite"), GREY_RGB),
    "white-is-zero16.tif": (tiff(0xFFFF - WIDE[..., 0], photometric="miniswhite"), GREY_RGB),
    "float.tif": (tiff((RGB / 255).astype(np.float32), photometric="rgb"), RGB),
    "imagej.tif": (tiff(RGB, imagej=True), RGB),
    "ome.ome.tif": (tiff(RGB, photometric="rgb", ome=True), RGB),
}
DEEP = np.stack([ROWS * 100, COLS * 70, 4095 - ROWS * 50], axis=-1).astype(np.uint16)
JPEG = {"compression": "jpeg", "compressionargs": {"level": 95}}
CLOSE = {
    "grey.jpg": (pillow(GREY, "JPEG", quality=95), GREY_RGB),
    "rgb.jpg": (pillow(RGB, "JPEG", quality=95), RGB),
    "progressive.jpg": (pillow(RGB, "JPEG", quality=95, progressive=True), RGB),
    "rgb.jfif": (pillow(RGB, "JPEG", quality=95), RGB),
    "rgb.webp": (pillow(RGB, "WEBP", quality=95), RGB),
    "cmyk.jpg": (pillow(RGB, "JPEG", "CMYK", quality=95), RGB),
    "jpeg.tif": (tiff(RGB, photometric="rgb", tile=(16, 16), **JPEG), RGB),
    "jpeg-grey.tif": (pillow(GREY, "TIFF", compression="jpeg", quality=95), GREY_RGB),
    "jpeg-pillow.tif": (pillow(RGB, "TIFF", compression="jpeg", quality=95), RGB),
}


def with_tag(data, tag, kind, old, new):
    """Change one number of the only page of a little-endian TIFF: kind 3 is short, 4 long."""
    layout = "<HHIHxx" if kind == 3 else "<HHII"
    assert data.count(struct.pack(layout, tag, kind, 1, old)) == 1
    return data.replace(
        struct.pack(layout, tag, kind, 1, old), struct.pack(layout, tag, kind, 1, new)
    )


@pytest.fixture
def put(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def refused(path, capfd, **options):
    """Check that a file gives one ReadError that names it, and silence; return the message."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(ReadError) as caught:
            read_image(path, **options)
    assert [str(w.message) for w in heard] == []
    assert capfd.readouterr() == ("", "")
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["none.png", "none.tif", "no/such/folder.jpg", "\0.png"])
def test_a_missing_file(name, tmp_path, capfd):
    assert "no such image file" in refused(tmp_path / name, capfd)


@pytest.mark.parametrize("name", ["empty.png", "empty.tif"])
def test_an_empty_file(name, put, capfd):
    assert "empty" in refused(put(name, b""), capfd)


def test_a_folder(tmp_path, capfd):
    refused(tmp_path, capfd)


@pytest.mark.parametrize("name", EXACT)
def test_lossless_files_are_read_exactly(name, put):
    data, expected = EXACT[name]
    image = read_image(put(name, data))
    assert (image.dtype, image.flags["C_CONTIGUOUS"]) == (np.uint8, True)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("name", CLOSE)
def test_lossy_files_are_read_closely(name, put):
    data, expected = CLOSE[name]
    image = read_image(put(name, data))
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("name", "other"), [("rgb.tif", "rgb.png"), ("rgb.png", "rgb.tif"), ("rgb.bmp", "rgb.jpg")]
)
def test_content_tells_the_format_and_not_the_suffix(name, other, put):
    np.testing.assert_array_equal(read_image(put(other, EXACT[name][0])), RGB)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_one_bit_files_are_black_and_white(form, put):
    data = pillow(Image.fromarray(GREY > 100), form)
    np.testing.assert_array_equal(
        read_image(put("bits.x", data))[..., 0], np.where(GREY > 100, 255, 0)
    )


def test_one_bit_tiffs_may_store_white_as_zero(put):
    data = tiff(GREY <= 100, photometric="miniswhite")
    np.testing.assert_array_equal(
        read_image(put("bits.tif", data))[..., 0], np.where(GREY > 100, 255, 0)
    )


def test_four_bit_tiffs_are_stretched(put):
    nibbles = (ROWS % 16).astype(np.uint8)
    page = tiff(np.zeros((40, 28), np.uint8), photometric="minisblack")
    page = with_tag(with_tag(page, 258, 3, 8, 4), 256, 4, 28, 56)
    start = page.rindex(bytes(40 * 28))
    packed = (nibbles[:, ::2] << 4 | nibbles[:, 1::2]).tobytes()
    data = page[:start] + packed + page[start + len(packed) :]
    np.testing.assert_array_equal(read_image(put("nibbles.tif", data))[..., 0], nibbles * 17)


def test_grey_with_alpha_is_laid_over_white(put):
    image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])
    expected = np.round(GREY * (ALPHA / 255) + 255 - ALPHA.astype(float))
    np.testing.assert_allclose(
        read_image(put("la.png", pillow(image, "PNG")))[..., 0], expected, atol=1
    )


def test_a_transparent_colour_is_white(put):
    image = Image.fromarray(RGB)
    image.putpixel((3, 5), (1, 2, 3))
    data = pillow(image, "PNG", transparency=(1, 2, 3))
    assert read_image(put("trns.png", data))[5, 3].tolist() == [255, 255, 255]
    assert read_image(put("trns.png", data))[6, 3].tolist() == RGB[6, 3].tolist()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_cameras_are_scaled_by_their_depth(bits, put):
    deep = np.round(DEEP / 4095 * ((1 << bits) - 1)).astype(np.uint16)
    expected = np.round(deep * (255 / ((1 << bits) - 1))).astype(np.uint8)
    np.testing.assert_array_equal(
        read_image(put("deep.tif", tiff(deep, photometric="rgb"))), expected
    )
    np.testing.assert_array_equal(
        read_image(put("deep.png", pillow(deep[..., 0], "PNG")))[..., 0], expected[..., 0]
    )


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((9, 9), 300.0, np.float32),
        np.full((9, 9), np.nan, np.float32),
        np.full((9, 9), -1, np.int16),
        np.full((9, 9), 70_000, np.uint32),
        np.zeros((9, 9), np.complex64),
    ],
    ids=["float 300", "nan", "negative", "32 bits", "complex"],
)
def test_pixels_without_a_meaning_as_brightness(pixels, put, capfd):
    refused(put("odd.tif", tiff(pixels, photometric="minisblack")), capfd)


@pytest.mark.parametrize("options", [{}, {"imagej": True}])
def test_a_stack_is_not_a_field(options, put, capfd):
    data = tiff(np.zeros((5, 9, 9), np.uint8), **({"photometric": "minisblack"} | options))
    assert "stack" in refused(put("stack.tif", data), capfd)


@pytest.mark.parametrize("name", ["text.png", "text.jpg", "text.bmp", "text.tif"])
def test_text_with_the_name_of_an_image(name, put, capfd):
    assert "not a PNG" in refused(put(name, b"slide,count\n1,2\n" * 20), capfd)


@pytest.mark.parametrize("form", ["EPS", "ICO", "PCX", "TGA"])
def test_other_formats_are_refused_whatever_their_name(form, put, capfd):
    assert "not a PNG" in refused(put("other.png", pillow(RGB, form)), capfd)


NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
WHOLE = {
    "noise.png": pillow(NOISE, "PNG"),
    "noise.jpg": pillow(NOISE, "JPEG"),
    "noise.bmp": pillow(NOISE, "BMP"),
    "noise.tif": tiff(NOISE, photometric="rgb"),
    "lzw.tif": tiff(NOISE, photometric="rgb", compression="lzw", rowsperstrip=8),
    "jpeg.tif": tiff(NOISE, photometric="rgb", tile=(16, 16), **JPEG),
    "noise.gif": pillow(NOISE, "GIF"),
    "noise.webp": pillow(NOISE, "WEBP", lossless=True),
    "noise.jp2": pillow(NOISE, "JPEG2000"),
    "noise.ppm": pillow(NOISE, "PPM"),
    "noise.ome.tif": tiff(
        np.moveaxis(NOISE, 2, 0), photometric="minisblack", ome=True, metadata={"axes": "CYX"}
    ),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_truncated_files(name, part, put, capfd):
    data = WHOLE[name]
    refused(put(name, data[: int(len(data) * part)]), capfd)


MAGIC = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpg": b"\xff\xd8\xff\xe0",
    "bmp": b"BM",
    "tif": b"II*\0",
    "big.tif": b"MM\0+",
}


@pytest.mark.parametrize("suffix", MAGIC)
def test_garbage_with_the_right_first_bytes(suffix, put, capfd):
    for seed in range(10):
        refused(
            put(f"garbage.{suffix}", MAGIC[suffix] + random.Random(seed).randbytes(4000)), capfd
        )


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("side", [9_500, 20_000, 60_000, 2**31 - 1])
def test_a_bomb_is_refused_before_it_is_decoded(side, put, capfd):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = (
        MAGIC["png"]
        + header
        + png_chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + png_chunk(b"IEND", b"")
    )
    assert "field of view" in refused(put("bomb.png", data), capfd)


def test_a_tiff_bomb_is_refused_before_it_is_decoded(put, capfd):
    bomb = with_tag(with_tag(EXACT["grey.tif"][0], 256, 4, 56, 60_000), 257, 4, 40, 60_000)
    assert "field of view" in refused(put("bomb.tif", bomb), capfd)


def test_a_tiff_of_huge_tiles_is_refused_before_it_is_decoded(put, capfd):
    tiled = tiff(GREY, photometric="minisblack", tile=(16, 32), compression="lzw")
    huge = with_tag(with_tag(tiled, 322, 4, 32, 65_520), 323, 4, 16, 65_520)
    refused(put("bomb.tif", huge), capfd)


def test_a_limit_of_pixels_may_be_given(put, capfd):
    path = put("rgb.png", EXACT["rgb.png"][0])
    assert read_image(path, max_pixels=40 * 56).shape == (40, 56, 3)
    assert "56 x 40" in refused(path, capfd, max_pixels=40 * 56 - 1)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_a_file_that_may_not_be_read(put, capfd):
    path = put("secret.png", EXACT["rgb.png"][0])
    path.chmod(0)
    refused(path, capfd)


@pytest.mark.parametrize("name", WHOLE)
def test_damaged_files_are_read_or_refused_and_nothing_else(name, put, capfd):
    rng = random.Random(name)
    for _ in range(200):
        data = bytearray(WHOLE[name])
        for _ in range(rng.choice([1, 1, 2, 5, 20])):
            # Headers are where the harm is done.
            data[rng.randrange(rng.choice([len(data), min(len(data), 300)]))] = rng.randrange(256)
        path = put(
            f"{name}-damaged",
            data[: rng.choice([len(data), len(data), rng.randrange(len(data) + 1)])],
        )
        try:
            image = read_image(path)
        except ReadError as error:
            assert str(error).startswith(f"{path}:")  # noqa: PT017, either outcome is right
        else:
            assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
            assert image_size(path) == image.shape[:2]
        with suppress(ReadError):
            image_size(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0.0, 1.0]]), [0, 255]),
        (np.array([[0, 1023]], np.uint16), [0, 255]),
        (np.array([[0, 255]], np.int64), [0, 255]),
    ],
)
def test_pixels_of_any_depth_become_eight_bits(pixels, expected):
    assert as_rgb8(pixels, "layer").tolist() == [[[v] * 3 for v in expected]]


@pytest.fixture
def field():
    return EXACT["rgb.png"][0]


def fill(folder, names, data):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(data)
    return folder


def test_no_path_is_no_slide():
    with pytest.raises(WbcError, match="No image given"):
        find_slides([])


def test_a_folder_without_images_is_no_slide(tmp_path, field):
    fill(tmp_path, ["notes.txt", ".hidden.png"], field)
    fill(tmp_path / "inner", ["a.png"], field)
    with pytest.raises(WbcError, match=r"no PNG, .* or TIFF file directly inside this folder; "):
        open_slide(tmp_path)


def test_a_path_that_is_not_there_is_no_slide(tmp_path):
    with pytest.raises(WbcError, match="no such file or folder"):
        open_slide(tmp_path / "none")


def test_an_image_is_a_slide_of_one_field(tmp_path, field):
    fill(tmp_path, ["one.png"], field)
    slide = open_slide(str(tmp_path / "one.png"))
    assert slide.name == "one"
    assert [(f.fov_id, f.path) for f in slide.fields] == [("one.png", tmp_path / "one.png")]


def test_fields_come_in_natural_order_without_hidden_files(tmp_path, field):
    names = ["f10.png", "f2.PNG", "F1.tif", "f02b.jpeg", ".f3.png", "10.bmp", "9.bmp", "readme.md"]
    slide = open_slide(fill(tmp_path / "slide", names, field))
    assert [f.fov_id for f in slide.fields] == [
        f"slide/{name}" for name in ("9.bmp", "10.bmp", "F1.tif", "f2.PNG", "f02b.jpeg", "f10.png")
    ]


def test_a_folder_has_a_name_however_it_is_written(tmp_path, field, monkeypatch):
    monkeypatch.chdir(fill(tmp_path / "slide", ["a.png"], field))
    assert open_slide(".").name == "slide"
    assert open_slide(".").fields[0].fov_id == "slide/a.png"


@pytest.mark.parametrize("pair", [("x/a.png", "y/a.png"), ("x/a.png", "x/a.bmp"), ("x", "z/x")])
def test_two_slides_of_one_name_are_refused(tmp_path, field, pair):
    fill(tmp_path / "x", ["a.png", "a.bmp"], field)
    fill(tmp_path / "y", ["a.png"], field)
    (tmp_path / "z").mkdir()
    fill(tmp_path / "z" / "x", ["b.png"], field)
    with pytest.raises(WbcError, match="named"):
        find_slides([tmp_path / one for one in pair])


def test_slides_keep_the_order_they_were_given_in(tmp_path, field):
    fill(tmp_path, ["b.png", "a.png"], field)
    assert [s.name for s in find_slides([tmp_path / "b.png", tmp_path / "a.png"])] == ["b", "a"]


def test_results_are_not_fields(tmp_path, field):
    slide = fill(tmp_path / "slide", ["a.png"], field)
    overlays = fill(tmp_path / "overlays", ["a.png.png"], field)
    assert len(find_slides([slide], skip=overlays)) == 1
    with pytest.raises(WbcError):
        find_slides([overlays], skip=overlays)


def test_odd_tiffs_are_silent_where_nobody_listens_to_the_log(put):
    paths = [
        put(f"{seed}.tif", MAGIC["tif"] + random.Random(seed).randbytes(4000)) for seed in range(10)
    ]
    paths += [put("odd.tif", with_tag(EXACT["grey.tif"][0], 262, 3, 1, 77))]
    code = """
import sys
from napari_wbc.imaging.read import ReadError, read_image
for path in sys.argv[1:]:
    try:
        read_image(path)
    except ReadError:
        pass
"""
    command = [sys.executable, "-c", code, *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_not_a_field(form, put, capfd):
    frames = [Image.fromarray(NOISE), Image.fromarray(RGB)]
    data = pillow(frames[0], form, save_all=True, append_images=frames[1:])
    path = put("moving.x", data)
    assert "an animation" in refused(path, capfd)
    with pytest.raises(ReadError, match="an animation"):
        image_size(path)


def test_of_a_phone_s_two_pictures_the_first_is_read(put):
    second = Image.fromarray(NOISE[:20, :28])
    data = pillow(RGB, "MPO", save_all=True, append_images=[second], quality=95)
    path = put("phone.jpg", data)
    assert image_size(path) == (40, 56)
    assert np.abs(read_image(path).astype(int) - RGB).mean() < 3


@pytest.mark.parametrize("name", [*EXACT, *CLOSE])
def test_the_size_in_the_header_is_that_of_the_pixels(name, put):
    path = put(name, (EXACT | CLOSE)[name][0])
    assert image_size(path) == read_image(path).shape[:2]


def test_a_folder_s_images_are_read_whatever_their_suffix(tmp_path, field):
    names = ["a.dat", "b.jfif", "c.jpe", "d", "e.png"]
    slide = open_slide(fill(tmp_path / "slide", names, field))
    assert [f.path.name for f in slide.fields] == names
    assert slide.left_out == ()
    for one in slide.fields:
        np.testing.assert_array_equal(read_image(one.path), RGB)


def test_what_cannot_be_read_is_left_out_by_name(tmp_path, field):
    folder = fill(tmp_path / "slide", ["a.jpg"], field)
    fill(folder, ["b.heic", "c.CZI", "d.nd2", "notes.txt", "weights.bin", ".e.nd2"], b"something")
    fill(folder, ["raw.dng"], EXACT["rgb.tif"][0])
    (folder / "gone.png").symlink_to(folder / "moved.png")
    (folder / "inner.czi").mkdir()
    slide = open_slide(folder)
    assert [f.path.name for f in slide.fields] == ["a.jpg"]
    assert slide.left_out == ("b.heic", "c.CZI", "d.nd2", "gone.png", "raw.dng")
    assert slide == open_slide(folder)
    assert slide.left_out_note == (
        "left out, as they cannot be read: b.heic, c.CZI, d.nd2, gone.png, raw.dng. "
        "Save them as PNG or TIFF."
    )


def test_a_folder_of_nothing_but_what_cannot_be_read_is_no_slide(tmp_path):
    fill(tmp_path, ["a.heic", "b.nd2"], b"something")
    with pytest.raises(WbcError, match=r"that can be read, only a\.heic, b\.nd2"):
        open_slide(tmp_path)


@pytest.mark.parametrize("opaque", [True, False])
def test_a_png_of_16_bits_a_channel_keeps_its_depth(put, opaque):
    pixels = DEEP if opaque else np.dstack([DEEP, np.full(DEEP.shape[:2], 0xFFFF, np.uint16)])
    data = cv2.imencode(".png", pixels[..., [2, 1, 0] if opaque else [2, 1, 0, 3]])[1].tobytes()
    wanted = DEEP * (255 / 4095)
    assert np.abs(read_image(put("deep.png", data)).astype(float) - wanted).max() <= 1


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    def refuse(_folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(WbcError, match="this folder cannot be read"):
        open_slide(tmp_path)
