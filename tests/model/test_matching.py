"""Cells of one table are found in another by their id, or else by their box."""

from __future__ import annotations

from dataclasses import replace

from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.matching import counterparts


def cell(*edges):
    return Cell.new("slide/f.png", Detection(BBox(*edges)))


def test_no_cells_have_no_counterparts():
    assert counterparts([], [cell(0, 0, 9, 9)]) == []
    assert counterparts([cell(0, 0, 9, 9)], []) == [None]


def test_an_id_counts_before_a_box():
    here, there = cell(0, 0, 100, 100), cell(0, 200, 100, 300)
    moved = replace(here, detection=there.detection)
    assert counterparts([moved, cell(0, 200, 100, 300)], [here, there]) == [here, there]


def test_a_box_is_that_of_the_same_cell_up_to_rounding():
    known = cell(0, 0, 100, 100)
    assert counterparts([cell(0.4, 0.4, 100, 100)], [known]) == [known]
    assert counterparts([cell(20, 0, 120, 100)], [known]) == [None]


def test_no_cell_is_the_counterpart_of_two():
    known = cell(0, 0, 100, 100)
    assert counterparts([cell(0, 0, 100, 100), cell(0, 0, 100, 100)], [known]) == [known, None]
