"""Superpixels of LIME."""

from __future__ import annotations

import numpy as np
from tests.explain.test_attribution import SIZE, quarters

from napari_wbc.explain.superpixels import superpixels


def test_superpixels_are_numbered_from_0():
    labels = superpixels(quarters()[0].permute(1, 2, 0).numpy())
    assert labels.shape == (SIZE, SIZE)
    assert sorted(np.unique(labels)) == list(range(labels.max() + 1))
    assert labels.max() > 5
