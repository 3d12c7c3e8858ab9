"""Widgets in a row, and rows in a titled group."""

from __future__ import annotations

from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QVBoxLayout, QWidget

__all__ = ["group", "row"]


def row(*widgets: QWidget) -> QWidget:
    """Widgets side by side."""
    line = QWidget()
    layout = QHBoxLayout(line)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return line


def group(title: str, *widgets: QWidget) -> QGroupBox:
    """Widgets one below the other, under a title."""
    box = QGroupBox(title)
    layout = QVBoxLayout(box)
    layout.setContentsMargins(6, 6, 6, 6)
    layout.setSpacing(3)
    for widget in widgets:
        layout.addWidget(widget)
    return box
