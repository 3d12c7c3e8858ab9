"""Red cells as the inner standard of a field."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wbc.imaging.red_cells import red_cells
from napari_wbc.imaging.stain import absorbance, nucleus_map
from napari_wbc.imaging.synthetic import synthetic_smear


@pytest.mark.parametrize("pixels", [0, 40])
def test_a_field_without_red_cells_is_said_and_has_ordinary_ones(pixels):
    density = np.zeros((100, 100, 3), np.float32)
    density[:1, :pixels] = 0.1
    cells = red_cells(density, nucleus_map(density))
    assert not cells.seen
    assert cells.level > 0


def test_red_cells_are_seen():
    density = absorbance(synthetic_smear(3, shape=(300, 300), n_leukocytes=1).image)
    assert red_cells(density, nucleus_map(density)).seen
