"""The keys of the classes and new classes, by a dialog; keys are kept in the person's settings."""

from __future__ import annotations

import json

from qtpy.QtWidgets import QDialog, QFormLayout, QLineEdit, QWidget

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.taxonomy_dict import grown
from napari_wbc.widgets.qt.layout import ok_cancel, text_label
from napari_wbc.widgets.qt.settings import settings

TAKEN = {"J", "K", "S", "Y"}
"""Keys that join, split and accept cells, and napari's key for the tool that selects."""


def with_kept_keys(taxonomy: Taxonomy) -> Taxonomy:
    """The taxonomy with the keys that the person chose for it before."""
    try:
        keys = json.loads(str(settings().value(_name(taxonomy), "{}")))
        return taxonomy.with_keys({str(name): str(key) for name, key in keys.items()})
    # A taxonomy of this name may have other classes by now, and anybody can edit the file.
    except (ValueError, AttributeError, WbcError):
        return taxonomy


def with_free_keys(taxonomy: Taxonomy) -> tuple[Taxonomy, str]:
    """The taxonomy without keys that do something else, and a line that names those it lost.

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
    text = f"{keys}: this key splits, joins, accepts or selects cells."
    return taxonomy.with_keys(dict.fromkeys(lost, "")), text


def keep_keys(taxonomy: Taxonomy) -> None:
    """Remember the keys of a taxonomy."""
    settings().setValue(_name(taxonomy), json.dumps({c.name: c.key for c in taxonomy.classes}))


def _name(taxonomy: Taxonomy) -> str:
    return f"keys/{taxonomy.name}"


class KeysDialog(QDialog):
    """One line a class for its key, and one line for the name of a new class."""

    def __init__(self, taxonomy: Taxonomy, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Classes and their keys")
        self._before = taxonomy
        self.taxonomy = taxonomy
        self.lines: dict[str, QLineEdit] = {}
        form = QFormLayout(self)
        for cell_class in taxonomy.classes:
            line = QLineEdit(cell_class.key)
            line.setMaxLength(1)
            form.addRow(text_label(cell_class.name), line)
            self.lines[cell_class.name] = line
        self.new = QLineEdit()
        self.new.setPlaceholderText("name")
        self.new.setToolTip("Adds a class to the open project. Fine-tuning teaches it to a model.")
        form.addRow("New class", self.new)
        hint = "Give each class one letter or digit, or none. 0, 9, J, K, S and Y are taken."
        self.wrong = text_label(hint, wrap=True)
        form.addRow(self.wrong)
        form.addRow(ok_cancel(self))

    def accept(self) -> None:
        """Take the keys and the new class, if they fit."""
        keys = {name: line.text().upper() for name, line in self.lines.items()}
        if taken := sorted(TAKEN & set(keys.values())):
            keys_taken = " and ".join(taken)
            self.wrong.setText(
                f"{keys_taken} split, join, accept or select cells; choose other keys."
            )
            return
        name = self.new.text().strip()
        try:
            taxonomy = grown(self._before.with_keys(keys), [name] if name else [])
            # A built-in class brings its own key; any other gets a letter of its name.
            if name and not taxonomy.classes[-1].key:
                used = {*keys.values(), *TAKEN}
                free = (c for c in name.upper() if "A" <= c <= "Z" and c not in used)
                taxonomy = taxonomy.with_keys({name: next(free, "")})
        except WbcError as error:
            self.wrong.setText(str(error))
            return
        self.taxonomy = taxonomy
        super().accept()
