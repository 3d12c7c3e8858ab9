"""The examples run as they stand, each in a process and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

EXPECTED = {
    "analyze_a_smear.py": ((), "neutrophil"),
    "count_from_a_table.py": ((), "leukocytes: 100"),
    "open_in_napari.py": (("--close",), "The workbench is open."),
    "train_a_tiny_classifier.py": ((), "confidence"),
}
"""Arguments of each example, and what it prints among other things."""


def run_example(name: str, folder: Path, *arguments: str) -> str:
    """Run an example in a folder, away from whatever a person keeps; return what it prints."""
    # Projects, models and napari's settings would otherwise be those of whoever runs the tests.
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), folder)
    environment = os.environ | {key: str(path) for key, path in homes.items()}
    environment["NAPARI_WBC_MODELS"] = str(folder / "models")
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_run() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    arguments, expected = EXPECTED[name]
    assert expected in run_example(name, tmp_path, *arguments)
    left_behind = [path.name for path in tmp_path.iterdir() if path.suffix in {".csv", ".png"}]
    assert not left_behind


def test_a_table_of_ones_own_is_counted(tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    table.write_text("cell_id,label\na,neutrophil\nb,platelet\n", encoding="utf-8")
    printed = run_example("count_from_a_table.py", tmp_path, str(table))
    assert "leukocytes: 1" in printed
    assert "100.0 %" in printed
