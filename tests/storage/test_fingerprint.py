"""A fingerprint changes when labels or images do, and only then."""

from __future__ import annotations

import os

import pytest
from tests.storage.test_rounds import fields, write

from napari_wbc.model.progress import run
from napari_wbc.storage.fingerprint import fingerprint_steps


def fingerprint(path):
    return run(fingerprint_steps(path))


def test_a_set_that_stays_has_one_fingerprint_wherever_it_lies(tmp_path):
    write(tmp_path / "set", fields(tmp_path / "in"))
    before = fingerprint(tmp_path / "set")
    (tmp_path / "set" / "round-1" / ".hidden.json").touch()
    (tmp_path / "set" / "round-1" / "notes.md").touch()
    assert fingerprint(tmp_path / "set") == before
    (tmp_path / "set").rename(tmp_path / "moved")
    assert fingerprint(tmp_path / "moved") == before


@pytest.mark.parametrize("name", ["manifest.json", "images/f0.png", "more.txt"])
def test_a_label_or_an_image_that_changed_changes_it(tmp_path, name):
    done = write(tmp_path / "set", fields(tmp_path / "in"))
    before = fingerprint(tmp_path / "set")
    (done / name).write_bytes(b"changed")
    assert fingerprint(tmp_path / "set") != before


def test_of_a_table_the_images_that_it_names_count(tmp_path):
    table = tmp_path / "cells.csv"
    table.write_text("path,label\na.png,monocyte\nb.png,monocyte\n")
    for name in ("a.png", "other.png"):
        (tmp_path / name).touch()
    before = fingerprint(table)
    os.utime(tmp_path / "other.png", (1, 1))
    assert fingerprint(table) == before
    os.utime(tmp_path / "a.png", (1, 1))
    assert fingerprint(table) != before


def test_what_is_no_set_has_a_fingerprint_too(tmp_path):
    assert fingerprint(tmp_path / "none") != fingerprint(tmp_path / "nowhere")
