"""Names of strangers are plain text in every label and every tooltip of the window."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QWidget

import napari_wbc.widgets
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.taxonomy import FIVE_CLASSES
from napari_wbc.widgets.commands import plain_text
from napari_wbc.widgets.qt.layout import button, no_markup, plain, text_label
from napari_wbc.widgets.review.key_choice import KeysDialog

NAME = "<b>x</b><img src=x>"
WIDGETS = Path(napari_wbc.widgets.__file__).parent


def rich(text):
    """Whether Qt would take a text for markup, and finds a tag of ours in it."""
    return Qt.mightBeRichText(text) and "<b>x" in text


def markup(root: QWidget) -> list[str]:
    """Labels and tooltips in which the name is markup."""
    wrong = []
    for widget in (root, *root.findChildren(QWidget)):
        if rich(widget.toolTip()):
            wrong.append(f"tooltip of {type(widget).__name__}: {widget.toolTip()}")
        label = isinstance(widget, QLabel) and widget.textFormat() != Qt.TextFormat.PlainText
        if label and rich(widget.text()):
            wrong.append(widget.text())
    return wrong


def test_labels_are_made_by_the_one_helper_only():
    # A class of its own may be a picture.
    others = [path for path in WIDGETS.rglob("*.py") if path.name != "layout.py"]
    made = [path.name for path in others if re.search(r"= QLabel\(", path.read_text("utf-8"))]
    assert made == []


def test_a_slide_and_its_fields_may_be_named_like_markup(bench, tmp_path, wait):
    folder = tmp_path / "<b>x<b><img src=x>"
    folder.mkdir()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "<b>x<b>.png")
    bench.open_slide(open_slide(folder))
    wait(bench)
    QApplication.processEvents()
    assert "<b>x" in bench.header.name.text()
    assert markup(bench) == []


def test_a_class_may_be_named_like_markup(qtbot):
    first, *rest = FIVE_CLASSES.classes
    taxonomy = replace(FIVE_CLASSES, classes=(replace(first, name=NAME), *rest))
    dialog = KeysDialog(taxonomy)
    qtbot.addWidget(dialog)
    assert NAME in [label.text() for label in dialog.findChildren(QLabel)]
    assert markup(dialog) == []


@pytest.mark.parametrize("text", ["", "as it is", NAME, "two\nlines"])
def test_a_text_is_shown_as_it_is(qtbot, text):
    label = text_label(text)
    qtbot.addWidget(label)
    assert (label.text(), label.textFormat()) == (text, Qt.TextFormat.PlainText)
    push = button("Go", plain(text))
    qtbot.addWidget(push)
    assert plain_text(push) == text
    assert not rich(push.toolTip())
    assert not rich(no_markup(text))
