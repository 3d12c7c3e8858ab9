"""A call below Python that fails is told, and leaves nothing half made: a sample."""

from __future__ import annotations

import pytest
from tests.calls import counted, why_not
from tests.faults import WORKS

SAMPLE = 2
"""Cases of each work; benchmarks/reliability has all of them."""


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_call_below_python_that_fails_is_told_and_leaves_nothing_half_made():
    result = counted(SAMPLE)
    assert result["failures"] == []
    assert sum(result["counts"].values()) == SAMPLE * len(WORKS)
