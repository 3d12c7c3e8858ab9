"""The choice of a cell finder."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QSlider

from napari_wbc.detect.finders import parameters_of, presets_of
from napari_wbc.widgets.analysis.detect import DetectorWidget


@pytest.fixture
def finder(qtbot):
    widget = DetectorWidget()
    qtbot.addWidget(widget)
    widget._pick("hsv")
    return widget


def test_another_preset_has_its_own_parameters(finder):
    for preset in presets_of("hsv"):
        finder._preset.setCurrentText(preset)
        defaults = {p.name: pytest.approx(p.default) for p in parameters_of("hsv", preset)}
        assert finder.value() == ("hsv", preset, defaults)


def test_a_slider_tells_the_choice(finder, qtbot):
    slider = finder.tuning[0]
    with qtbot.waitSignal(finder.changed) as signal:
        slider.value = slider.min
    assert signal.args[0].parameters[slider.name] == slider.min


def test_a_slider_of_another_preset_tells_the_choice_once(finder):
    finder._preset.setCurrentText(presets_of("hsv")[-1])
    heard = []
    finder.changed.connect(heard.append)
    finder.tuning[0].value = finder.tuning[0].min
    assert len(heard) == 1


def test_every_slider_says_its_name_and_what_it_does(finder):
    for parameter in parameters_of("hsv", presets_of("hsv")[0]):
        control = finder.tuning[parameter.name].native.findChild(QSlider)
        assert (control.accessibleName(), control.toolTip()) == (parameter.title, parameter.help)


def test_a_new_widget_takes_the_choice_over(finder, qtbot):
    finder.tuning[0].value = finder.tuning[0].min
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
