"""The command line as a person runs it, and what it is run on."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from napari_wbc.cli import main


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line; return exit code, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["napari-wbc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder that is a slide."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((60, 80, 3), 230, np.uint8)).save("a.png")
    return tmp_path


@pytest.fixture
def cells(tmp_path):
    """A field of two cells of each split."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "f.png")
    lines = ["path,label,split,source,top,left,bottom,right"]
    for i, split in enumerate(("train", "train", "val", "val", "test", "test")):
        label = ("neutrophil", "monocyte")[i % 2]
        lines.append(f"f.png,{label},{split},lab,5,{30 * i + 2},45,{30 * i + 28}")
    lines.append("f.png,platelet,test,lab,5,2,45,28")
    path = tmp_path / "cells.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
