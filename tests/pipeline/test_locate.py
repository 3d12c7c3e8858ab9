"""Detectors by name, their parameters, and the colour detector where PyTorch is missing."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import napari_wbc
from napari_wbc.detect.base import Located
from napari_wbc.detect.finders import (
    DETECTORS,
    located_by,
    make_detector,
)
from napari_wbc.detect.hsv import HsvDetector
from napari_wbc.detect.mask_rcnn import DetectorPreset
from napari_wbc.detect.pair import PairDetector
from napari_wbc.imaging.read import open_slide
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.progress import Progress, run
from napari_wbc.pipeline.analyze import analyze_fields_steps
from napari_wbc.pipeline.locate import detector_steps, locate_steps, preview_steps

NOW = Progress("locating", 2, 5)
EMPTY = np.full((60, 80, 3), 230, np.uint8)


@pytest.fixture
def without_torch(monkeypatch):
    """An installation whose PyTorch cannot be imported."""
    for name in [one for one in sys.modules if one.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)


def test_nothing_is_found_in_an_empty_field():
    for name in DETECTORS:
        located = run(locate_steps(make_detector(name, device="cpu"), EMPTY, NOW))
        assert replace(located, alone=None) == Located(())
        assert not any((located.alone or {}).values())


def test_without_torch_cells_are_located_by_colour_with_a_notice(without_torch):
    *_, last = detector_steps()
    assert "install torch and torchvision again" in last.note
    assert "by colour (hsv)" in last.note
    assert run(detector_steps()) == HsvDetector()


def test_without_torch_a_slide_is_located_and_not_classified(without_torch, tmp_path):
    Image.fromarray(synthetic_smear(1, n_leukocytes=3).image).save(tmp_path / "field.png")
    one = run(analyze_fields_steps(open_slide(tmp_path)))
    assert (len(one.table), one.classified, one.detector) == (3, False, "hsv/nucleus")
    assert {cell.prediction for cell in one.table.values()} == {None}
    assert {cell.detection.located_by for cell in one.table.values()} == {located_by(HsvDetector())}
    analysis = napari_wbc.analyze(tmp_path)
    assert (len(analysis.cells), analysis.model_id) == (3, "")


def test_a_preview_is_what_the_detector_finds():
    image = synthetic_smear(1, n_leukocytes=3).image
    located = run(preview_steps(image, "hsv", "nucleus", {}))
    assert located.cells == make_detector("hsv").detect(image)
    assert located.alone is None


def test_a_large_field_can_be_cancelled_between_its_parts():
    detector = make_detector(device="cpu")
    tile = DetectorPreset.of(detector.network.card).tile
    large = np.full((40, 3 * tile, 3), 230, np.uint8)
    card = replace(detector.network.card, preset={"longest": 3 * tile})
    unscaled = PairDetector(replace(detector.network, card=card))
    steps = locate_steps(unscaled, large, NOW)
    assert next(steps) is NOW
    steps.close()
    assert list(locate_steps(detector, EMPTY, NOW)) == []
