"""What each label of a training set becomes, shown and changed before anything is imported."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QFormLayout, QWidget

from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.words import counted
from napari_wbc.pipeline.import_set import Incoming
from napari_wbc.pipeline.merge_set import LEFT_OUT
from napari_wbc.widgets.qt.input_guard import guard_inputs
from napari_wbc.widgets.qt.layout import column, ok_cancel, scrolled, text_label

CHOOSE = "say which…"
LEAVE_OUT = "leave out"


class MappingDialog(QDialog):
    """A row for each label, with the class it becomes or *leave out*."""

    def __init__(
        self, incoming: Incoming, taxonomy: Taxonomy, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        content = incoming.content
        cells = counted(incoming.counts.total())
        fields = counted(len(content.fields), "field")
        self.setWindowTitle(f"Import {content.name}")
        self.choices: dict[str, QComboBox] = {}
        rows = QWidget()
        form = QFormLayout(rows)
        for label, n in incoming.counts.items():
            combo = QComboBox()
            combo.addItem(CHOOSE, None)
            for name in taxonomy.labels:
                combo.addItem(name, name)
            combo.addItem(LEAVE_OUT, LEFT_OUT)
            combo.setCurrentIndex(max(0, combo.findData(incoming.suggested[label])))
            combo.currentIndexChanged.connect(self._check)
            form.addRow(text_label(f"{label} ({n})"), combo)
            self.choices[label] = combo
        self.buttons = ok_cancel(self)
        # What was left out of the set is known before it is imported.
        said = [f"{cells} of {fields} ({content.format}).", *content.notes, "Each label becomes:"]
        title = text_label("\n".join(said), wrap=True)
        column(self, title, scrolled(rows), self.buttons, margin=6)
        guard_inputs(self)
        self._check()

    def value(self) -> dict[str, str]:
        """Label to class, or to nothing where it is left out; what is not chosen yet is missing."""
        chosen = {label: combo.currentData() for label, combo in self.choices.items()}
        return {label: name for label, name in chosen.items() if name is not None}

    def _check(self) -> None:
        complete = len(self.value()) == len(self.choices)
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(complete)
