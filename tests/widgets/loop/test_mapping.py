"""The classes that the labels of an imported set become."""

from __future__ import annotations

from collections import Counter

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialogButtonBox, QLabel

from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.import_set import Incoming
from napari_wbc.pipeline.merge_set import LEFT_OUT
from napari_wbc.storage.sets import SetContent
from napari_wbc.widgets.loop.mapping import LEAVE_OUT, MappingDialog


@pytest.fixture
def dialog(qtbot):
    content = SetContent("set", "coco", (), ("NEU", "dirt"), {})
    suggested = {"NEU": "neutrophil", "dirt": None}
    shown = MappingDialog(Incoming(content, Counter(NEU=3, dirt=1), suggested), EIGHT_CLASSES)
    qtbot.addWidget(shown)
    return shown


def test_a_label_without_a_choice_holds_the_import_up(dialog):
    ok = dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)
    assert dialog.value() == {"NEU": "neutrophil"}
    assert not ok.isEnabled()
    dialog.choices["dirt"].setCurrentText(LEAVE_OUT)
    assert dialog.value() == {"NEU": "neutrophil", "dirt": LEFT_OUT}
    assert ok.isEnabled()


def test_what_was_left_out_is_said_as_plain_text(qtbot):
    note = "1 item left out; the first: <b>a.json</b>, annotation 2: a box is empty."
    content = SetContent("set", "coco", (), ("NEU",), {}, (note,))
    shown = MappingDialog(Incoming(content, Counter(NEU=3), {"NEU": "neutrophil"}), EIGHT_CLASSES)
    qtbot.addWidget(shown)
    (title,) = [label for label in shown.findChildren(QLabel) if "Each label" in label.text()]
    assert note in title.text()
    assert title.textFormat() == Qt.TextFormat.PlainText


def test_a_label_of_a_stranger_is_no_markup(qtbot):
    label = "<img src=x>"
    content = SetContent("set", "coco", (), (label,), {})
    shown = MappingDialog(Incoming(content, Counter({label: 3}), {label: None}), EIGHT_CLASSES)
    qtbot.addWidget(shown)
    (text,) = [text for text in shown.findChildren(QLabel) if label in text.text()]
    assert text.textFormat() == Qt.TextFormat.PlainText
