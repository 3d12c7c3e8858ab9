"""Nothing is lost, mixed or silently another: a sample of benchmarks/reliability."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from tests.faults import WORKS
from tests.reliability import TRIALS, tried

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and kills")
FULL = "the disk is full"
SAMPLE = {"a bit of a project is flipped": 40, FULL: len(WORKS)}
FEW = 6
"""Tries of a trial of which nothing is said."""


def can_mount():
    """Whether this user may have a small disk of their own."""
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def failures():
    """What failed, by trial; all in one process, which loads what they need once."""
    trials = [name for name in TRIALS if name != FULL or can_mount()]
    return tried({name: SAMPLE.get(name, FEW) for name in trials})


@pytest.mark.parametrize("name", TRIALS)
def test_nothing_fails(name, failures):
    if name not in failures:
        pytest.skip("no mount of one's own here")
    assert failures[name] == []
