"""Slides are split by their names, in the shares that are meant."""

from __future__ import annotations

import pytest

from napari_wbc.model.split import SHARES, SPLITS, split_of


def test_the_shares_of_many_slides_are_about_those_that_are_meant():
    sides = [split_of(f"slide {i}") for i in range(2000)]
    for split, share in zip(SPLITS, SHARES, strict=True):
        assert sides.count(split) / 2000 == pytest.approx(share, abs=0.04)
