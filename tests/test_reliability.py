"""Nothing is lost, mixed or silently another: a sample of benchmarks/reliability."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from tests.reliability import TRIALS, tried

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and kills")
SAMPLE = {"a bit of a project is flipped": 40, "the disk is full": 13}
"""Tries of each trial; a few where nothing is said."""


def can_mount():
    """Whether this user may have a small disk of their own."""
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", TRIALS)
def test_nothing_fails(name):
    if name == "the disk is full" and not can_mount():
        pytest.skip("no mount of one's own here")
    assert tried(name, SAMPLE.get(name, 6)) == []
