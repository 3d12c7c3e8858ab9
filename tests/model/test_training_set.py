"""A labelled field is refused where its name, its size, its split or an id cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.training_set import LabelledField


@pytest.mark.parametrize("name", ["", ".", "..", "a/b.png", "a\\b.png", "c:a.png", "a\nb.png"])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(WbcError, match="no plain file name"):
        LabelledField(name, Path("a.png"), 9, 9, "train")


@pytest.mark.parametrize(
    ("size", "split", "message"),
    [((0, 9), "train", "no size"), ((9, -1), "train", "no size"), ((9, 9), "dev", "no split")],
)
def test_no_size_and_no_split_are_refused(size, split, message):
    with pytest.raises(WbcError, match=message):
        LabelledField("a.png", Path("a.png"), *size, split)


def test_two_cells_of_one_id_are_refused():
    cell = Cell("id", "a.png", Detection(BBox(0, 0, 9, 9)), annotation=Annotation("monocyte"))
    with pytest.raises(WbcError, match="two cells have the id 'id'"):
        LabelledField("a.png", Path("a.png"), 9, 9, "train", (cell, cell))
