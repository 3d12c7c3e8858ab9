"""A slide of one field with cells, and a hand on the gallery that shows them."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView
from napari_wbc.model.taxonomy import EIGHT_CLASSES

NAMES = EIGHT_CLASSES.names
FIELD = FieldOfView("slide/<b>field.png", Path("<b>field.png"))
LEFT = Qt.MouseButton.LeftButton
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def cell(name, label, confidence=0.9, **prediction):
    rest = (1 - confidence) / (len(NAMES) - 1)
    probabilities = tuple(confidence if n == label else rest for n in NAMES)
    made = Cell(name, FIELD.fov_id, Detection(BBox(5, 5, 25, 25)))
    return made.predicted(Prediction(NAMES, probabilities, **prediction))


def cells(**counts):
    """Cells n0, n1, ... of neutrophils and so on, the more certain the higher their number."""
    made = []
    for label, count in counts.items():
        made += [cell(f"{label[0]}{i}", label, 0.5 + i / 1000) for i in range(count)]
    return made


def fill(session, cells):
    session.commit(session.table.with_cells(cells), "find")


def relabel(session, label, *names):
    said = Annotation(label, "Ann <i>")
    session.commit(
        session.table.with_cells(session.table[n].annotated(said) for n in names), f"label {label}"
    )


def where(gallery, name):
    """Middle of a cell's thumbnail in the viewport."""
    left, top, width, height = gallery._grid.rect(gallery._item_of(name))
    return QPoint(left + width // 2, top + height // 2 - gallery.verticalScrollBar().value())


def header(gallery, label, x=200):
    group = [g.label for g in gallery.groups].index(label)
    return QPoint(x, gallery._header_top(group) + 8)


def click(qtbot, gallery, pos, modifiers=Qt.KeyboardModifier.NoModifier):
    qtbot.mouseClick(gallery.viewport(), LEFT, modifiers, pos)


def move(gallery, pos):
    """Move the mouse; Qt's own test function moves the cursor and hopes that the screen says so."""
    view, none = gallery.viewport(), Qt.KeyboardModifier.NoModifier
    at, on_screen = QPointF(pos), QPointF(view.mapToGlobal(pos))
    event = QMouseEvent(QEvent.Type.MouseMove, at, on_screen, Qt.MouseButton.NoButton, LEFT, none)
    QApplication.sendEvent(view, event)


def drag(qtbot, gallery, start, end, modifiers=Qt.KeyboardModifier.NoModifier, drop=True):
    view = gallery.viewport()
    qtbot.mousePress(view, LEFT, modifiers, start)
    move(gallery, (start + end) / 2)
    move(gallery, end)
    if drop:
        qtbot.mouseRelease(view, LEFT, modifiers, end)


def topmost(gallery):
    """The cell at the top of the viewport, and its row there."""
    return next((name, y) for _label, name, y in gallery._in_view() if name)


def heard(signal):
    said = []
    signal.connect(lambda *args: said.append(args))
    return said
