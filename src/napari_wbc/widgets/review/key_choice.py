"""Which key gives which class, and a class more: by dialog; keys are kept in the person's settings."""

from __future__ import annotations

import json

from qtpy.QtCore import QSettings
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.taxonomy_dict import grown
from napari_wbc.widgets.qt.settings import settings

TAKEN = {"J", "K", "S"}
"""Join, split, and napari's way back to selecting."""

__all__ = ["KeysDialog", "keep_keys", "with_free_keys", "with_kept_keys"]


def with_kept_keys(taxonomy: Taxonomy) -> Taxonomy:
    """The taxonomy with the keys that were chosen for it before, as far as they still fit."""
    try:
        kept = json.loads(str(settings().value(_name(taxonomy), "{}")))
        return taxonomy.with_keys({str(name): str(key) for name, key in kept.items()})
    except (ValueError, AttributeError, WbcError):
        return taxonomy


def with_free_keys(taxonomy: Taxonomy) -> tuple[Taxonomy, str]:
    """The taxonomy without keys that do something else in the workbench, and a line on those it lost.

    Examples
    --------
    >>> from napari_wbc.model.taxonomy import TWO_CLASSES
    >>> with_free_keys(TWO_CLASSES)[1]
    ''
    """
    lost = {c.name: c.key for c in taxonomy.classes if c.key.upper() in TAKEN}
    if not lost:
        return taxonomy, ""
    keys = " and ".join(f"{key.upper()} ({name})" for name, key in lost.items())
    text = f"{keys}: this key splits, joins or selects cells and gives no label."
    return taxonomy.with_keys(dict.fromkeys(lost, "")), text


def keep_keys(taxonomy: Taxonomy) -> None:
    """Remember the keys of a taxonomy."""
    chosen: QSettings = settings()
    chosen.setValue(_name(taxonomy), json.dumps({c.name: c.key for c in taxonomy.classes}))


def _name(taxonomy: Taxonomy) -> str:
    return f"keys/{taxonomy.name}"


class KeysDialog(QDialog):
    """One line a class, for one letter or digit, and one for the name of a new class.

    Parameters
    ----------
    taxonomy : Taxonomy
    parent : QWidget, optional
    """

    def __init__(self, taxonomy: Taxonomy, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Classes and their keys")
        self._taxonomy = self.taxonomy = taxonomy
        self.lines: dict[str, QLineEdit] = {}
        form = QFormLayout()
        for one in taxonomy.classes:
            line = self.lines[one.name] = QLineEdit(one.key)
            line.setMaxLength(1)
            form.addRow(one.name, line)
        self.new = QLineEdit()
        self.new.setPlaceholderText("name of a class to add")
        self.new.setToolTip("It is added to the open project; a model learns it by fine-tuning")
        form.addRow("New", self.new)
        self.wrong = QLabel("One letter or digit each; 0 and 9 are taken. Empty for none.")
        self.wrong.setWordWrap(True)
        both = QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        buttons = QDialogButtonBox(both)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.wrong)
        layout.addWidget(buttons)

    def accept(self) -> None:
        """Take the keys and the new class, if they fit."""
        keys = {name: line.text().upper() for name, line in self.lines.items()}
        if taken := sorted(TAKEN & set(keys.values())):
            self.wrong.setText(
                f"{' and '.join(taken)} split, join or select cells; choose other keys."
            )
            return
        try:
            name = self.new.text().strip()
            taxonomy = grown(self._taxonomy.with_keys(keys), [name] if name else [])
            if name and not taxonomy.classes[-1].key:
                used = {*keys.values(), *TAKEN}
                free = next(
                    (
                        one
                        for one in name.upper()
                        if one.isascii() and one.isalpha() and one not in used
                    ),
                    "",
                )
                taxonomy = taxonomy.with_keys({**keys, name: free})
            self.taxonomy = taxonomy
        except WbcError as error:
            self.wrong.setText(str(error))
        else:
            super().accept()
