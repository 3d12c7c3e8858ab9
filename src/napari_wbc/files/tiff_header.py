"""Which of the images in a TIFF is the field, and what the file says of it.

Invariant: no other file is opened, whatever the one given says of its siblings.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from defusedxml import DefusedXmlException, ElementTree

from napari_wbc.errors import ReadError

if TYPE_CHECKING:
    import tifffile

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION = 274
"""Tag of the orientation, in TIFF as in Exif."""
# tifffile logs what is odd about a file, which Python prints to stderr where nobody listens.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_BYTE_ORDERS: Mapping[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_COLOR_NAMES = {"red": 0, "r": 0, "green": 1, "g": 1, "blue": 2, "b": 2}
_PURE_COLORS = {0xFF0000: 0, 0x00FF00: 1, 0x0000FF: 2}


@dataclass(frozen=True, slots=True)
class TiffField:
    """The one image of a TIFF that is its field.

    Attributes
    ----------
    series : tifffile.TiffPageSeries
    height, width : int
        In pixels, as stored, not yet turned.
    samples : str
        Axis of the samples of a pixel, or empty: ``S`` in one page, ``C`` or ``I`` a page each.
    rgb : tuple of int
        Which of the pages are red, green and blue; empty where the samples are in one page.
    orientation : int
        1 to 8, as in Exif.
    bits : int or None
        Bits that carry brightness, where the file says that they are fewer than it stores.
    """

    series: tifffile.TiffPageSeries
    height: int
    width: int
    samples: str
    rgb: tuple[int, ...]
    orientation: int
    bits: int | None


@contextmanager
def open_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """A TIFF file, without the siblings that an OME-TIFF or one of Micro-Manager names."""
    import tifffile

    # With its siblings it would be a stack of their planes, read from wherever the file says.
    alone = {"_multifile": False, "is_mmstack": False, "is_ndtiff": False}
    with tifffile.TiffFile(path, **alone) as tiff:
        yield tiff


def tiff_field(tiff: tifffile.TiffFile, path: Path) -> TiffField:
    """The field in a TIFF: the largest image in it that is neither a thumbnail nor a mask.

    Raises
    ------
    ReadError
        If there is none, or two of about one size, or it is a stack.
    """
    _check_whole(tiff, path)
    series = _largest(tiff, path)
    ome = ome_pixels(tiff)
    axes = zip(series.axes, series.shape, strict=True)
    sizes = {axis: n for axis, n in axes if n > 1 or axis in "YX"}
    samples = "".join(axis for axis in sizes if axis not in "YX")
    rgb: tuple[int, ...] = ()
    if samples and samples != "S":
        rgb = _pages_of_colors(tiff, ome, samples, sizes[samples[0]])
        if not rgb:
            raise ReadError(
                f"{path}: a stack with axes {series.axes} {series.shape}, not one field; "
                "save each field as a file of its own."
            )
    page = series.keyframe
    orientation = page.tags.valueof(ORIENTATION, default=1)
    return TiffField(
        series,
        sizes["Y"],
        sizes["X"],
        samples,
        rgb,
        int(orientation) if orientation in range(1, 9) else 1,
        _said_bits(page, ome),
    )


def _check_whole(tiff: tifffile.TiffFile, path: Path) -> None:
    """Refuse a file that ends before its last page; tifffile reads those that are there."""
    file = tiff.filehandle
    place = tiff.pages.next_page_offset
    if place is not None:
        file.seek(place)
        following = int.from_bytes(file.read(tiff.tiff.offsetsize), _BYTE_ORDERS[tiff.byteorder])
        if following >= file.size:
            raise ReadError(f"{path}: the TIFF is damaged or truncated; export or copy it again.")


def _largest(tiff: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    """The largest image that is not marked as a smaller copy or a mask of another."""
    images = [series for series in tiff.series if {"Y", "X"} <= set(series.axes)]
    if not images:
        raise ReadError(f"{path}: the TIFF holds no image; export it again.")
    whole = [one for one in images if not (one.keyframe.is_reduced or one.keyframe.is_mask)]
    if not whole:
        # What is marked as a thumbnail, but is all there is, was marked by mistake.
        if len(images) > 1 or images[0].keyframe.subifds:
            raise ReadError(
                f"{path}: only the thumbnails of this TIFF can be read; export the image as TIFF."
            )
        whole = images
    largest = max(whole, key=_area)
    # Levels of a pyramid, thumbnails and labels have a quarter of the pixels at most.
    rivals = [one for one in whole if 2 * _area(one) > _area(largest)]
    if len(rivals) > 1:
        sizes = " and ".join(f"{_side(one, 'X')} x {_side(one, 'Y')}" for one in rivals[:4])
        raise ReadError(
            f"{path}: {len(rivals)} images in one TIFF, of {sizes} pixels; "
            "save each as a file of its own."
        )
    return largest


def _side(series: tifffile.TiffPageSeries, axis: str) -> int:
    return int(series.shape[series.axes.index(axis)])


def _area(series: tifffile.TiffPageSeries) -> int:
    return _side(series, "Y") * _side(series, "X")


def ome_pixels(tiff: tifffile.TiffFile) -> Any:
    """What the XML of an OME-TIFF says of its first image, or None."""
    try:
        text = tiff.ome_metadata
        return ElementTree.fromstring(text).find(".//{*}Pixels") if text else None
    except (DefusedXmlException, ElementTree.ParseError):
        return None


def _pages_of_colors(tiff: tifffile.TiffFile, ome: Any, axis: str, n: int) -> tuple[int, ...]:
    """Which pages are red, green and blue; empty if they are no colours of one image."""
    if axis == "I" and ome is not None:
        # One of several files of an OME-TIFF; here its pages are the channels if nothing else can.
        sizes = {name: int(ome.get(f"Size{name}", 1)) for name in "CZT"}
        if sizes["C"] != n or n in (sizes["Z"], sizes["T"]):
            return ()
    elif axis != "C":
        return ()
    named = _named_colors(tiff, ome)
    if len(named) == n and {0, 1, 2} <= set(named):
        return named.index(0), named.index(1), named.index(2)
    return (0, 1, 2) if n == 3 else ()


def _named_colors(tiff: tifffile.TiffFile, ome: Any) -> list[int | None]:
    """0 for red, 1 for green, 2 for blue, None for others, by the channels' names or colours."""
    if ome is None:
        tables = (tiff.imagej_metadata or {}).get("LUTs", ())
        # The last entry of a table of colours, shape (3, 256), is that of the brightest pixel.
        return [_PURE_COLORS.get(_packed(table[:, -1])) for table in tables]
    channels = ome.findall("{*}Channel")
    names = [_COLOR_NAMES.get(str(channel.get("Name")).strip().lower()) for channel in channels]
    if {0, 1, 2} <= set(names):
        return names
    # Of RGBA as one signed number.
    return [
        _PURE_COLORS.get((int(channel.get("Color", -1)) >> 8) & 0xFFFFFF) for channel in channels
    ]


def _packed(color: Any) -> int:
    red, green, blue = map(int, color)
    return red << 16 | green << 8 | blue


def _said_bits(page: tifffile.TiffPage, ome: Any) -> int | None:
    """Bits that carry brightness, if fewer than the whole bytes that they are read as."""
    highest = page.tags.valueof("MaxSampleValue", default=0)
    if isinstance(highest, tuple):
        highest = max(highest, default=0)
    bits = int(page.bitspersample)
    said = [bits, int(ome.get("SignificantBits", bits)) if ome is not None else bits]
    # Many programs write the brightest pixel there, which says nothing of the depth.
    if highest > 0xFF and highest & (highest + 1) == 0:
        said.append(int(highest).bit_length())
    fewest = min(said)
    return fewest if 8 < fewest < 16 else None
