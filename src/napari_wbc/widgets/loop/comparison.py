"""Two models side by side, and the choice between them.

Invariant: nothing is computed here; pictures come as PNG from the thread that drew them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QLabel,
    QListView,
    QListWidget,
    QListWidgetItem,
    QTabWidget,
    QWidget,
)

from napari_wbc.measure.comparison import Comparison, Outcome
from napari_wbc.measure.comparison_plots import COLUMNS, SIGNS, side_rows, table_rows
from napari_wbc.model.words import counted
from napari_wbc.widgets.qt.layout import TextLines, button, column, row, text_label
from napari_wbc.widgets.qt.table import TextTable
from napari_wbc.widgets.qt.thumbnails import pixmap_of

THUMBNAIL = 96
"""Side of a thumbnail, in pixels."""
MAX_THUMBNAILS = 500
"""More of a kind make the window slow; ``cells.csv`` lists them all."""


class ComparisonView(QWidget):
    """What a comparison found: the verdict, the numbers, what changed, and two buttons."""

    adopt_chosen = Signal()
    keep_chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._comparison: Comparison | None = None
        self.verdict = text_label()
        self.why = text_label(wrap=True)
        self.notes = text_label(wrap=True)
        for label in (self.why, self.notes):
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.sources = _Table(COLUMNS)
        self.sides = _Table(("all cells", "old", "new"))
        self.sources.setToolTip(
            "On test cells that neither model has seen. Balanced accuracy: the mean over the "
            "classes. Difference and limits in percentage points; p: McNemar's exact test"
        )
        self.picture = _Picture()
        self.fixed = _Cells()
        self.broken = _Cells()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.picture, "Confusion")
        self.tabs.addTab(self.fixed, "Fixed")
        self.tabs.addTab(self.broken, "Broken")
        self.tabs.addTab(self.sides, "All measures")
        tip = "Use the new model from now on; the old one stays on disk"
        self.adopt = button("Adopt", tip, self.adopt_chosen.emit)
        self.keep = button("Keep old", "Go on with the old model", self.keep_chosen.emit)
        texts = (self.verdict, self.why, self.sources, self.notes)
        self.message = TextLines(1)
        answers = row(self.message, text_label("Research use only."), self.adopt, self.keep)
        column(self, *texts, self.tabs, answers, stretch=self.tabs, margin=6)
        self._refresh()

    def value(self) -> Comparison | None:
        """The comparison that is shown."""
        return self._comparison

    def show_comparison(self, comparison: Comparison, confusion: bytes = b"") -> None:
        """Show a comparison, with a PNG of both confusion matrices."""
        self._comparison = comparison
        self.picture.show_png(confusion)
        self._refresh()

    def say(self, text: str) -> None:
        """Say what is done with the new model, or why it cannot be done."""
        self.message.setText(text)

    def _refresh(self) -> None:
        self.message.setText("")
        shown = self._comparison
        self.adopt.setEnabled(shown is not None)
        self.keep.setEnabled(shown is not None)
        if shown is None:
            self.verdict.setText("No comparison yet")
            return
        words, color = SIGNS[shown.measures.verdict]
        self.verdict.setText(words)
        self.verdict.setStyleSheet(
            f"background: {color}; color: white; "
            "font-size: 18pt; font-weight: bold; padding: 6px 10px"
        )
        self.why.setText(
            f"{shown.measures.why}\nOld: {shown.old.model_id}   New: {shown.new.model_id}"
        )
        self.notes.setText("\n".join(f"• {note}" for note in shown.notes))
        self.notes.setVisible(bool(shown.notes))
        self.sources.fill(table_rows(shown))
        n = shown.measures.overall.n
        self.sides.setHorizontalHeaderLabels([f"on {counted(n)}", "old", "new"])
        self.sides.fill(side_rows(shown))
        kinds: tuple[tuple[Outcome, _Cells], ...] = (("fixed", self.fixed), ("broken", self.broken))
        for kind, page in kinds:
            n = page.fill(shown, kind)
            self.tabs.setTabText(self.tabs.indexOf(page), f"{kind.capitalize()} ({n})")


class _Table(TextTable):
    """Texts to read, as high as they are."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(columns, 22)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)

    def fill(self, rows: Sequence[Sequence[str]]) -> None:
        """Show these rows and no others."""
        super().fill(rows)
        header = self.horizontalHeader().sizeHint().height()
        self.setMaximumHeight(header + 22 * max(len(rows), 1) + 4)


class _Picture(QLabel):
    """A picture as large as there is room for."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = QPixmap()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMinimumSize(QSize(200, 120))

    def show_png(self, png: bytes) -> None:
        """Show a PNG, or none where it is empty."""
        self._whole = QPixmap()
        self._whole.loadFromData(png)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 (Qt's name)
        """Fit the picture again."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._whole.isNull():
            self.clear()
            return
        ratio = self.devicePixelRatioF()
        fitted = _fitted(self._whole, self.size() * ratio)
        fitted.setDevicePixelRatio(ratio)
        self.setPixmap(fitted)


class _Cells(QListWidget):
    """Thumbnails of changed cells, with what is true and what both models say."""

    def __init__(self) -> None:
        super().__init__()
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        self.setSpacing(4)

    def fill(self, comparison: Comparison, kind: Outcome) -> int:
        """Show the cells of a kind, at most :data:`MAX_THUMBNAILS`; returns how many there are."""
        self.clear()
        changed = comparison.changed(kind)
        names = comparison.taxonomy.names
        shorts = comparison.taxonomy.shorts
        for i, crop in changed[:MAX_THUMBNAILS]:
            label = names[comparison.truth[i]]
            lines = [f"label: {label}"]
            predictions = []
            for side, answers in (("old", comparison.old), ("new", comparison.new)):
                name = names[answers.predicted[i]]
                confidence = f"{answers.probabilities[i].max():.2f}"
                lines.append(f"{side}: {name} {confidence}")
                predictions.append(f"{shorts[name]} {confidence}")
            cell = comparison.cells[i]
            lines += [cell.source, cell.path.name]
            item = QListWidgetItem(
                QIcon(_fitted(pixmap_of(crop), QSize(THUMBNAIL, THUMBNAIL))),
                f"{shorts[label]}\n{' → '.join(predictions)}",
            )
            item.setToolTip(f"<qt>{'<br>'.join(map(escape, lines))}</qt>")
            self.addItem(item)
        return len(changed)


def _fitted(pixmap: QPixmap, size: QSize) -> QPixmap:
    # By place: PyQt6 and PySide6 name the last of these arguments differently.
    aspect = Qt.AspectRatioMode.KeepAspectRatio
    return pixmap.scaled(size, aspect, Qt.TransformationMode.SmoothTransformation)
