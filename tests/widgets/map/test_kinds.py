"""How cells look on a map, and which is beside which."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.widgets.map.kinds import COLOURINGS, beside, kind_of, kinds

BARE = Cell("a", "s/1.png", Detection(BBox(0, 0, 5, 5)))


def test_keys_go_to_the_nearest_to_one_side():
    places = np.array([[0, 0], [2, 1], [5, 0], [-1, 0], [0, 3], [np.nan, np.nan]], float)
    assert [beside(places, 0, d) for d in ((1, 0), (-1, 0), (0, 1), (0, -1))] == [1, 3, 4, 0]


def test_kinds_of_a_cell():
    said = Prediction(
        EIGHT_CLASSES.names, tuple(float(n == "monocyte") for n in EIGHT_CLASSES.names)
    )
    cell = BARE.predicted(said).annotated(Annotation("basophil", "ada"))
    assert [kind_of(cell, by, EIGHT_CLASSES) for by in COLOURINGS] == [
        "basophil",
        "monocyte",
        "reviewed",
        "s/1.png",
    ]
    assert [kind_of(BARE, by, EIGHT_CLASSES) for by in COLOURINGS[1:3]] == [
        "no prediction",
        "to review",
    ]
    with pytest.raises(WbcError, match="tea"):
        kind_of(BARE, "tea", EIGHT_CLASSES)


def test_legends_tell_kinds_apart_without_colour():
    names = EIGHT_CLASSES.names
    legend = kinds(reversed(names), "label", EIGHT_CLASSES)
    assert [kind.name for kind in legend] == list(names)
    assert len({kind.mark for kind in legend}) == len(names)
    fields = kinds([f"{i}.png" for i in range(30)], "field", EIGHT_CLASSES)
    assert len({(kind.color, kind.mark) for kind in fields}) == 30
    assert kinds((), "label", EIGHT_CLASSES) == ()


def test_candidates_have_a_colour_of_their_own():
    candidate = Cell("a", "s/1.png", Detection(BBox(0, 0, 5, 5), candidate=True))
    name = kind_of(candidate, "label", EIGHT_CLASSES)
    (kind,) = kinds([name], "label", EIGHT_CLASSES)
    assert (kind.name, kind.color) == ("candidate", EIGHT_CLASSES.colors["candidate"])
