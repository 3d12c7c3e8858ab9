"""Images without what their files say beside the pixels: names, places, comments, profiles.

Invariant: the pixels are those of the file, bit by bit, and turned as it says.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

from PIL import Image

from napari_wbc.files.tiff_header import ORIENTATION

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers of JPEG that no length follows."""
_SCAN, _END, _JFIF, _ADOBE = 0xDA, 0xD9, 0xE0, 0xEE
_APPLICATION = range(0xE0, 0xF0)
_COMMENT = 0xFE
_SHOWN = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT"}
)
"""Chunks of PNG that say how pixels look."""


def is_strippable(data: bytes) -> bool:
    """Whether :func:`without_metadata` knows the kind of an image, by its first bytes."""
    return data.startswith((_JPEG, _PNG))


def without_metadata(data: bytes) -> bytes:
    """The file of a JPEG or PNG without Exif, comments, texts, profiles and thumbnails.

    Raises
    ------
    ValueError
        If it is neither, or damaged.
    """
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
        orientation = image.getexif().get(ORIENTATION, 1)
    turned = _exif(orientation) if orientation in range(2, 9) else b""
    if data.startswith(_PNG):
        return _PNG + b"".join(_png_chunks(data, turned))
    if data.startswith(_JPEG):
        return b"\xff\xd8" + b"".join(_jpeg_parts(data, turned)) + b"\xff\xd9"
    raise ValueError("neither a JPEG nor a PNG")


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def _png_chunks(data: bytes, exif: bytes) -> Iterator[bytes]:
    place = len(_PNG)
    name = b""
    while name != b"IEND":
        length = int.from_bytes(data[place : place + 4])
        name = data[place + 4 : place + 8]
        end = place + 12 + length
        if len(name) < 4 or end > len(data):
            raise ValueError("the PNG ends early")
        if name in _SHOWN:
            yield data[place:end]
        if name == b"IHDR" and exif:
            chunk = b"eXIf" + exif.removeprefix(b"Exif\0\0")
            yield (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
        place = end


def _jpeg_parts(data: bytes, exif: bytes) -> Iterator[bytes]:
    place = 2
    if exif:
        yield b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif
    while True:
        # Any number of fill bytes may come before a marker.
        while data[place : place + 2] == b"\xff\xff":
            place += 1
        if data[place : place + 1] != b"\xff" or place + 2 > len(data):
            raise ValueError("a marker is missing in the JPEG")
        marker = data[place + 1]
        if marker == _END:
            return
        if marker in _BARE:
            yield data[place : place + 2]
            place += 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if marker == _SCAN:
            end = _end_of_scan(data, end)
        if _is_shown(marker, data[place + 4 : place + 9]):
            # The header of JFIF may end in a thumbnail.
            yield _plain_jfif(data[place:end]) if marker == _JFIF else data[place:end]
        place = end


def _is_shown(marker: int, start: bytes) -> bool:
    if marker == _JFIF:
        return start == b"JFIF\0"
    if marker == _ADOBE:
        # It says whether colours are YCbCr.
        return start == b"Adobe"
    return marker not in _APPLICATION and marker != _COMMENT


def _plain_jfif(part: bytes) -> bytes:
    return b"\xff\xe0\x00\x10" + part[4:16] + b"\0\0"


def _end_of_scan(data: bytes, place: int) -> int:
    """Where the next marker that ends the compressed data is."""
    while True:
        place = data.find(b"\xff", place)
        if place < 0 or place + 1 >= len(data):
            raise ValueError("the JPEG ends early")
        # A zero says that the byte before is data; restarts are part of them.
        if data[place + 1] == 0 or data[place + 1] in _BARE:
            place += 2
        elif data[place + 1] == 0xFF:
            place += 1
        else:
            return place
