"""Cell finders by name: presets, parameters, and what is kept of them."""

from __future__ import annotations

import pytest

from napari_wbc.detect.finders import (
    located_by,
    make_detector,
    parameters_of,
    presets_of,
)
from napari_wbc.detect.hsv import PRESETS
from napari_wbc.detect.pair import PairDetector
from napari_wbc.errors import WbcError
from napari_wbc.model.cell import LocatedBy


def test_the_default_is_the_shipped_network():
    detector = make_detector(device="cpu")
    assert isinstance(detector, PairDetector)
    assert detector.name.startswith("auto/mask_rcnn 3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("abacus",), "choose one of: auto, mask-rcnn, hsv"),
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
