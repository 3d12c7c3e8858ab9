"""Sample data of the File menu."""

from __future__ import annotations

from typing import Any

from napari_wbc.imaging.synthetic import synthetic_smear as draw_smear
from napari_wbc.layers.slide_layer import SAMPLE_KEY, slide_layer
from napari_wbc.pipeline.samples import fetch_bccd_fields

LayerData = tuple[Any, dict[str, Any], str]


def synthetic_smear() -> list[LayerData]:
    """A drawn field with five leukocytes."""
    settings = {"name": "synthetic smear", "metadata": {SAMPLE_KEY: True}}
    return [(draw_smear(0, n_leukocytes=5).image, settings, "image")]


def bccd_fields() -> list[LayerData]:
    """Real fields of the BCCD set, from the data folder or downloaded once."""
    return [slide_layer("BCCD", fetch_bccd_fields())]
