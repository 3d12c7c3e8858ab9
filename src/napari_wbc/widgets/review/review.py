"""Label the selected cells by button or key; draw, reshape and edit cells; undo and redo."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_wbc.model.taxonomy import CANDIDATE
from napari_wbc.model.words import counted
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import TextLines, allow, button, column, row, swatch
from napari_wbc.widgets.qt.panel import Panel
from napari_wbc.widgets.review.possible import PossibleClasses

LABELS_A_ROW = 3
NO_SLIDE = "No slide is open. Open one on the page Slide."
NONE_SELECTED = "No cell is selected. Click one, or drag a box around several."
DRAW_TIP = "Draw a missed cell: drag a box around it"
RESHAPE_TIP = "While on, a drag moves and reshapes cells, not the image"
SPLIT_TIP = "Split the selected cell at its waist (K)"
JOIN_TIP = "Join the selected cells to one (J)"
DELETE_TIP = "Delete the selected cells (Delete)"
CANDIDATE_TIP = (
    "Count the selected doubtful finds (candidates) as what the model calls them (Y). "
    "Delete dismisses them."
)


class ReviewWidget(Panel, QWidget):
    """Label the selected cells."""

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
    candidates_accepted = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._possible = PossibleClasses(session)
        self._selection = TextLines(1)
        self.labels: dict[str, QPushButton] = {}
        self._label_tips: dict[str, str] = {}
        self.keys = button("Classes…", "Choose the key of each class, or add a class")
        self.undo = button("Undo", "", self.undo_chosen.emit)
        self.redo = button("Redo", "", self.redo_chosen.emit)
        self.draw = button("Draw")
        self.reshape = button("Reshape")
        for toggle, chosen in ((self.draw, self.draw_chosen), (self.reshape, self.reshape_chosen)):
            toggle.setCheckable(True)
            toggle.clicked.connect(chosen)
        self.split = button("Split K", "", self.split_chosen.emit)
        self.join = button("Join J", "", self.join_chosen.emit)
        self.delete = button("Delete", "", self.delete_chosen.emit)
        self.candidates = button("Accept candidate Y", "", self.candidates_accepted.emit)
        self.gallery = button("Gallery", "Show thumbnails of all cells by class, below the image")
        shapes = row(self.draw, self.reshape, self.undo, self.redo, self.keys)
        cells = row(self.split, self.join, self.delete, self.gallery)
        self.grid = self._label_grid()
        column(self, self._selection, shapes, cells, self.candidates)
        self.listen(self._refresh, session.changed, session.slide_changed)
        self.listen(self._refresh, session.selection_changed)
        self._refresh()

    def _label_grid(self) -> QWidget:
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        colors = self._session.taxonomy.colors
        for i, label in enumerate(self._session.taxonomy.labels):
            self.labels[label] = button("", "", partial(self.label_chosen.emit, label))
            self.labels[label].setIcon(swatch(colors[label]))
            grid.addWidget(self.labels[label], i // LABELS_A_ROW, i % LABELS_A_ROW)
        self.show_keys()
        return inside

    def show_keys(self) -> None:
        """Show on the buttons which key gives which label."""
        taxonomy = self._session.taxonomy
        keys = {label: key for key, label in taxonomy.keys.items()}
        for label, push in self.labels.items():
            key = keys.get(label, "")
            push.setText(f"{key}  {taxonomy.shorts[label]}".strip())
            self._label_tips[label] = f"{label} (key {key})" if key else f"{label} (no key)"
        self._show_possible()

    def show_tool(self, tool: str) -> None:
        """Show on the button Draw whether a cell is to be drawn; ``tool`` is as napari names it."""
        self.draw.setChecked(tool.startswith("add_"))

    def _refresh(self, *_what: object) -> None:
        self._selection.setText(self._describe_selection())
        # Most slides have no candidates, and the panel is full.
        self.candidates.setVisible(self._session.table.label_counts[CANDIDATE] > 0)
        self._show_possible()
        steps = (self.undo, self._session.undoable), (self.redo, self._session.redoable)
        for push, what in steps:
            verb = push.text()
            allow(push, f"{verb}: {what}", "" if what else f"Nothing to {verb.lower()}")

    def _show_possible(self) -> None:
        """Enable what can be done with the selected cells; the others say why not."""
        table = self._session.table
        chosen = [table[key] for key in self._session.selection if key in table]
        slide = "" if self._session.slide.fields else NO_SLIDE
        some = "" if chosen else NONE_SELECTED
        candidates = any(cell.candidate for cell in chosen)
        for push, tip, reason in (
            (self.draw, DRAW_TIP, slide),
            (self.reshape, RESHAPE_TIP, slide),
            (self.split, SPLIT_TIP, some or ("" if len(chosen) == 1 else "Select one cell only.")),
            (self.join, JOIN_TIP, "" if len(chosen) > 1 else "Select two cells that touch."),
            (self.delete, DELETE_TIP, some),
            (self.candidates, CANDIDATE_TIP, "" if candidates else "No candidate is selected."),
        ):
            allow(push, tip, reason)
        for label, push in self.labels.items():
            allow(push, self._label_tips[label], some)

    def _describe_selection(self) -> str:
        """The cells that a label would go to, and their labels now."""
        table = self._session.table
        # A deleted cell stays selected: undo may bring it back.
        cells = [table[cell_id] for cell_id in self._session.selection if cell_id in table]
        if not cells:
            return "No cell selected"
        if len(cells) > 1:
            labels = sorted({cell.label for cell in cells})
            return f"{counted(len(cells))} selected: {', '.join(labels)}"
        text = cells[0].label
        if cells[0].candidate:
            text += " (not counted)"
        if annotation := cells[0].annotation:
            text += f", said by {annotation.annotator or 'a person'}"
        if prediction := cells[0].prediction:
            text += f"; model: {prediction.cell_class} {prediction.confidence:.0%}"
        if possible := self._possible.text(cells[0]):
            text += f"; possible: {possible}"
        return text
