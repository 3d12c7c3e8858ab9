"""Fields of one shade of red each, their cells and their thumbnails."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_wbc.errors import ReadError
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView
from napari_wbc.widgets.qt.thumbnails import SIDE

FIELDS = {f"f{i}": FieldOfView(f"f{i}", Path(f"f{i}.png")) for i in range(20)}


def cell(fov_id="f0", top=10, name=None):
    made = Cell.new(fov_id, Detection(BBox(top, 10, top + 20, 30)))
    return made if name is None else replace(made, cell_id=name)


class Reader:
    """Fields of one shade of red each, and a list of what was read."""

    def __init__(self):
        self.read, self.threads, self.broken, self.error = (
            [],
            set(),
            set(),
            ReadError("not readable"),
        )

    def __call__(self, field):
        self.threads.add(threading.get_ident())
        self.read.append(field.fov_id)
        if field.fov_id in self.broken:
            raise self.error
        shade = 10 * int(field.fov_id[1:])
        return np.full((60, 80, 3), (shade, 0, 0), np.uint8)


def settle(thumbnails, qtbot, cells):
    qtbot.waitUntil(lambda: all(thumbnails.get(c) for c in cells))
    qtbot.waitUntil(lambda: not thumbnails.running)


def shade(pixmap):
    return pixmap.toImage().pixelColor(SIDE // 2, SIDE // 2).red()
