"""Detectors by name, their parameters, and the colour detector where PyTorch is missing."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import napari_wbc
from napari_wbc.detect.hsv import PRESETS, HsvDetector
from napari_wbc.detect.mask_rcnn import DetectorPreset, MaskRcnnDetector
from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.cell import LocatedBy
from napari_wbc.model.progress import Progress, run
from napari_wbc.pipeline.analyze import analyze_fields_steps
from napari_wbc.pipeline.locate import (
    DETECTORS,
    detector_steps,
    locate_steps,
    located_by,
    make_detector,
    parameters_of,
    presets_of,
    preview_steps,
)

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
        assert run(locate_steps(make_detector(name, device="cpu"), EMPTY, NOW)) == ((), None)


def test_the_default_is_the_shipped_network():
    detector = make_detector(device="cpu")
    assert isinstance(detector, MaskRcnnDetector)
    assert detector.name.startswith("mask-rcnn/mask_rcnn 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("abacus",), "choose one of: mask-rcnn, hsv"),
        (("mask-rcnn", "nowhere.safetensors"), "No weights 'nowhere.safetensors'"),
        (("mask-rcnn", "cdnn"), "not of a Mask R-CNN"),
        (("mask-rcnn", None, {"luck": 1}), "no parameter luck; it has score, overlap"),
        (("mask-rcnn", None, {"score": 1.5}), "outside 0 to 1"),
        (("hsv", "blue"), "nucleus"),
        (("hsv", "blue", {"sensitivity": 1}), "nucleus"),
        (("hsv", None, {"luck": 1}), "no parameter luck; it has "),
    ],
)
def test_an_unknown_detector_preset_or_parameter_is_said(arguments, message):
    with pytest.raises(WbcError, match=message):
        make_detector(*arguments, device="cpu")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_of_a_preset_can_be_set(preset):
    parameters = parameters_of("hsv", preset)
    assert parameters
    for one in parameters:
        assert one.low <= one.default <= one.high
        assert one.title
        changed = make_detector("hsv", preset, {one.name: one.high})
        assert getattr(changed.parameters, one.name) == one.high


def test_score_and_overlap_of_the_network_can_be_set():
    (preset, *_) = presets_of("mask-rcnn")
    for one in parameters_of("mask-rcnn", preset):
        assert one.low <= one.default <= one.high
        changed = make_detector("mask-rcnn", preset, {one.name: 0.75}, device="cpu")
        assert getattr(changed, one.name) == 0.75


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


def test_what_located_a_cell_has_all_that_the_detector_was_set_to():
    network = make_detector("mask-rcnn", None, {"overlap": 0.25}, device="cpu")
    score = network.card.threshold
    assert located_by(network) == LocatedBy(network.name, (("score", score), ("overlap", 0.25)))
    set_to = dict(located_by(make_detector("hsv", "nucleus", {"sensitivity": 0.75})).parameters)
    names = [parameter.name for parameter in parameters_of("hsv", "nucleus")]
    assert (list(set_to), set_to["sensitivity"]) == (names, 0.75)
    youssef = located_by(make_detector("hsv", "youssef-2024"))
    assert (youssef.detector, dict(youssef.parameters)["hue"]) == ("hsv/youssef-2024", 80)


def test_of_another_detector_its_name_is_kept():
    class Other:
        name = "other 1"

    assert located_by(Other()) == LocatedBy("other 1")


def test_a_preview_is_what_the_detector_finds():
    image = synthetic_smear(1, n_leukocytes=3).image
    found = run(preview_steps(image, "hsv", "nucleus", {}))
    assert found == make_detector("hsv").detect(image)


def test_a_large_field_can_be_cancelled_between_its_parts():
    detector = make_detector(device="cpu")
    tile = DetectorPreset(**detector.card.preset).tile
    large = np.full((40, 3 * tile, 3), 230, np.uint8)
    unscaled = replace(detector, card=replace(detector.card, preset={"longest": 3 * tile}))
    steps = locate_steps(unscaled, large, NOW)
    assert next(steps) is NOW
    steps.close()
    assert list(locate_steps(detector, EMPTY, NOW)) == []
