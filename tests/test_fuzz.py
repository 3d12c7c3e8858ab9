"""Mutants of every kind of file are read, or refused in one line; benchmarks/fuzz.py reads more."""

from __future__ import annotations

import sys

import pytest
from tests.fuzz import IMAGES, OTHERS, TEXTS, fuzz

TIMES = 200


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and time are Linux's")
@pytest.mark.parametrize(
    "targets", [TEXTS, OTHERS.keys(), IMAGES], ids=["texts", "others", "images"]
)
def test_no_mutant_of_a_file_is_a_fault(targets):
    fuzzed = fuzz(sorted(targets), TIMES)
    assert fuzzed.faults == []
    assert fuzzed.times == dict.fromkeys(targets, TIMES)
