from __future__ import annotations

import pytest
from tests.widgets.red_fields import cell, settle

from napari_wbc.model.cell import Annotation, Prediction
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session.heats import Heats
from napari_wbc.session.order import disagreed
from napari_wbc.session.session import Session
from napari_wbc.widgets.gallery.tiles import Tiles
from napari_wbc.widgets.qt.thumbnails import SIDE


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
        tiles = Tiles(thumbnails, EIGHT_CLASSES, Heats(Session()))
        assert tiles.get(cell()) is None
        assert tiles.empty("monocyte").width() == SIDE
        assert tiles.empty("monocyte") is tiles.empty("monocyte")

    def test_framed_in_the_colour_of_the_label_and_drawn_once(self, thumbnails, qtbot):
        one = cell("f3").predicted(predicted("monocyte", unlikeness=2.0))
        thumbnails.get(one)
        settle(thumbnails, qtbot, [one])
        tiles = Tiles(thumbnails, EIGHT_CLASSES, Heats(Session()))
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
        tiles = Tiles(thumbnails, EIGHT_CLASSES, Heats(Session()))
        assert tiles.short("smudge") == "smu"
        assert tiles.color("smudge").name() == "#999999"
