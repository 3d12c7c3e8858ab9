"""`napari-wbc adapt`: new weights, where they lie and how to use them; exit codes."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from napari_wbc.cli import main
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.train.adapt import Adaptation
from napari_wbc.weights.store import read_card


class TwentyCells:
    """A detector that finds twenty cells in any field."""

    name = "twenty cells"

    def detect(self, _image):
        return tuple(
            Detection(BBox(r, c, r + 10, c + 10))
            for r in range(1, 48, 12)
            for c in range(1, 60, 12)
        )


@pytest.fixture
def call(monkeypatch, capsys):
    """Run `napari-wbc adapt`; return exit code, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(
            sys, "argv", ["napari-wbc", "adapt", *map(str, arguments), "--device", "cpu"]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder that is a slide, whose cells cost no time."""
    monkeypatch.setattr(
        "napari_wbc.train.adapt.Adaptation", partial(Adaptation, epochs=1, draws=64)
    )
    monkeypatch.setattr(
        "napari_wbc.pipeline.locate.make_detector", lambda *_args, **_kw: TwentyCells()
    )
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(
        "a.png"
    )
    return tmp_path


@pytest.mark.parametrize(
    "arguments", [(), ("a.png",), ("--out", "new"), ("none.png", "--out", "new")]
)
def test_wrong_arguments_are_exit_code_2(arguments, call, folder):
    assert call(*arguments)[0] == 2
    assert not (folder / "new").exists()


def test_too_few_cells_are_one_line(call, folder, weights, monkeypatch):
    monkeypatch.setattr(TwentyCells, "detect", lambda *_: ())
    code, out, err = call(".", "--out", "new", "--weights", weights, "-q")
    assert (code, out) == (2, "")
    assert err == "napari-wbc: Adaptation needs at least 20 cells, and there are 0; add fields.\n"
    assert not any((folder / "new").iterdir())


def test_it_says_where_the_weights_lie_and_how_to_use_them(call, folder, weights):
    code, out, err = call(".", "--out", "my lab", "--weights", weights, "--name", "mine", "-q")
    assert (code, err) == (0, "")
    assert "adapted to 20 cells" in out
    assert "napari-wbc analyze ... --weights 'my lab/mine.safetensors'" in out
    assert read_card(folder / "my lab" / "mine.safetensors").name == "mine"


def test_some_files_failed_is_exit_code_3(call, folder, weights):
    (folder / "b.png").touch()
    code, out, err = call(".", "--out", "new", "--weights", weights, "-q")
    assert code == 3
    assert "b.png: the file is empty" in err
    assert "1 file failed" in err
    assert (folder / "new" / "adapted.safetensors").is_file()
    assert "--weights new/adapted.safetensors" in out
