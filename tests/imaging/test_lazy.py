"""A whole slide as arrays that read only what is asked for."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from tests.slides import synthetic_scene, write_ome, write_pages

from napari_wbc.errors import ReadError
from napari_wbc.imaging.pyramid import lazy
from napari_wbc.imaging.pyramid.lazy import lazy_levels
from napari_wbc.imaging.pyramid.tiff import TiffPyramid


@pytest.fixture(scope="module")
def scene():
    return synthetic_scene(1300, n_fields=3)


@pytest.mark.parametrize("write", [write_pages, write_ome])
def test_levels_are_those_of_the_slide(scene, write, tmp_path, monkeypatch):
    path = write(tmp_path / "film.tif", scene, levels=3)
    reads = []
    read = TiffPyramid.read
    monkeypatch.setattr(TiffPyramid, "read", lambda self, *at: reads.append(at) or read(self, *at))
    levels = lazy_levels(path)
    assert [level.shape for level in levels] == [(1300, 1300, 3), (650, 650, 3), (325, 325, 3)]
    assert not reads
    part = levels[0][600:700, 40:90].compute()
    assert np.array_equal(part, scene.region(600, 40, 700, 90))
    # One chunk holds it.
    ((number, region),) = reads
    assert number == 0
    assert max(region.shape) <= 512


def test_the_file_is_closed_with_the_last_array(scene, tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(TiffPyramid, "close", lambda self: closed.append(self.path))
    path = write_pages(tmp_path / "film.tif", scene, levels=2)
    levels = lazy_levels(path)
    first = levels[0]
    del levels
    gc.collect()
    assert not closed
    del first
    gc.collect()
    assert closed == [path]


def test_a_slide_without_small_copies_is_refused(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(lazy, "_COARSEST", 1000)
    path = write_pages(tmp_path / "flat.tif", scene, levels=1)
    with pytest.raises(ReadError, match="pyramidal TIFF"):
        lazy_levels(path)
    (tmp_path / "bad.svs").write_bytes(b"no slide")
    with pytest.raises(ReadError, match=r"bad\.svs"):
        lazy_levels(tmp_path / "bad.svs")
