"""`napari-wbc explain`: heat for the class that was asked for, and wrong questions."""

from __future__ import annotations

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_wbc.cli.app import app
from napari_wbc.errors import WbcError
from napari_wbc.imaging.synthetic import synthetic_smear


@pytest.fixture
def field(tmp_path):
    """A field with two cells."""
    path = tmp_path / "field.png"
    Image.fromarray(synthetic_smear(0, shape=(260, 340), n_leukocytes=2).image).save(path)
    return path


def test_a_wrong_call_leaves_no_folder(field, tmp_path):
    arguments = [
        "explain",
        str(field),
        "--out",
        str(tmp_path / "out"),
        "--detector",
        "hsv",
    ]
    for wrong in (
        ("--target", "wombat"),
        ("--layer", "none"),
        ("--method", "lime", "--layer", "stem"),
    ):
        with pytest.raises(WbcError):
            CliRunner().invoke(app, [*arguments, *wrong], catch_exceptions=False)
    assert not (tmp_path / "out").exists()


def test_from_the_shell(field, tmp_path):
    arguments = [
        "explain",
        str(field),
        "--out",
        str(tmp_path / "out"),
        "--detector",
        "hsv",
        "-q",
    ]
    result = CliRunner().invoke(app, [*arguments, "--method", "occlusion", "--target", "monocyte"])
    assert result.exit_code == 0, result.output
    assert set(pd.read_csv(tmp_path / "out" / "heat.csv")["target"]) == {"monocyte"}
    with pytest.raises(WbcError, match="choose one of"):
        CliRunner().invoke(app, [*arguments, "--method", "tea"], catch_exceptions=False)
