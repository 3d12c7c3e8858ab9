"""The course of a run as numbers and as a picture, both written anew after every epoch."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_wbc.errors import WbcError
from napari_wbc.train.curves import write_curves


def history(epochs):
    return [
        {"epoch": i + 1, "loss": 1 / (i + 1), "loss_mask": 0.5 / (i + 1), "val_ap": i / epochs}
        for i in range(epochs)
    ]


@pytest.mark.parametrize("epochs", [1, 30])
def test_a_run_is_written_as_numbers_and_as_a_picture(epochs, tmp_path):
    write_curves(tmp_path / "new", history(epochs))
    assert json.loads((tmp_path / "new" / "history.json").read_text()) == history(epochs)
    with Image.open(tmp_path / "new" / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (360, 990, 3)
    for half in (pixels[:, :495], pixels[:, 495:]):
        assert len(np.unique(half.reshape(-1, 3), axis=0)) > 2


def test_a_longer_run_takes_the_place_of_the_shorter(tmp_path):
    write_curves(tmp_path, history(1))
    first = (tmp_path / "curves.png").read_bytes()
    write_curves(tmp_path, history(2))
    assert json.loads((tmp_path / "history.json").read_text()) == history(2)
    assert (tmp_path / "curves.png").read_bytes() != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "history.json"]


@pytest.mark.parametrize("kept", ["loss", "val_ap"])
def test_a_run_may_have_losses_or_measures_alone(kept, tmp_path):
    write_curves(tmp_path, [{"epoch": 1, kept: 0.5}])
    assert (tmp_path / "curves.png").is_file()


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WbcError, match="cannot be written"):
        write_curves(tmp_path / "file", history(1))
