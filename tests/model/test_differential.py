"""The total of a differential is its denominator."""

from __future__ import annotations

import math

from napari_wbc.model.differential import Beside, Differential, Share


def test_an_empty_differential_has_no_leukocytes():
    assert Differential("s", (), ()).total == 0


def test_what_stands_beside_is_not_in_the_total():
    shares = (Share("a", 3, 60, 1, 99), Share("b", 2, 40, 1, 99), Share("c", 0, math.nan, math.nan, math.nan))
    assert Differential("s", shares, (Beside("platelet", 50),)).total == 5
