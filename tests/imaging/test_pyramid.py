"""Whole slides by region: the same pixels whatever the format, and one clear error if damaged."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest
import tifffile
from tests.slides import PIXEL_SIZE, synthetic_scene, write_ome, write_pages, write_zarr

from napari_wbc.errors import ReadError
from napari_wbc.imaging.pyramid import opening
from napari_wbc.imaging.pyramid.base import Region
from napari_wbc.imaging.pyramid.opening import fingerprint, is_whole_slide, open_pyramid

WRITERS = {"pages.tif": write_pages, "slide.ome.tif": write_ome, "slide.zarr": write_zarr}
REGIONS = [
    Region(0, 0, 1, 1),
    Region(250, 500, 260, 520),
    Region(0, 0, 1000, 1100),
    Region(700, 900, 1000, 1100),
]


@pytest.fixture(scope="module")
def scene():
    made = synthetic_scene(1100, n_fields=3)
    # No side is a multiple of a tile's.
    object.__setattr__(made, "shape", (1000, 1100))
    return made


@pytest.fixture(scope="module")
def slides(scene, tmp_path_factory):
    pytest.importorskip("zarr")
    folder = tmp_path_factory.mktemp("slides")
    return {name: write(folder / name, scene, levels=3) for name, write in WRITERS.items()}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("region", REGIONS)
def test_regions_are_those_of_the_scene(slides, scene, name, region):
    with open_pyramid(slides[name]) as pyramid:
        pixels = pyramid.read(0, region)
    expected = scene.region(region.top, region.left, region.bottom, region.right)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("name", WRITERS)
def test_levels_and_pixel_size(slides, name):
    with open_pyramid(slides[name]) as pyramid:
        assert [level.shape for level in pyramid.levels] == [(1000, 1100), (500, 550), (250, 275)]
        assert [level.downsample for level in pyramid.levels] == [1, 2, 4]
        assert pyramid.pixel_size == pytest.approx(PIXEL_SIZE)
        low = pyramid.read(2, Region(0, 0, 250, 275))
        high = pyramid.read(0, Region(0, 0, 1000, 1100))
    shrunken = high.reshape(250, 4, 275, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrunken - low).max() <= 1


def test_openslide_sees_the_same_as_we_do(slides):
    openslide = pytest.importorskip("openslide")
    region = Region(100, 200, 700, 1000)
    with open_pyramid(slides["pages.tif"]) as pyramid:
        ours = pyramid.read(0, region)
        levels = [level.shape for level in pyramid.levels]
    with openslide.OpenSlide(slides["pages.tif"]) as slide:
        theirs = np.asarray(slide.read_region((200, 100), 0, (800, 600)))[..., :3]
        assert [size[::-1] for size in slide.level_dimensions] == levels
    assert np.array_equal(ours, theirs)


def test_a_scanners_file_is_read_with_and_without_openslide(slides, tmp_path, monkeypatch):
    pytest.importorskip("openslide")
    path = tmp_path / "slide.svs"
    path.write_bytes(slides["pages.tif"].read_bytes())
    region = Region(3, 5, 400, 300)
    with open_pyramid(path) as pyramid:
        assert type(pyramid).__name__ == "OpenSlidePyramid"
        assert pyramid.levels[1].downsample == pytest.approx(2)
        with_it = pyramid.read(0, region)
    monkeypatch.setitem(sys.modules, "openslide", None)
    with open_pyramid(path) as pyramid:
        assert type(pyramid).__name__ == "TiffPyramid"
        assert np.array_equal(pyramid.read(0, region), with_it)
    path = tmp_path / "slide.mrxs"
    path.write_bytes(b"no slide")
    with pytest.raises(ReadError, match="needs the extra 'openslide'"), open_pyramid(path):
        pass


def test_what_is_read_by_region(slides, tmp_path, monkeypatch):
    assert is_whole_slide(slides["slide.zarr"])
    assert is_whole_slide(tmp_path / "some.ndpi")
    assert not is_whole_slide(tmp_path)
    assert not is_whole_slide(slides["pages.tif"])
    monkeypatch.setattr(opening, "MAX_PIXELS", 1_000_000)
    assert is_whole_slide(slides["pages.tif"])


@pytest.mark.parametrize(
    "region", [Region(0, 0, 0, 5), Region(-1, 0, 5, 5), Region(0, 0, 1001, 5), Region(5, 5, 4, 9)]
)
def test_a_region_outside_the_slide_is_refused(slides, region):
    with open_pyramid(slides["pages.tif"]) as pyramid, pytest.raises(ReadError, match="not inside"):
        pyramid.read(0, region)


@pytest.mark.parametrize("name", ["pages.tif", "slide.ome.tif"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_a_truncated_slide_is_one_clear_error(slides, tmp_path, name, share):
    data = slides[name].read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ReadError, match=path.name), open_pyramid(path):
        pass


def test_a_tile_that_is_damaged_is_named(slides, tmp_path):
    path = tmp_path / "damaged.tif"
    data = bytearray(slides["pages.tif"].read_bytes())
    with tifffile.TiffFile(slides["pages.tif"]) as tiff:
        start = tiff.pages[0].dataoffsets[7]
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    with open_pyramid(path) as pyramid:
        pyramid.read(0, Region(0, 0, 200, 200))
        with pytest.raises(ReadError, match="tile 7 of the slide"):
            pyramid.read(0, Region(0, 0, 1000, 1100))


def test_missing_tiles_are_an_error(slides, tmp_path):
    path = tmp_path / "sparse.tif"

    def tiles():
        yield np.full((256, 256, 3), 9, np.uint8)
        for _ in range(3):
            yield None

    tifffile.imwrite(
        path, tiles(), shape=(512, 512, 3), dtype=np.uint8, tile=(256, 256), photometric="rgb"
    )
    with pytest.raises(ReadError, match="3 of 4 tiles"), open_pyramid(path):
        pass


def test_missing_chunks_are_an_error(slides, tmp_path):
    path = tmp_path / "sparse.zarr"
    shutil.copytree(slides["slide.zarr"], path)
    next(path.glob("0/c/0/1/*")).unlink()
    with pytest.raises(ReadError, match="1 of 20 chunks"), open_pyramid(path):
        pass


def test_a_zarr_that_names_a_folder_outside_is_refused(slides, tmp_path):
    path = tmp_path / "hostile.zarr"
    shutil.copytree(slides["slide.zarr"], path)
    said = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(said.replace('"path": "0"', '"path": "../slide.zarr/0"'))
    with pytest.raises(ReadError, match="leads out"), open_pyramid(path):
        pass


@pytest.mark.parametrize("content", [b"", b"II*\0", b"no image at all" * 50])
@pytest.mark.parametrize("name", ["a.tif", "a.svs", "a.dcm"])
def test_a_file_of_another_kind_is_one_clear_error(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ReadError, match=name), open_pyramid(path):
        pass


def test_a_huge_header_takes_no_memory(tmp_path):
    path = tmp_path / "huge.tif"
    tifffile.imwrite(
        path,
        np.zeros((64, 64, 3), np.uint8),
        tile=(16, 16),
        photometric="rgb",
    )
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags["ImageWidth"]
        data[tag.offset + 8 : tag.offset + 12] = (60_000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ReadError, match=r"damaged|one piece"), open_pyramid(path):
        pass


def test_a_label_is_no_level_and_no_text_leaves_the_file(tmp_path, scene):
    path = tmp_path / "named.tif"
    options = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(scene.region(0, 0, 1000, 1100), description="Ada Lovelace", **options)
        label = np.zeros((200, 400, 3), np.uint8)
        tiff.write(label, description="Ada Lovelace", subfiletype=1, **options)
        same_shape = np.zeros((100, 110, 3), np.uint8)
        tiff.write(same_shape, description="label", photometric="rgb", metadata=None)
    with open_pyramid(path) as pyramid:
        assert len(pyramid.levels) == 1
        assert pyramid.vendor == "TIFF"
        assert pyramid.pixel_size is None


def test_the_fingerprint_changes_with_the_slide(slides, tmp_path):
    path = tmp_path / "slide.tif"
    path.write_bytes(slides["pages.tif"].read_bytes())
    before = fingerprint(path)
    assert fingerprint(path) == before
    with path.open("r+b") as file:
        file.write(b"II+\0")
        file.seek(path.stat().st_size // 2)
        file.write(b"x")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10))
    assert fingerprint(path) != before
    assert fingerprint(slides["slide.zarr"]) == fingerprint(slides["slide.zarr"])
