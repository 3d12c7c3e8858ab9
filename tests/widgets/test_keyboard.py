"""The panel by keyboard alone, in a window that is shown."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_wbc.widgets.qt.input_guard import canvas_of


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    # napari asks OpenGL what it can do at the first image, and needs a live canvas for that.
    viewer.add_image(np.zeros((8, 8)))
    return viewer


def test_two_tabs_lead_from_the_image_to_the_first_control_of_a_page(bench, qtbot):
    window = bench.window()
    window.activateWindow()
    canvas = canvas_of(bench)
    canvas.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is not None)
    page = bench.tabs.currentWidget()
    for _ in range(2):
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        if page.isAncestorOf(QApplication.focusWidget()):
            break
    assert page.isAncestorOf(QApplication.focusWidget()), QApplication.focusWidget()
