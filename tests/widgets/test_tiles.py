from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_wbc.errors import ReadError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session.order import disagreed
from napari_wbc.widgets.thumbnails import SIDE, Thumbnails
from napari_wbc.widgets.tiles import Tiles

FIELDS = {f"f{i}": FieldOfView(f"f{i}", Path(f"f{i}.png")) for i in range(20)}


def cell(fov_id="f0", top=10, name=None):
    made = Cell.new(fov_id, Detection(BBox(top, 10, top + 20, 30)))
    return made if name is None else replace(made, cell_id=name)


class Reader:
    """Fields of one shade of red each, and a list of what was read."""

    def __init__(self):
        self.read, self.threads, self.broken, self.error = [], set(), set(), ReadError("not readable")

    def __call__(self, field):
        self.threads.add(threading.get_ident())
        self.read.append(field.fov_id)
        if field.fov_id in self.broken:
            raise self.error
        shade = 10 * int(field.fov_id[1:])
        return np.full((60, 80, 3), (shade, 0, 0), np.uint8)


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture
def thumbnails(reader, qtbot):
    thumbnails = Thumbnails(reader, FIELDS.get)
    yield thumbnails
    thumbnails.cancel()
    qtbot.waitUntil(lambda: not thumbnails.running)


def settle(thumbnails, qtbot, cells):
    qtbot.waitUntil(lambda: all(thumbnails.get(c) for c in cells))
    qtbot.waitUntil(lambda: not thumbnails.running)


def shade(pixmap):
    return pixmap.toImage().pixelColor(SIDE // 2, SIDE // 2).red()


def predicted(name, **other):
    names = EIGHT_CLASSES.names
    return Prediction(names, tuple(float(n == name) for n in names), **other)


@pytest.mark.parametrize(
    ("said", "predicted_as", "expected"),
    [
        (None, "monocyte", False),
        ("monocyte", None, False),
        ("monocyte", "monocyte", False),
        ("monocyte", "lymphocyte", True),
        ("band neutrophil", "neutrophil", False),
        ("not classed", "neutrophil", True),
    ],
)
def test_disagreed(said, predicted_as, expected):
    made = cell().predicted(predicted_as and predicted(predicted_as))
    made = made.annotated(said and Annotation(said))
    assert disagreed(made, EIGHT_CLASSES) is expected


class TestTiles:
    def test_none_before_the_thumbnail_is_there(self, thumbnails):
        tiles = Tiles(thumbnails, EIGHT_CLASSES)
        assert tiles.get(cell()) is None
        assert tiles.empty("monocyte").width() == SIDE
        assert tiles.empty("monocyte") is tiles.empty("monocyte")

    def test_framed_in_the_colour_of_the_label_and_drawn_once(self, thumbnails, qtbot):
        one = cell("f3").predicted(predicted("monocyte", unlikeness=2.0))
        thumbnails.get(one)
        settle(thumbnails, qtbot, [one])
        tiles = Tiles(thumbnails, EIGHT_CLASSES)
        tiles.resize(64, 2.0)
        tile = tiles.get(one)
        image = tile.toImage()
        assert (image.width(), tile.devicePixelRatio()) == (128, 2.0)
        assert image.pixelColor(4, 64).name() == EIGHT_CLASSES.colors["monocyte"]
        assert image.pixelColor(64, 64).red() == 30
        assert tiles.get(one) is tile
        relabelled = one.annotated(Annotation("lymphocyte"))
        assert tiles.get(relabelled, draw=False) is None
        frame = tiles.get(relabelled).toImage().pixelColor(4, 64).name()
        assert frame == EIGHT_CLASSES.colors["lymphocyte"]

    def test_an_unknown_label_has_letters_and_a_colour(self, thumbnails):
        tiles = Tiles(thumbnails, EIGHT_CLASSES)
        assert tiles.short("smudge") == "smu"
        assert tiles.color("smudge").name() == "#999999"
