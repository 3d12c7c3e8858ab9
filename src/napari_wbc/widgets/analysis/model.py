"""Choose the classifier, and read its model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QTextOption
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QTextBrowser,
    QWidget,
)

from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.pipeline.library import countable, start_classifier
from napari_wbc.pipeline.models import (
    ModelSummary,
    Section,
    classifiers,
    counted_card,
    model_summary,
)
from napari_wbc.weights.card import RESEARCH_USE
from napari_wbc.widgets.qt.files import ask_file
from napari_wbc.widgets.qt.layout import bring_up, button, column, plain, row, text_label
from napari_wbc.widgets.qt.panel import guarded
from napari_wbc.widgets.qt.settings import settings

CARD_TIP = "What the model is: classes, training data, measurements, limits of use"
OPEN = "Open a model…"
RECENT = "recent_weights"
MAX_RECENT = 5
"""Files that are remembered from one start to the next."""


class ModelWidget(QWidget):
    """A combo box of classifiers, and a button that shows the card of the chosen one.

    The one in use is chosen first. Only cards are read here; the job that uses a model loads it.
    """

    noted = Signal(str)
    warned = Signal(str)

    def __init__(self, taxonomy: Taxonomy) -> None:
        super().__init__()
        self._taxonomy = taxonomy
        self._shipped = classifiers()
        self._weights = start_classifier(taxonomy)
        self.combo = _ComboBox()
        self.combo.setAccessibleName("Model")
        policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.combo.setSizeAdjustPolicy(policy)
        self.card = button("Card…", CARD_TIP, guarded(self.warned.emit, self.show_card))
        self.dialog = CardDialog(self)
        column(self, row(text_label("Classify by"), self.combo, self.card, stretch=self.combo))
        self._fill()
        self.combo.opened.connect(self._fill)
        self.combo.activated.connect(self._on_activated)

    def value(self) -> str:
        """Name or file of the chosen weights."""
        return self._weights

    def choose(self, weights: str) -> None:
        """Use other weights from now on.

        Parameters
        ----------
        weights : str
            Name of shipped weights, or the path of a ``.safetensors`` file.

        Raises
        ------
        WeightsError
            If their card cannot be read or none of their classes can be counted; nothing changes.
        """
        card = counted_card(weights, self._taxonomy)
        self._weights = weights
        if weights not in (*self._shipped, *countable(self._taxonomy)):
            _remember(weights)
        self._fill()
        if self.dialog.isVisible():
            self.show_card()
        self.noted.emit(f"Model: {card.model_id}. Classified cells keep their predictions.")

    def show_card(self) -> None:
        """Show the card of the chosen weights.

        Raises
        ------
        WeightsError
            If it cannot be read any more.
        """
        self.dialog.show_summary(model_summary(self._weights), self._taxonomy.colors)

    def _fill(self) -> None:
        self.combo.clear()
        for name in self._shipped:
            self._add(name, f"Shipped model {name}")
        chosen = [] if self._weights in self._shipped else [self._weights]
        files = list(dict.fromkeys((*countable(self._taxonomy), *chosen, *_recent())))
        if files:
            self.combo.insertSeparator(self.combo.count())
        for file in files:
            self._add(file, file)
        self.combo.insertSeparator(self.combo.count())
        self.combo.addItem(OPEN, "")
        self._show_chosen()

    def _add(self, weights: str, tip: str) -> None:
        self.combo.addItem(Path(weights).stem, weights)
        self.combo.setItemData(self.combo.count() - 1, plain(tip), Qt.ItemDataRole.ToolTipRole)

    def _show_chosen(self) -> None:
        self.combo.setCurrentIndex(self.combo.findData(self._weights))
        self.combo.setToolTip(plain(f"The model that classifies cells: {self._weights}"))

    def _on_activated(self, i: int) -> None:
        weights = self.combo.itemData(i) or self._ask()
        if weights:
            guarded(self.warned.emit, self.choose)(weights)
        self._show_chosen()

    def _ask(self) -> str:
        kind = "Model (*.safetensors)"
        return str(ask_file(self, "Open a model", "model", kind) or "")


class CardDialog(QDialog):
    """A model card to read, select and copy; it stays open beside the work."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._plain = ""
        self.text = QTextBrowser()
        self.text.setOpenLinks(False)
        self.text.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        by = Qt.TextInteractionFlag
        self.text.setTextInteractionFlags(by.TextSelectableByMouse | by.TextSelectableByKeyboard)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        self.copy = button("Copy all", "Copy the card as text")
        self.copy.clicked.connect(lambda: QApplication.clipboard().setText(self._plain))
        buttons.addButton(self.copy, QDialogButtonBox.ButtonRole.ActionRole)
        column(self, self.text, buttons, margin=6)
        self.resize(640, 720)

    def show_summary(self, summary: ModelSummary, colors: Mapping[str, str]) -> None:
        """Show a card, with the colours of the classes by name."""
        self._plain = str(summary)
        self.setWindowTitle(f"Model card: {summary.model_id}")
        self.text.setHtml(card_html(summary, colors))
        bring_up(self)


def card_html(summary: ModelSummary, colors: Mapping[str, str]) -> str:
    """A card as rich text with the colours of the classes by name; its own texts are escaped."""
    marks = []
    for name in summary.classes:
        # A mark and its name stay on one line.
        text = escape(name).replace(" ", "&nbsp;")
        marks.append(f'<span style="color: {colors.get(name, "gray")}">■</span>&nbsp;{text}')
    model, *others = map(_section_html, summary.sections)
    return (
        f"<h2>{escape(summary.model_id)}</h2><p><b>{RESEARCH_USE}</b></p>{model}"
        f"<h3>Classes</h3><p>{' &nbsp; '.join(marks)}</p>{''.join(others)}"
    )


def _section_html(section: Section) -> str:
    columns = list(zip(*section.rows, strict=True))
    aligned = [_alignment(column) if section.header else "left" for column in columns]
    rows = [_row_html("td", texts, aligned) for texts in section.rows]
    if section.header:
        rows.insert(0, _row_html("th", section.header, aligned))
    style = 'style="margin-bottom: 12px" cellspacing="0" cellpadding="3"'
    return f"<h3>{escape(section.title)}</h3><table {style}>{''.join(rows)}</table>"


def _row_html(kind: str, texts: Sequence[str], aligned: Sequence[str]) -> str:
    cells = ""
    for text, side in zip(texts, aligned, strict=True):
        cells += f'<{kind} align="{side}">{escape(text)}</{kind}>'
    return f"<tr>{cells}</tr>"


def _alignment(column: Sequence[str]) -> str:
    """Numbers stand to the right."""
    return "right" if all(text[:1].isdigit() or len(text) < 2 for text in column) else "left"


class _ComboBox(QComboBox):
    """The wheel scrolls past it: it must not change the model, nor open a file dialog."""

    opened = Signal()
    """Before the list is shown, which models may have joined or left since."""

    def showPopup(self) -> None:  # noqa: N802 (Qt's name)
        self.opened.emit()
        super().showPopup()

    def wheelEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        event.ignore()


def _recent() -> list[str]:
    """Files that were opened, the last one first."""
    return str(settings().value(RECENT, "") or "").splitlines()[:MAX_RECENT]


def _remember(file: str) -> None:
    files = dict.fromkeys((file, *_recent()))
    settings().setValue(RECENT, "\n".join(list(files)[:MAX_RECENT]))
