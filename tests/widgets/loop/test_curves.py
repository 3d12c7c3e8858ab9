"""The curves of a run: what is drawn, epoch by epoch."""

from __future__ import annotations

import pytest

from napari_wbc.widgets.loop.curves import COLORS, Curves


@pytest.fixture
def curves(qtbot):
    curves = Curves()
    qtbot.addWidget(curves)
    curves.resize(curves.sizeHint())
    return curves


def colors_of(curves):
    """Colours in each half of the picture."""
    image = curves.grab().toImage()
    halves = (set(), set())
    for x in range(image.width()):
        for y in range(image.height()):
            halves[2 * x >= image.width()].add(image.pixelColor(x, y).name())
    return halves


def test_losses_are_drawn_on_the_left_and_accuracies_on_the_right(curves):
    left, right = colors_of(curves)
    assert COLORS[0] not in left | right
    for epoch in range(3):
        curves.add({"epoch": epoch, "loss": 2.0 - epoch / 2, "val_f1": 0.3, "accuracy": 0.5})
    left, right = colors_of(curves)
    assert COLORS[0] in left
    assert COLORS[1] not in left
    assert {COLORS[0], COLORS[1]} <= right


def test_the_last_epoch_is_told_and_a_new_run_starts_empty(curves):
    curves.add({"epoch": 0, "loss": 0.0, "val_f1": 0.25})
    curves.add({"epoch": 1, "loss": 0.0})
    assert curves.toolTip() == "epoch: 1\nerror: 0"
    curves.grab()
    curves.clear()
    assert not curves.history
    assert not curves.toolTip()
    curves.grab()
