"""TIFFs of several images, of several files, of channels and inks: the one field, or one error."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_wbc.errors import ReadError
from napari_wbc.files.guard import image_size
from napari_wbc.imaging.read import read_image

ROWS, COLS = np.mgrid[:40, :56]
RGB = np.stack([ROWS * 6, COLS * 4, 255 - ROWS * 3], axis=-1).astype(np.uint8)
GREY = RGB[..., 0]
GREY_RGB = np.repeat(GREY[..., None], 3, axis=2)
PLANES = np.moveaxis(RGB, 2, 0)
SMALL = RGB[::8, ::8]
THUMBNAIL, MASK = 1, 4


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.tif"


def enlarged(pixels, times):
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def write(path, *images, **options):
    """Write images of some kinds, subfile types of TIFF, one after the other."""
    with tifffile.TiffWriter(path) as tiff:
        for pixels, kind in images:
            color = "rgb" if pixels.ndim == 3 else "minisblack"
            color = "mask" if kind == MASK else color
            tiff.write(
                pixels, photometric=color, subfiletype=kind, **({"metadata": None} | options)
            )


def check(path, expected):
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[:2]


def refused(path, *words):
    for read in (read_image, image_size):
        with pytest.raises(ReadError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        for word in words:
            assert word in message


@pytest.mark.parametrize(
    "images",
    [
        [(SMALL, THUMBNAIL), (RGB, 0)],
        [(SMALL, 0), (RGB, 0)],
        [(RGB, 0), (SMALL, THUMBNAIL)],
        [(RGB, 0), (SMALL, 0), (GREY > 9, MASK)],
        [(RGB, THUMBNAIL)],
    ],
    ids=["thumbnail first", "unmarked", "thumbnail last", "mask", "marked by mistake"],
)
@pytest.mark.parametrize("options", [{}, {"metadata": {}}])
def test_the_largest_image_that_is_no_thumbnail_is_the_field(path, images, options):
    write(path, *images, **options)
    check(path, RGB)


@pytest.mark.parametrize("in_pages", [True, False])
def test_of_a_pyramid_the_field_is_its_largest_level(path, in_pages):
    large = enlarged(RGB, 4)
    with tifffile.TiffWriter(path) as tiff:
        options = {"photometric": "rgb", "tile": (16, 16), "metadata": None}
        tiff.write(large, subifds=0 if in_pages else 2, **options)
        for times in (2, 1):
            tiff.write(enlarged(RGB, times), subfiletype=THUMBNAIL, **options)
    check(path, large)


def test_two_images_in_one_file_are_refused_by_their_sizes(path):
    write(path, (RGB, 0), (RGB[:36], 0), (SMALL, THUMBNAIL))
    refused(path, "2 images in one TIFF", "56 x 40 and 56 x 36", "a file of its own")
    write(path, (RGB, 0), (GREY, 0))
    refused(path, "2 images in one TIFF", "56 x 40 and 56 x 40")


def test_three_images_of_one_size_are_a_stack(path):
    write(path, (RGB, 0), (RGB, 0), (RGB, 0))
    refused(path, "a stack")


def test_thumbnails_alone_are_no_field(path):
    write(path, (RGB, THUMBNAIL), (SMALL, THUMBNAIL))
    refused(path, "thumbnails")


XML = """<?xml version="1.0"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}">
<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8"
 SizeX="56" SizeY="40" SizeC="{channels}" SizeZ="1" SizeT="{times}">
{names}{places}</Pixels></Image></OME>"""


def ome_file(path, pixels, own, channels=1, times=4, names=()):
    """One file of a set of OME-TIFFs, each with one time, whose XML names them all."""
    places = []
    for i in range(times):
        file = path.with_name(f"{i}.ome.tif").name
        uuid = f'<UUID FileName="{file}">urn:uuid:{i}</UUID>'
        places.append(f'<TiffData FirstT="{i}" IFD="0" PlaneCount="{channels}">{uuid}</TiffData>')
    named = [f'<Channel ID="Channel:0:{i}" Name="{name}"/>' for i, name in enumerate(names)]
    xml = XML.format(
        own=own, channels=channels, times=times, names="".join(named), places="".join(places)
    )
    tifffile.imwrite(path, pixels, photometric="minisblack", description=xml, metadata=None)


@pytest.mark.parametrize("siblings", [True, False])
def test_an_ome_tiff_of_one_plane_is_that_plane(tmp_path, siblings):
    for i in range(4) if siblings else [2]:
        ome_file(tmp_path / f"{i}.ome.tif", GREY + np.uint8(i), i)
    check(tmp_path / "2.ome.tif", GREY_RGB + np.uint8(2))


@pytest.mark.parametrize("names", [(), ("Red", "Green", "Blue")])
def test_channels_of_one_file_of_an_ome_set_are_colours(tmp_path, names):
    for i in range(4):
        ome_file(tmp_path / f"{i}.ome.tif", PLANES // (i + 1), i, channels=3, names=names)
    check(tmp_path / "1.ome.tif", RGB // 2)


def test_planes_of_an_ome_set_that_may_be_times_are_a_stack(tmp_path):
    ome_file(tmp_path / "1.ome.tif", PLANES, 1, channels=3, times=3)
    refused(tmp_path / "1.ome.tif", "a stack")


def test_no_file_that_the_xml_names_is_opened(tmp_path, monkeypatch):
    for i in range(4):
        ome_file(tmp_path / f"{i}.ome.tif", GREY, i)
    opened = []
    original = tifffile.TiffFile.__init__

    def note(self, file, **options):
        opened.append(file)
        original(self, file, **options)

    monkeypatch.setattr(tifffile.TiffFile, "__init__", note)
    read_image(tmp_path / "2.ome.tif")
    assert opened == [tmp_path / "2.ome.tif"]


@pytest.mark.parametrize(
    "channels",
    [
        {"Name": ["Blue", "Green", "Red"]},
        {"Name": ["b", " g", "R"]},
        {"Color": [0x0000FFFF, 0x00FF00FF, -0xFFFF01]},
    ],
)
def test_ome_channels_come_in_their_colours(path, channels):
    metadata = {"axes": "CYX", "Channel": channels}
    tifffile.imwrite(path, PLANES[::-1], ome=True, photometric="minisblack", metadata=metadata)
    check(path, RGB)


@pytest.mark.parametrize("names", [None, ["Red", "Green", "Blue"], ["1", "2", "3"]])
def test_ome_channels_of_other_names_stay_in_their_order(path, names):
    metadata = {"axes": "CYX"} | ({"Channel": {"Name": names}} if names else {})
    tifffile.imwrite(path, PLANES, ome=True, photometric="minisblack", metadata=metadata)
    check(path, RGB)


def test_of_four_channels_those_of_colours_are_read(path):
    pixels = np.stack([GREY, *PLANES[::-1]])
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "Blue", "Green", "Red"]}}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)
    check(path, RGB)
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    refused(path, "a stack with axes CYX")


def test_imagej_channels_come_in_the_colours_of_their_tables(path):
    ramp = np.arange(256, dtype=np.uint8)
    tables = []
    for color in (2, 1, 0):
        table = np.zeros((3, 256), np.uint8)
        table[color] = ramp
        tables.append(table)
    metadata = {"axes": "CYX", "mode": "composite", "LUTs": tables}
    tifffile.imwrite(path, PLANES[::-1], imagej=True, metadata=metadata)
    check(path, RGB)


DEEP = GREY.astype(np.uint16) * 16
DEEP_RGB = np.repeat(np.round(DEEP * (255 / 4095)).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("signed", "software"),
    [(False, None), (False, "National Instruments IMAQ   "), (True, "National Instruments IMAQ")],
)
def test_scanr_s_offset_is_no_brightness(path, signed, byteorder, software):
    pixels = DEEP + np.uint16(32768)
    tifffile.imwrite(
        path,
        pixels.view(np.int16) if signed else pixels,
        photometric="minisblack",
        byteorder=byteorder,
        software=software or False,
    )
    check(path, DEEP_RGB)


def test_scanr_files_without_an_offset_are_as_they_are(path):
    software = "National Instruments IMAQ"
    tifffile.imwrite(path, DEEP, photometric="minisblack", software=software)
    check(path, DEEP_RGB)


def test_signed_pixels_of_imagej_begin_at_0(path):
    metadata = {"c0": -32768.0, "c1": 1.0, "cf": 0, "vunit": "Gray Value"}
    tifffile.imwrite(path, DEEP + np.uint16(32768), imagej=True, metadata=metadata)
    check(path, DEEP_RGB)


def test_an_even_field_of_16_bits_has_no_offset(path):
    bright = np.full((40, 56), 50_000, np.uint16)
    bright[5:9] = 33_000
    tifffile.imwrite(path, bright, photometric="minisblack")
    assert read_image(path)[0, 0].tolist() == [195] * 3


@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}, {"dtype": np.uint16}])
def test_cmyk_becomes_rgb(path, options):
    inks = np.asarray(Image.fromarray(RGB).convert("CMYK"))
    if "dtype" in options:
        inks = inks.astype(np.uint16) * 257
    planar = "planarconfig" in options
    pixels = np.moveaxis(inks, 2, 0).copy() if planar else inks
    tifffile.imwrite(path, pixels, photometric="separated", planarconfig=1 + planar)
    check(path, RGB)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_other_inks_are_refused_by_name(path, dtype):
    tags = [(332, "H", 1, 2 if dtype == np.uint8 else 1, True)]
    pixels = np.zeros((40, 56, 4), dtype)
    tifffile.imwrite(path, pixels, photometric="separated", extratags=tags)
    with pytest.raises(ReadError, match="CMYK; save it as RGB"):
        read_image(path)


@pytest.mark.parametrize("color", ["cielab", "cfa"])
def test_other_colours_are_refused_by_name(path, color):
    pixels = RGB if color == "cielab" else GREY
    tifffile.imwrite(path, pixels, photometric=color)
    with pytest.raises(ReadError, match=f"colours stored as {color.upper()}; save it as RGB"):
        read_image(path)
