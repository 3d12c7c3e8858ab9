"""When enough cells are counted: by their number, and by the width of the limits."""

from __future__ import annotations

import math

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.limits import share
from napari_wbc.model.target import Target


def counted(own, other):
    total = own + other
    return total, {name: share(n, total).times(100) for name, n in (("a", own), ("b", other))}


@pytest.mark.parametrize(
    "options", [{"cells": 0}, {"points": 0}, {"points": 51}, {"points": math.nan}]
)
def test_a_target_that_is_none_is_refused(options):
    with pytest.raises(WbcError, match="give"):
        Target(**options)


def test_cells_are_counted_up_to_the_target():
    assert Target(100).missing(*counted(60, 39)) == "99 leukocytes of 100 counted"
    assert Target(100).missing(*counted(60, 40)) == ""


def test_limits_are_to_be_narrow():
    assert "the target is 5" in Target(1, 5).missing(*counted(60, 40))
    assert Target(1, 11).missing(*counted(60, 40)) == ""
    assert Target(1, 5).missing(*counted(240, 160)) == ""


def test_of_no_leukocyte_no_limit_is_asked():
    assert "0 leukocytes of 1" in Target(1, 5).missing(*counted(0, 0))


def test_limits_that_would_not_hold_reach_no_target():
    assert "limits are known once all cells" in Target(1, 5).missing(400, {})
    assert Target(1).missing(400, {}) == ""
