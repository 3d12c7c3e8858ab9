"""The choice of a cell finder."""

from __future__ import annotations

import pytest

from napari_wbc.detect.finders import parameters_of, presets_of
from napari_wbc.widgets.analysis.detect import DetectorWidget


@pytest.fixture
def finder(qtbot):
    widget = DetectorWidget()
    qtbot.addWidget(widget)
    widget._detector.setCurrentText("hsv")
    return widget


def test_another_preset_has_its_own_parameters(finder):
    for preset in presets_of("hsv"):
        finder._preset.setCurrentText(preset)
        defaults = {p.name: pytest.approx(p.default) for p in parameters_of("hsv", preset)}
        assert finder.value() == ("hsv", preset, defaults)


def test_a_slider_tells_the_choice(finder, qtbot):
    name, slider = next(iter(finder._sliders.items()))
    with qtbot.waitSignal(finder.changed) as signal:
        slider.setValue(slider.minimum())
    assert signal.args[0].parameters[name] == slider.minimum()


def test_a_new_widget_takes_the_choice_over(finder, qtbot):
    _name, slider = next(iter(finder._sliders.items()))
    slider.setValue(slider.minimum())
    new = DetectorWidget()
    qtbot.addWidget(new)
    new.take_over(finder)
    assert new.value() == finder.value()


def test_a_new_list_keeps_the_preset(finder):
    finder._preset.setCurrentText(presets_of("hsv")[-1])
    before = finder.value()
    finder.refresh()
    assert finder.value() == before


def test_the_weights_are_those_of_the_network(finder):
    assert finder.weights() == presets_of("mask-rcnn")[0]
