"""Strangers' files are refused unread when they are too large, elsewhere or something else."""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest
from PIL import Image

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import (
    image_size,
    inside,
    read_bytes,
    read_json,
    read_text,
    read_yaml,
)


@pytest.fixture
def write(tmp_path):
    def written(data):
        path = tmp_path / "a.txt"
        path.write_bytes(data)
        return path

    return written


def test_a_file_up_to_the_limit_is_read(write):
    assert read_bytes(write(b""), 0) == b""
    assert read_bytes(write(b"abc"), 3) == b"abc"
    with pytest.raises(ReadError, match=r"a\.txt: larger than 2e-06 MB"):
        read_bytes(write(b"abc"), 2)


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path, tmp_path / "none", tmp_path / "nul\0l"):
        with pytest.raises(ReadError, match="cannot be read; check the path"):
            read_bytes(path)


def test_text_is_utf_8_with_or_without_a_mark(write):
    assert read_text(write("é".encode())) == read_text(write("é".encode("utf-8-sig"))) == "é"
    with pytest.raises(ReadError, match="not text in UTF-8"):
        read_text(write(b"\xff\xfa"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not readable JSON"),
        ("NaN", "NaN is not a number"),
        ("[-Infinity]", "Infinity is not a number"),
        ("1e999", "too large for a number"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
        ("[" * 100_000, "not readable JSON"),
    ],
)
def test_json_that_python_would_take_is_refused(write, text, message):
    with pytest.raises(ReadError, match=message):
        read_json(write(text.encode()))


def test_json_comes_back(write):
    assert read_json(write(b'{"a": [1, 2.5, null]}')) == {"a": [1, 2.5, None]}


def test_names_inside_a_set_are_paths(tmp_path):
    assert inside(tmp_path, "images/a b.png") == tmp_path / "images/a b.png"


@pytest.mark.parametrize(
    "name", [None, 3, "", "a\nb", "/etc/passwd", "../a", "a/../../b", "C:/a", "a\\b"]
)
def test_names_that_lead_out_of_a_set_are_refused(tmp_path, name):
    with pytest.raises(WbcError, match=r"inside (it|the set)"):
        inside(tmp_path, name)


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_links_that_lead_out_of_a_set_are_refused(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(WbcError, match="by a link"):
        inside(root, "out/a.png")
    (root / "ring").symlink_to(root / "ring")
    with pytest.raises(WbcError, match="leads"):
        inside(root, "ring/a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "jp2", "ppm", "tif", "webp"])
def test_the_size_of_an_image_is_in_its_header(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.zeros((3, 5, 3), np.uint8)).save(path)
    assert image_size(path) == (3, 5)


def test_other_images_are_refused(tmp_path, write, monkeypatch):
    with pytest.raises(ReadError, match="no such image"):
        image_size(tmp_path / "none.png")
    Image.fromarray(np.zeros((3, 5, 3), np.uint8)).save(tmp_path / "a.ico")
    for path in (write(b"II*\0"), write(b"no image"), tmp_path / "a.ico"):
        with pytest.raises(ReadError, match="not a readable PNG"):
            image_size(path)
    monkeypatch.setattr("napari_wbc.files.guard.MAX_PIXELS", 14)
    Image.fromarray(np.zeros((3, 5, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ReadError, match="5 x 3 pixels is more than a field of view"):
        image_size(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: &x [1]\nb: *x", "uses an alias"), ("- a: 1\n  b: 2\n  a: 3", "line 1 has a field twice")],
)
def test_yaml_that_would_be_expanded_or_dropped_is_refused(write, text, message):
    with pytest.raises(ReadError, match=message):
        read_yaml(write(text.encode()))


@pytest.mark.parametrize("text", ["", "a: [1, {b: 2}]\nc: {b: 3}"])
def test_plain_yaml_passes(write, text):
    assert read_yaml(write(text.encode())) == (
        {"a": [1, {"b": 2}], "c": {"b": 3}} if text else None
    )


def test_an_image_of_a_billion_pixels_is_told_as_large(tmp_path):
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (40_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    body = header[12:]
    path = tmp_path / "a.png"
    path.write_bytes(header + zlib.crc32(body).to_bytes(4, "big") + b"\0\0\0\0IDAT" + b"\0" * 8)
    with pytest.raises(ReadError, match=r"a\.png: larger than a field of view"):
        image_size(path)
