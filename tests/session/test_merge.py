"""New detections never take a person's word away."""

from __future__ import annotations

import pytest

from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.table import CellTable
from napari_wbc.session.merge import merged


def cell(cell_id, fov_id="1", left=0, label=None):
    detection = Detection(BBox(0, left, 10, left + 10))
    return Cell(cell_id, fov_id, detection, annotation=Annotation(label) if label else None)


def test_nothing_found_nowhere_changes_nothing():
    assert merged(CellTable(), [], []) == CellTable()
    table = CellTable([cell("a")])
    assert merged(table, [], []) == table


def test_a_search_that_finds_nothing_leaves_the_annotated():
    table = CellTable([cell("a"), cell("b", left=20, label="basophil"), cell("c", "2")])
    assert list(merged(table, [], ["1"])) == ["b", "c"]


def test_cells_of_fields_that_were_not_searched_stay():
    table = CellTable([cell("a"), cell("b", "2")])
    assert list(merged(table, [cell("new", left=30)], ["1"])) == ["b", "new"]


@pytest.mark.parametrize(
    ("left", "fresh"), [(0, False), (5, False), (6, True), (10, True), (40, True)]
)
def test_a_cell_that_a_person_has_annotated_is_not_found_again(left, fresh):
    table = CellTable([cell("said", label="basophil")])
    result = merged(table, [cell("new", left=left)], ["1"])
    assert list(result) == (["said", "new"] if fresh else ["said"])
    assert result["said"] is table["said"]


def test_the_same_place_in_another_field_is_another_cell():
    table = CellTable([cell("said", label="basophil")])
    assert list(merged(table, [cell("new", "2")], ["1", "2"])) == ["said", "new"]


def test_new_cells_come_in_the_order_of_their_fields():
    fields = [str(i) for i in range(30)]
    found = [cell(f"cell {i}", i) for i in fields]
    assert list(merged(CellTable(), found, iter(fields))) == [f"cell {i}" for i in fields]


def test_a_cell_that_a_person_drew_stays_without_a_label():
    drawn = Cell.new("1", Detection(BBox(0, 0, 10, 10), drawn=True))
    assert list(merged(CellTable([drawn]), [cell("new")], ["1"])) == [drawn.cell_id]


def test_what_was_taken_out_or_said_by_another_reader_is_not_replaced():
    table = CellTable([cell("read"), cell("plain", left=60)])
    gone = cell("gone", left=30)
    new = [cell("a", left=1), cell("b", left=31), cell("c", left=61)]
    assert list(merged(table, new, ["1"], rejected=[gone], annotated={"read"})) == ["read", "c"]


def test_a_candidate_goes_with_a_new_search_unless_it_was_accepted():
    found = Cell.new("1", Detection(BBox(0, 0, 10, 10), candidate=True))
    new = [cell("new")]
    assert list(merged(CellTable([found]), new, ["1"])) == ["new"]
    assert list(merged(CellTable([found.accepted()]), new, ["1"])) == [found.cell_id]


def test_cells_of_an_earlier_part_of_the_search_stay():
    table = CellTable([cell("a"), cell("early")])
    new = cell("new", left=30)
    assert list(merged(table, [new], ["1"], landed={"early"})) == ["early", "new"]
