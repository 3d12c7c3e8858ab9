"""A program that is killed loses nothing that it called saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
def test_killed_a_hundred_times_no_acknowledged_edit_is_lost_and_the_file_opens():
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.workspace.crash", "--times", "100"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["crashes"] == 100
    assert found["steps"] > 100
    assert found["acknowledged steps lost"] == 0
    assert found["cells that journal and state disagree on"] == 0
