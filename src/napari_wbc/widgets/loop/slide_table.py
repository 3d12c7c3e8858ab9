"""The slides of the training sets as a table: what for, cells by class, which model used them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView

from napari_wbc.model.split import PURPOSES
from napari_wbc.pipeline.set_summary import SetSlide, SetSummary
from napari_wbc.widgets.qt.layout import plain
from napari_wbc.widgets.qt.table import TextTable

COLUMNS = ("Slide", "To", "Cells", "Classes", "Used by")
CLASSES, USED_BY = 3, 4
TIP = "Slides of the set, what a model does with each, and the models that used it already"
ROW_HEIGHT = 20
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
ROWS = 3
"""Slides for which there is room; more of them scroll."""


class SlideTable(TextTable):
    """Slides of a training set and of old ones, of which those of the first can be chosen."""

    def __init__(self, shorts: Mapping[str, str]) -> None:
        super().__init__(COLUMNS, ROW_HEIGHT)
        self._shorts = shorts
        self._names: list[str] = []
        self.setAccessibleName("Slides of the training sets")
        self.setToolTip(TIP)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for column in (CLASSES, USED_BY):
            self.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        height = self.horizontalHeader().sizeHint().height() + ROWS * ROW_HEIGHT
        self.setFixedHeight(height + 2 * self.frameWidth())

    @property
    def chosen(self) -> str:
        """The selected slide of the first set; empty where there is none."""
        row = self.currentRow()
        return self._names[row] if 0 <= row < len(self._names) else ""

    def show_sets(self, summaries: Sequence[tuple[str, SetSummary]]) -> None:
        """Show the slides of sets, each with its name; what was chosen stays so, or else the first.

        Those of the sets after the first are named with their set.
        """
        before = self.chosen
        rows: list[tuple[str, ...]] = []
        self._names = []
        for i, (name, summary) in enumerate(summaries):
            for slide in summary.slides:
                if i == 0:
                    self._names.append(slide.name)
                title = slide.name or "slide not known"
                rows.append(self._row(title if i == 0 else f"{name}: {title}", slide))
            # Another tool's set does not list its slides.
            if i and not summary.slides:
                rows.append((name, "", "", "", ""))
        self.fill(rows)
        for i in range(self.rowCount()):
            for j in range(self.columnCount()):
                item = self.item(i, j)
                item.setToolTip(plain(item.text()))
                if j >= CLASSES:
                    item.setTextAlignment(LEFT)
        if self._names:
            self.setCurrentCell(self._names.index(before) if before in self._names else 0, 0)

    def _row(self, title: str, slide: SetSlide) -> tuple[str, ...]:
        classes: list[str] = []
        for label, n in sorted(slide.labels.items(), key=lambda pair: (-pair[1], pair[0])):
            classes.append(f"{self._shorts.get(label, label)} {n}")
        purpose = PURPOSES.get(slide.split, slide.split)
        return title, purpose, str(slide.cells), ", ".join(classes), ", ".join(slide.used_by)
