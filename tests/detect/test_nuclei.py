"""Nuclei in maps of stain that are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from napari_wbc.detect.nuclei import StainedField, find_nuclei, hull_of, stained_field
from napari_wbc.imaging.red_cells import RedCells
from napari_wbc.imaging.synthetic import synthetic_smear

DIAMETER = 20.0
RED = RedCells(0.3, (0.0, 0.05), np.array([0.27, 0.46]), np.eye(2) / 0.08, DIAMETER)


def field(*discs: tuple[int, int, int], slide_between: bool = False) -> StainedField:
    """Nuclei (row, col, radius) in stained cytoplasm, or on bare slide."""
    nuclei = np.zeros((100, 120), np.float32)
    for row, col, radius in discs:
        cv2.circle(nuclei, (col, row), radius, 0.6, -1)
    total = np.where(nuclei > 0, 1.0, 0.0 if slide_between else 0.3).astype(np.float32)
    return StainedField(total, nuclei, np.zeros_like(total), RED, DIAMETER, 0.01, 1.0)


def sizes(stain: StainedField, gap: float = 0.35, longest: float = 3.3) -> list[int]:
    return [len(pixels) for pixels in find_nuclei(stain, 0.3, 20, gap=gap, longest=longest)]


def test_lobes_of_one_cell_are_gathered() -> None:
    two = field((40, 40, 7), (40, 58, 7))
    assert len(sizes(two)) == 1
    assert len(sizes(two, gap=0.05)) == 2


def test_slide_between_lobes_parts_them() -> None:
    assert len(sizes(field((40, 40, 7), (40, 58, 7), slide_between=True))) == 2


def test_a_nucleus_that_is_too_long_is_cut_at_its_neck() -> None:
    one = field((40, 35, 15), (40, 61, 15))
    assert len(sizes(one)) == 1
    assert len(sizes(one, longest=2.0)) == 2


def test_the_largest_comes_first_and_specks_are_none() -> None:
    found = sizes(field((20, 20, 5), (70, 80, 12), (80, 20, 1)), gap=0.0)
    assert len(found) == 2
    assert found[0] > found[1]


def test_no_nuclei() -> None:
    assert find_nuclei(field(), 0.3, 20, gap=0.35, longest=3.3) == []


def test_the_hull_of_a_square_is_its_corners() -> None:
    square = np.argwhere(np.ones((5, 5))).astype(np.int32)
    corners = {tuple(point) for point in hull_of(square).tolist()}
    assert corners == {(0, 0), (0, 4), (4, 0), (4, 4)}


@pytest.mark.parametrize("red_cell", [0.0, 50.0])
def test_red_cells_are_measured_unless_a_person_says(red_cell: float) -> None:
    stain = stained_field(synthetic_smear(3).image, red_cell)
    assert stain.scale == pytest.approx(480 / 640)
    assert stain.diameter / stain.scale == pytest.approx(red_cell or 67, rel=0.15)
