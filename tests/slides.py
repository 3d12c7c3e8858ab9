"""Whole slides of our own making, with cells at known places; written without holding them.

A scene is a grid of fields that repeat at random, so that one of 60,000 pixels takes the memory
of a few fields. Fields do not line up with tiles: cells lie across the seams of tiles of any size.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import tifffile

from napari_wbc.imaging.read import read_image
from napari_wbc.imaging.synthetic import synthetic_slide
from napari_wbc.model.geometry import BBox

PIXEL_SIZE = 0.25
"""Micrometres."""
TILE = 256


@dataclass(frozen=True, eq=False)
class Scene:
    """A slide to be written.

    ``fields`` is a pool of images of one shape, ``boxes`` the cells of each; the field at a place
    of the grid is drawn by ``seed``. Where ``glass`` says so, a place of the grid shows none.
    """

    shape: tuple[int, int]
    fields: tuple[np.ndarray, ...]
    boxes: tuple[tuple[BBox, ...], ...]
    seed: int = 0
    glass: float = 0.0

    @property
    def field_shape(self) -> tuple[int, int]:
        return self.fields[0].shape[:2]

    @property
    def grid(self) -> np.ndarray:
        """Number of the field at each place; -1 is glass."""
        rng = np.random.default_rng(self.seed)
        size = [-(-n // step) for n, step in zip(self.shape, self.field_shape, strict=True)]
        grid = rng.integers(len(self.fields), size=size)
        grid[rng.random(size) < self.glass] = -1
        return grid

    def cells(self) -> list[BBox]:
        """Cells that lie wholly in the slide."""
        height, width = self.field_shape
        cells = []
        for (row, col), field in np.ndenumerate(self.grid):
            for box in self.boxes[field] if field >= 0 else ():
                edges = np.array(box.edges) + np.array([row * height, col * width] * 2)
                if edges[2] <= self.shape[0] and edges[3] <= self.shape[1]:
                    cells.append(BBox(*edges.tolist()))
        return cells

    def region(self, top: int, left: int, bottom: int, right: int, *, level=0) -> np.ndarray:
        """Pixels of a region of a level, which may reach over its lower and right edge."""
        grid = _grid(self)
        fields = _shrunken(self, level)
        pixels = np.full((bottom - top, right - left, 3), 235, np.uint8)
        height, width = fields[0].shape[:2]
        for row in range(top // height, min(-(-bottom // height), grid.shape[0])):
            for col in range(left // width, min(-(-right // width), grid.shape[1])):
                if grid[row, col] < 0:
                    continue
                field = fields[grid[row, col]]
                y, x = row * height, col * width
                low = max(y, top), max(x, left)
                high = min(y + height, bottom), min(x + width, right)
                pixels[low[0] - top : high[0] - top, low[1] - left : high[1] - left] = field[
                    low[0] - y : high[0] - y, low[1] - x : high[1] - x
                ]
        return pixels

    def level_shape(self, level: int) -> tuple[int, int]:
        return self.shape[0] >> level, self.shape[1] >> level

    def tiles(self, level: int) -> Iterator[np.ndarray]:
        """Tiles of a level, row by row, each whole."""
        rows, cols = self.level_shape(level)
        # Fields of whole pixels at a level are shrunken once, and not in each tile.
        if not any(n % (1 << level) for n in self.field_shape):
            for row in range(-(-rows // TILE)):
                for col in range(-(-cols // TILE)):
                    top, left = row * TILE, col * TILE
                    yield self.region(top, left, top + TILE, left + TILE, level=level)
            return
        step = TILE << level
        for row in range(-(-rows // TILE)):
            for col in range(-(-cols // TILE)):
                part = self.region(row * step, col * step, (row + 1) * step, (col + 1) * step)
                yield cv2.resize(part, (TILE, TILE), interpolation=cv2.INTER_AREA)


@lru_cache(maxsize=4)
def _grid(scene: Scene) -> np.ndarray:
    return scene.grid


@lru_cache(maxsize=16)
def _shrunken(scene: Scene, level: int) -> tuple[np.ndarray, ...]:
    if not level:
        return scene.fields
    height, width = scene.field_shape
    shape = width >> level, height >> level
    return tuple(cv2.resize(one, shape, interpolation=cv2.INTER_AREA) for one in scene.fields)


def synthetic_scene(
    side: int, *, seed: int = 0, n_fields: int = 12, per_field=(0, 2), field=512, glass=0.0
) -> Scene:
    """A smear of red cells 30 pixels wide; leukocytes lie anywhere."""
    drawn = synthetic_slide(seed, n_fields, shape=(field, field), scale=0.45, per_field=per_field)
    images = tuple(one.image for one in drawn)
    boxes = tuple(tuple(cell.bbox for cell in one.cells) for one in drawn)
    return Scene((side, side), images, boxes, seed, glass)


def real_scene(side: int, data: Path, *, n_fields: int = 40, seed: int = 0) -> Scene:
    """Fields of Chula with the boxes that are drawn there; of its test slides."""
    folder = data / "chula_wbc"
    with (folder / "splits.csv").open(newline="") as file:
        names = [row["image"] for row in csv.DictReader(file) if row["split"] == "test"]
    images = []
    boxes = []
    for name in names[:n_fields]:
        image = read_image(folder / "images" / name)
        height, width = image.shape[:2]
        images.append(image)
        boxes.append(tuple(_yolo(folder / "labels" / f"{Path(name).stem}.txt", height, width)))
    return Scene((side, side), tuple(images), tuple(boxes), seed)


def _yolo(path: Path, height: int, width: int) -> Iterator[BBox]:
    for line in path.read_text().splitlines():
        _, x, y, w, h = map(float, line.split())
        top, left = (y - h / 2) * height, (x - w / 2) * width
        yield BBox(top, left, top + h * height, left + w * width)


def write_pages(path: Path, scene: Scene, *, levels: int = 4, compression="adobe_deflate") -> Path:
    """A pyramid of plain pages, as OpenSlide knows it."""
    return _write_tiff(path, scene, levels, compression, subifds=False)


def write_ome(path: Path, scene: Scene, *, levels: int = 4, compression="adobe_deflate") -> Path:
    """An OME-TIFF with its levels in SubIFDs."""
    return _write_tiff(path, scene, levels, compression, subifds=True)


def _write_tiff(path: Path, scene: Scene, levels: int, compression: str, *, subifds: bool) -> Path:
    metadata = None
    if subifds:
        metadata = {"axes": "YXS", "PhysicalSizeX": PIXEL_SIZE, "PhysicalSizeY": PIXEL_SIZE}
    with tifffile.TiffWriter(path, bigtiff=True, ome=subifds) as tiff:
        for level in range(levels):
            first = level == 0
            per_cm = 10_000 / (PIXEL_SIZE * 2**level)
            tiff.write(
                scene.tiles(level),
                shape=(*scene.level_shape(level), 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression=compression,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                subfiletype=0 if first else 1,
                subifds=levels - 1 if first and subifds else None,
                metadata=metadata if first else None,
            )
    return path


def write_zarr(path: Path, scene: Scene, *, levels: int = 4) -> Path:
    """An OME-Zarr of version 0.5."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)
    datasets = []
    for level in range(levels):
        rows, cols = scene.level_shape(level)
        array = group.create_array(
            str(level), shape=(3, rows, cols), chunks=(3, TILE, TILE), dtype="u1"
        )
        for i, tile in enumerate(scene.tiles(level)):
            across = -(-cols // TILE)
            top, left = i // across * TILE, i % across * TILE
            part = tile[: rows - top, : cols - left]
            array[:, top : top + TILE, left : left + TILE] = part.transpose(2, 0, 1)
        size = PIXEL_SIZE * 2**level
        scale = [{"type": "scale", "scale": [1.0, size, size]}]
        datasets.append({"path": str(level), "coordinateTransformations": scale})
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    image = {"axes": axes, "datasets": datasets, "name": "slide"}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return path
