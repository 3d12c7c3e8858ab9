"""A name planted wherever a laboratory may have one, and what commands write of it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

NAME = "Mustermann"


def _exif() -> bytes:
    tags = Image.Exif()
    tags[0x010E] = tags[0x013B] = tags[0x8298] = f"{NAME}, Erika"
    return tags.tobytes()


def images(folder: Path, seed: int = 0) -> list[Path]:
    """An image of each kind in a folder, with the name in all that its file can say."""
    rng = np.random.default_rng(seed)
    made: list[Path] = []

    def add(name: str) -> tuple[Path, np.ndarray]:
        made.append(folder / name)
        return made[-1], rng.integers(0, 255, (60, 90, 3), np.uint8)

    folder.mkdir(parents=True)
    path, pixels = add("1.jpg")
    Image.fromarray(pixels).save(path, comment=NAME.encode(), exif=_exif())
    path, pixels = add("2.png")
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Patient", NAME)
    texts.add_text("Description", NAME, zip=True)
    Image.fromarray(pixels).save(path, pnginfo=texts, exif=_exif())
    path, pixels = add("3.tif")
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb",
        description=NAME,
        software=NAME,
        extratags=[(315, "s", 0, NAME, True)],
    )
    path, pixels = add("4.ome.tif")
    tifffile.imwrite(path, pixels, photometric="rgb", metadata={"axes": "YXS", "Name": NAME})
    path, pixels = add("5.webp")
    Image.fromarray(pixels).save(path, exif=_exif(), lossless=True)
    path, pixels = add("6.gif")
    Image.fromarray(pixels).quantize(64).save(path, comment=NAME.encode())
    path, pixels = add("7.ppm")
    head, rest = b"P6\n", f"# {NAME}\n90 60\n255\n".encode() + pixels.tobytes()
    path.write_bytes(head + rest)
    return made


def holding(folder: Path, name: str = NAME) -> Iterator[str]:
    """Files below a folder that hold a name, also packed; and names of files that do."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        if name.casefold() in place.casefold():
            yield f"{place} (its name)"
        if path.is_file() and any(name.encode() in text for text in _texts(path)):
            yield place


def _texts(path: Path) -> Iterator[bytes]:
    """What a file says, and what is packed in it."""
    data = path.read_bytes()
    yield data
    yield data.replace(b"\0", b"")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            yield from map(packed.read, packed.namelist())
    start = 0
    while (start := data.find(b"zTXt", start) + 1) > 0:
        text = data[start + 3 :]
        try:
            yield zlib.decompressobj().decompress(text[text.index(b"\0") + 2 :])
        except (ValueError, zlib.error):
            continue
