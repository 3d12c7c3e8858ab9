"""The demo: real fields if there are any, else a smear that is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc.model.progress import run
from napari_wbc.pipeline import demo
from napari_wbc.pipeline.demo import demo_steps


@pytest.fixture(autouse=True)
def one_field(monkeypatch):
    monkeypatch.setattr(demo, "N_FIELDS", 1)
    monkeypatch.delenv("NAPARI_WBC_DATA", raising=False)


def test_without_real_fields_a_smear_is_drawn_and_analyzed(tmp_path):
    result = run(demo_steps(tmp_path, device="cpu"))
    assert "1 field drawn" in result.origin
    assert [slide.slide.name for slide in result.analysis.slides] == ["synthetic-smear"]
    assert (tmp_path / "synthetic-smear" / "field-001.png").is_file()
    assert len(result.analysis.cells) > 0
    assert result.leukocytes > 0
    assert result.analysis.model_id


def test_real_fields_come_first(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((60, 80, 3), 230, np.uint8)).save(path)
    monkeypatch.setattr(demo, "bccd_test_fields", lambda: (path,))
    result = run(demo_steps(tmp_path / "out", device="cpu"))
    assert result.origin.startswith("1 real field")
    assert result.leukocytes is None
    assert not (tmp_path / "out").exists()
