"""The parts of a cell as JSON: what is not said stays unknown, and nonsense is refused."""

from __future__ import annotations

import json

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell, Detection, LocatedBy
from napari_wbc.model.geometry import BBox
from napari_wbc.storage.codec import parts_of, with_parts

FOUND = Cell("a", "f", Detection(BBox(0, 0, 9, 9), located_by=LocatedBy("net", (("score", 0.1),))))


def test_a_part_without_what_located_the_cell_is_one_of_the_first_version():
    parts = json.loads(parts_of(FOUND))
    assert parts["detection"].pop("located_by") == {"detector": "net", "parameters": {"score": 0.1}}
    assert with_parts("a", None, json.dumps(parts)).detection == Detection(BBox(0, 0, 9, 9))


def test_a_cell_that_a_person_drew_says_nothing_of_a_detector():
    drawn = Cell("a", "f", Detection(BBox(0, 0, 9, 9), drawn=True))
    assert "located_by" not in parts_of(drawn)
    assert with_parts("a", None, parts_of(drawn)) == drawn


@pytest.mark.parametrize(
    "wrong",
    [
        "net",
        3,
        [],
        {},
        {"detector": 3, "parameters": {}},
        {"detector": "net", "parameters": {"a": "b"}},
    ],
)
def test_what_is_no_detector_is_refused(wrong):
    parts = json.loads(parts_of(FOUND))
    parts["detection"]["located_by"] = wrong
    with pytest.raises(WbcError, match="does not say what located"):
        with_parts("a", None, json.dumps(parts))


def test_only_a_candidate_says_that_it_is_one():
    assert "candidate" not in parts_of(FOUND)
    found = Cell("a", "f", Detection(BBox(0, 0, 9, 9), candidate=True))
    assert with_parts("a", None, parts_of(found)) == found
    accepted = found.accepted()
    assert with_parts("a", accepted, parts_of(found, accepted)) == found
    assert with_parts("a", found, parts_of(accepted, found)) == accepted
