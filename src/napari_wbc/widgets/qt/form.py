"""Forms of options, of magicgui's controls."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import Container
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QLabel, QSlider, QWidget

DIRECT = Qt.FindChildOption.FindDirectChildrenOnly
GROWTH = 1.25
"""By which napari's font may be wider than the one that labels are measured in."""
LEAST_LETTERS = 8
"""A combo box may be as narrow as so many letters, whatever its choices."""


def form(*controls: Any) -> Container[Any]:
    """Controls with their labels, one below the other.

    Unlike magicgui's own container it has no margin, tells a screen reader which label a control
    has, and does not get wider than the panel for a long choice.

    Parameters
    ----------
    *controls : magicgui widgets
        Each with a ``label``, and the ``tooltip`` that says what it sets, in which unit.
    """
    made: Container[Any] = Container()
    made.margins = (0, 0, 0, 0)
    refill(made, *controls)
    return made


def refill(made: Container[Any], *controls: Any) -> None:
    """Put other controls in the place of those of a form."""
    made.clear()
    made.extend(controls)
    for control in controls:
        # A slider of magicgui is a slider and a number, side by side.
        for inner in (control.native, *control.native.findChildren(QWidget)):
            if isinstance(inner, (QComboBox, QAbstractSpinBox, QSlider)):
                inner.setAccessibleName(control.label)
                inner.setToolTip(control.tooltip or "")
            if isinstance(inner, QComboBox):
                policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
                inner.setSizeAdjustPolicy(policy)
                inner.setMinimumContentsLength(LEAST_LETTERS)
    labels: list[QLabel] = []
    for row in made.native.findChildren(QWidget, options=DIRECT):
        labels += row.findChildren(QLabel, options=DIRECT)
    widest = max((label.sizeHint().width() for label in labels), default=0)
    for label in labels:
        label.setMinimumWidth(round(GROWTH * widest))
