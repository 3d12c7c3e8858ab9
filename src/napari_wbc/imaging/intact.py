"""Damage inside compressed images, of which decoders make grey or shifted pixels without a word."""

from __future__ import annotations

from pathlib import Path

import simplejpeg

from napari_wbc.files.image_header import open_image


def check_jpeg(data: bytes) -> None:
    """Refuse a JPEG whose compressed data end early, go on too long, or make no sense in between.

    Pillow, OpenCV and imagecodecs drop these warnings of libjpeg. What a few wrong bits left
    readable cannot be told: the format has no checksum.

    Raises
    ------
    ValueError
    """
    # At an eighth of the size, since all data are read for that too; its pixels are not used.
    simplejpeg.decode_jpeg(data, colorspace="GRAY", min_height=1, min_width=1, strict=True)


def check_png(path: Path) -> None:
    """Refuse a PNG with a wrong checksum, of which Pillow compares only those of the header.

    Raises
    ------
    SyntaxError
    """
    with open_image(path) as image:
        image.verify()
