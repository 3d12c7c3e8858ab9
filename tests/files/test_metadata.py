"""Images without metadata: no planted name is left, and every pixel is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from napari_wbc.files.metadata import is_strippable, without_metadata
from napari_wbc.imaging.read import read_image

NAME = "Erika Mustermann"
PIXELS = np.random.default_rng(0).integers(0, 255, (24, 36, 3), np.uint8)


def exif(orientation=1):
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010E] = tags[0x013B] = NAME
    return tags.tobytes()


def jpeg(**options):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(
        file, "JPEG", comment=NAME.encode(), icc_profile=NAME.encode() * 9, **options
    )
    return file.getvalue() + NAME.encode()


def png(**options):
    file = io.BytesIO()
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Patient", NAME)
    texts.add_itxt("Patient 2", NAME, zip=False)
    Image.fromarray(options.pop("pixels", PIXELS)).save(file, "PNG", pnginfo=texts, **options)
    return file.getvalue()


DEEP = (PIXELS[..., 0].astype(np.uint16) * 200).astype(np.uint16)
IMAGES = {
    "jpeg": jpeg(exif=exif()),
    "progressive": jpeg(exif=exif(), progressive=True),
    "restarts": jpeg(exif=exif(), restart_marker_rows=1),
    "turned jpeg": jpeg(exif=exif(6)),
    "png": png(exif=exif()),
    "turned png": png(exif=exif(8)),
    "palette": png(pixels=np.asarray(Image.fromarray(PIXELS).convert("L"))),
    "16 bits": png(pixels=DEEP),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_a_planted_name_goes_and_pixels_stay(kind, tmp_path):
    data = IMAGES[kind]
    assert NAME.encode() in data
    plain = without_metadata(data)
    assert is_strippable(plain)
    assert NAME.encode() not in plain
    for name, content in (("a", data), ("b", plain)):
        (tmp_path / name).write_bytes(content)
    assert (read_image(tmp_path / "a") == read_image(tmp_path / "b")).all()
    # What has no metadata stays, byte by byte.
    assert without_metadata(plain) == plain


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_what_is_damaged_is_told(kind):
    data = IMAGES[kind]
    for end in range(0, len(data) - 60, 97):
        with pytest.raises((ValueError, OSError, SyntaxError)):
            without_metadata(data[:end])
