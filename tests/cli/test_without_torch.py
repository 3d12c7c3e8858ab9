"""Without PyTorch the shell locates by colour and says so, however PyTorch fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image

from napari_wbc.imaging.synthetic import synthetic_smear


@pytest.fixture
def without_torch(tmp_path):
    """Run the command line in a Python whose torch raises an exception when it is imported."""

    def command(exception, *arguments):
        package = tmp_path / "broken" / "torch"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(f"raise {exception}('it is broken')\n")
        paths = [str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.run(
            [sys.executable, "-c", "from napari_wbc.cli import main; main()", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return command


@pytest.mark.parametrize("exception", ["ImportError", "ModuleNotFoundError", "OSError"])
def test_cells_are_located_by_colour_and_not_classified(without_torch, exception, tmp_path):
    folder, out = tmp_path / "slide", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(synthetic_smear(1, n_leukocytes=3).image).save(folder / "field.png")
    done = without_torch(
        exception, "analyze", folder, "--out", out, "--project", tmp_path / "p.wbc"
    )
    assert done.returncode == 0, done.stderr
    assert f"PyTorch cannot be loaded ({exception}: it is broken)" in done.stderr
    assert "located by colour (hsv)" in done.stderr
    assert "not classified" in done.stderr
    cells = pd.read_csv(out / "cells.csv")
    assert (len(cells), set(cells["label"])) == (3, {"unidentified"})
    exported = without_torch(exception, "export", tmp_path / "p.wbc", "--out", tmp_path / "again")
    assert exported.returncode == 0, exported.stderr
    assert '"detector": "hsv/nucleus"' in (tmp_path / "again" / "differential.json").read_text()


def test_what_needs_a_network_is_one_line(without_torch, tmp_path):
    image = tmp_path / "cell.png"
    Image.fromarray(synthetic_smear(1, n_leukocytes=1).image).save(image)
    done = without_torch("OSError", "classify", image, "--out", tmp_path / "crops.csv", "-q")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("napari-wbc: PyTorch cannot be loaded (OSError: it is broken)")
    assert done.stderr.count("\n") == 1
