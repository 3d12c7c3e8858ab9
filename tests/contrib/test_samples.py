from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManager
from PIL import Image

from napari_wbc.errors import WbcError
from napari_wbc.layers.slide_layer import FIELDS_KEY


@pytest.fixture(autouse=True)
def installed():
    """As napari finds its plugins when it starts."""
    PluginManager.instance().discover()


def test_synthetic_smear():
    viewer = ViewerModel()
    (layer,) = viewer.open_sample("napari-wbc", "synthetic_smear")
    assert layer.rgb
    assert layer.name == "synthetic smear"
    assert layer.data.dtype == np.uint8


def test_bccd_fields_of_a_data_folder(monkeypatch, tmp_path):
    images = tmp_path / "bccd" / "JPEGImages"
    images.mkdir(parents=True)
    for name in ("a", "b", "c"):
        Image.fromarray(np.full((20, 24, 3), 99, np.uint8)).save(images / f"{name}.jpg")
    (tmp_path / "bccd" / "splits.csv").write_text(
        "image,split\na.jpg,train\nb.jpg,test\nc.jpg,test\n"
    )
    monkeypatch.setenv("NAPARI_WBC_DATA", str(tmp_path))
    (layer,) = ViewerModel().open_sample("napari-wbc", "bccd_fields")
    assert layer.name == "BCCD"
    assert [Path(path).name for path in layer.metadata[FIELDS_KEY]] == ["b.jpg", "c.jpg"]


@pytest.mark.real
def test_bccd_fields_of_the_real_images(monkeypatch, real_data):
    monkeypatch.setenv("NAPARI_WBC_DATA", str(real_data))
    (layer,) = ViewerModel().open_sample("napari-wbc", "bccd_fields")
    assert len(layer.metadata[FIELDS_KEY]) > 6
    assert layer.data.shape[2] == 3


def test_bccd_fields_that_cannot_be_downloaded(monkeypatch):
    def refuse():
        raise WbcError("The BCCD sample cannot be downloaded.")

    monkeypatch.setattr("napari_wbc.contrib.samples.fetch_bccd_fields", refuse)
    with pytest.raises(WbcError, match="cannot be downloaded"):
        ViewerModel().open_sample("napari-wbc", "bccd_fields")
