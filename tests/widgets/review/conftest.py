"""The workbench with a slide of three fields, as a person has it after an analysis."""

from __future__ import annotations

import pytest
from qtpy.QtTest import QTest


@pytest.fixture
def press(viewer):
    """A key on the image."""

    def click(key):
        QTest.keyClick(viewer.window._qt_viewer.canvas.native, key)

    return click
