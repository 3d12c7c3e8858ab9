"""The architecture's contracts hold, and each of them catches the import it is there for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import napari_wbc

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "src/napari_wbc"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]
NAMES = {contract["id"]: contract["name"] for contract in CONTRACTS}
SCREEN = {"widgets", "layers", "contrib"}

VIOLATIONS = [
    ("direction", "model/slide.py", "import napari_wbc.files.atomic"),
    ("direction", "errors.py", "from napari_wbc.model import cell"),
    ("direction", "files/atomic.py", "def later():\n    import napari_wbc.train.classifier"),
    ("direction", "weights/card.py", "import napari_wbc.storage.tables"),
    ("direction", "classify/predict.py", "from napari_wbc.detect import base"),
    ("direction", "session/session.py", "import napari_wbc.pipeline.report"),
    ("direction", "cli/app.py", "import napari_wbc.contrib"),
    ("direction", "utils/__init__.py", '"""A room that nobody named."""'),
    ("direction", "helpers.py", '"""A room that nobody named."""'),
    ("direction", "measure/metrics.py", "from napari_wbc.train import recipe"),
    ("core-headless", "pipeline/report.py", "import napari"),
    ("core-headless", "model/progress.py", "from qtpy import QtWidgets"),
    ("core-headless", "cli/app.py", "import magicgui"),
    ("layers-no-qt", "layers/cells.py", "from qtpy.QtCore import Qt"),
    ("layers-no-qt", "layers/cells.py", "import superqt"),
    ("screen-no-torch", "widgets/qt/worker.py", "import torch"),
    ("screen-no-torch", "session/session.py", "import cv2"),
    ("screen-no-torch", "cli/app.py", "from safetensors.torch import load"),
    ("model-pure", "model/table.py", "import pandas as pd"),
    ("model-pure", "model/geometry.py", "import cv2"),
    ("no-circles", "model/geometry.py", "from napari_wbc.model import cell"),
    ("no-circles", "widgets/qt/worker.py", "import napari_wbc.widgets.loop.train"),
]


def lint(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Run the import linter on a checkout's own source."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def broken(result: subprocess.CompletedProcess[str]) -> set[str]:
    """Names of the contracts that do not hold."""
    text = " ".join(result.stdout.split())
    return {name for name in NAMES.values() if f"{name} BROKEN" in text}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the source, to do harm to."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(
        ROOT / "src",
        folder / "src",
        ignore=shutil.ignore_patterns("__pycache__", "data", "*.egg-info"),
    )
    return folder


def test_the_contracts_hold():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("contract", "module", "harm"), VIOLATIONS)
def test_a_violation_is_caught(checkout, contract, module, harm):
    path = checkout / PACKAGE / module
    before = path.read_bytes() if path.is_file() else None
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((before or b"") + f"\n\n{harm}\n".encode())
    result = lint(checkout)
    if before is not None:
        path.write_bytes(before)
    elif path.name == "__init__.py":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    assert result.returncode == 1, result.stdout + result.stderr
    assert broken(result) == {NAMES[contract]}


def test_every_contract_has_a_violation_here():
    assert {contract for contract, *_ in VIOLATIONS} == set(NAMES)


def test_every_room_is_under_the_contracts():
    rooms = {
        path.stem for path in (ROOT / PACKAGE).iterdir() if (path / "__init__.py").is_file()
    } | {"errors"}
    sources = {
        c["id"]: {s.removeprefix("napari_wbc.") for s in c.get("source_modules", ())}
        for c in CONTRACTS
    }
    assert sources["core-headless"] == rooms - SCREEN
    assert sources["screen-no-torch"] == SCREEN | {"session", "cli"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("napari_wbc", {"torch", "napari", "qtpy", "numpy"}),
        ("napari_wbc.cli", {"torch", "napari", "qtpy"}),
        ("napari_wbc.session.session", {"torch", "napari", "qtpy"}),
        ("napari_wbc.model.table", {"torch", "napari", "qtpy", "cv2", "pandas", "psygnal"}),
        ("napari_wbc.pipeline.analyze", {"napari", "qtpy"}),
    ],
)
def test_importing_a_room_loads_no_more_than_it_needs(module, unwanted):
    code = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert unwanted & set(result.stdout.split()) == set()


def test_no_public_name_is_that_of_a_room():
    rooms = {path.stem for path in (ROOT / "src" / "napari_wbc").iterdir()}
    assert not rooms & set(napari_wbc.__all__)
    assert all(callable(getattr(napari_wbc, name)) for name in napari_wbc.__all__)
