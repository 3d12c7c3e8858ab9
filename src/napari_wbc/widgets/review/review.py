"""Give the selected cells a label by button or key; draw, reshape and edit cells; undo and redo."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import TextLines, row, swatch
from napari_wbc.widgets.qt.panel import Panel

__all__ = ["ReviewWidget"]


class ReviewWidget(Panel, QWidget):
    """Label the selected cells.

    Parameters
    ----------
    session : Session
    parent : QWidget, optional
    """

    label_chosen = Signal(str)
    """With the label for the selected cells."""
    undo_chosen = Signal()
    redo_chosen = Signal()
    draw_chosen = Signal(bool)
    """With whether the next drag in the image draws a cell."""
    reshape_chosen = Signal(bool)
    """With whether a drag in the image moves and reshapes cells."""
    split_chosen = Signal()
    join_chosen = Signal()
    delete_chosen = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._selection = TextLines(1)
        taxonomy = session.taxonomy
        grid = QGridLayout()
        grid.setSpacing(2)
        self.labels: dict[str, QPushButton] = {}
        for i, label in enumerate(taxonomy.labels):
            button = self.labels[label] = QPushButton()
            button.setIcon(swatch(taxonomy.colors[label]))
            button.clicked.connect(
                lambda _checked=False, label=label: self.label_chosen.emit(label)
            )
            grid.addWidget(button, i // 5, i % 5)
        self.show_keys()
        self.keys = QPushButton("Classes…")
        self.keys.setToolTip("Choose the key of each class, or add a class")
        self.undo = QPushButton("Undo")
        self.redo = QPushButton("Redo")
        self.undo.clicked.connect(self.undo_chosen)
        self.redo.clicked.connect(self.redo_chosen)
        self.draw, self.reshape = QPushButton("Draw"), QPushButton("Reshape")
        self.draw.setToolTip("Draw a cell that was missed: drag a box around it")
        self.reshape.setToolTip(
            "While on, a drag moves and reshapes cells; otherwise it moves the picture"
        )
        for button, chosen in ((self.draw, self.draw_chosen), (self.reshape, self.reshape_chosen)):
            button.setCheckable(True)
            button.clicked.connect(chosen)
        edits = (
            ("Split K", "Cut the selected cell in two at its waist (key K)", self.split_chosen),
            ("Join J", "Make one cell of the selected ones (key J)", self.join_chosen),
            ("Delete", "Delete the selected cells (key Delete)", self.delete_chosen),
        )
        self.edits = []
        for text, tip, signal in edits:
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(signal)
            self.edits.append(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._selection)
        layout.setSpacing(3)
        layout.addLayout(grid)
        layout.addWidget(row(self.draw, self.reshape, self.undo, self.redo, self.keys))
        self.gallery = QPushButton("Gallery")
        self.gallery.setToolTip("Thumbnails of all cells by class, below the image")
        layout.addWidget(row(*self.edits, self.gallery))
        changes = session.changed, session.slide_changed, session.selection_changed
        self.listen(self._refresh, *changes)
        self._refresh()

    def show_keys(self) -> None:
        """Show on the buttons which key gives which label."""
        taxonomy = self._session.taxonomy
        keys = {label: key for key, label in taxonomy.keys.items()}
        for label, button in self.labels.items():
            key = keys.get(label, "")
            button.setText(f"{key}  {taxonomy.shorts[label]}".strip())
            button.setToolTip(f"{label} (key {key})" if key else f"{label} (no key)")

    def show_tool(self, tool: str) -> None:
        """Show on the toggle whether a cell is to be drawn; ``tool`` is as napari names it."""
        self.draw.setChecked(tool.startswith("add_"))

    def _show_selection(self) -> None:
        """Say which cells a label would go to, and what they are now."""
        table = self._session.table
        cells = [table[key] for key in self._session.selection if key in table]
        labels = {cell.label for cell in cells}
        if not cells:
            text = "No cell selected"
        elif len(cells) > 1:
            text = f"{len(cells)} cells selected: {', '.join(sorted(labels))}"
        else:
            (cell,) = cells
            text = cell.label
            if cell.annotation:
                text += f", said by {cell.annotation.annotator or 'a person'}"
            if cell.prediction:
                text += f"; model: {cell.prediction.cell_class} {cell.prediction.confidence:.0%}"
        self._selection.setText(text)

    def _refresh(self, *_what: object) -> None:
        self._show_selection()
        for button, what, verb in (
            (self.undo, self._session.undoable, "Undo"),
            (self.redo, self._session.redoable, "Redo"),
        ):
            button.setEnabled(bool(what))
            button.setToolTip(f"{verb}: {what}" if what else f"Nothing to {verb.lower()}")
