"""A disk that fails is told, and leaves nothing half made: a sample of the benchmark."""

from __future__ import annotations

import sys

import pytest
from tests.faults import WORKS, faults, prepared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for open files")
SAMPLE = 4
"""Cases of each work; benchmarks/reliability has all of them."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    prepared(folder)
    return folder


@pytest.mark.parametrize("work", WORKS)
def test_a_disk_that_fails_is_told_and_leaves_nothing_half_made(work, base):
    counts, wrong = faults(work, base, most=SAMPLE)
    assert wrong == []
    assert counts.total() == SAMPLE
