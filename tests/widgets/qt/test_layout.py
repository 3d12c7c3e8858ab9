"""Buttons, choices and columns, and text and bars that do not hold up the window."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QDialog, QLabel, QMessageBox, QProgressBar, QWidget

from napari_wbc.widgets.qt.layout import (
    TextLines,
    button,
    choice,
    column,
    confirmed,
    folded,
    group,
    ok_cancel,
    row,
    scrolled,
    show_progress,
)


def test_text_of_a_line_is_no_markup_in_its_tooltip(qtbot):
    line = TextLines(2)
    qtbot.addWidget(line)
    height = line.sizeHint().height()
    line.setText("a <b> c")
    assert line.text() == line.accessibleName() == "a <b> c"
    assert "a &lt;b&gt; c" in line.toolTip()
    assert line.sizeHint().height() == height


def test_a_bar_takes_both_numbers(qtbot):
    bar = QProgressBar()
    qtbot.addWidget(bar)
    show_progress(bar, 3, 7)
    assert (bar.value(), bar.maximum()) == (3, 7)


def test_only_the_height_of_what_is_scrolled_may_be_cut(qtbot):
    label = QLabel("a wide text that is not cut")
    scroll = scrolled(group("title", row(label)))
    qtbot.addWidget(scroll)
    assert scroll.minimumSizeHint().width() > label.minimumSizeHint().width()


def test_a_button_calls_its_action_without_its_state(qtbot):
    clicks = []
    push = button("Go", "Goes", lambda *args: clicks.append(args))
    qtbot.addWidget(push)
    push.click()
    assert clicks == [()]
    assert push.toolTip() == "Goes"


def test_a_choice_may_be_narrower_than_its_texts(qtbot):
    texts = ("a text that is much too long for a dock", "b")
    wide = choice(texts)
    narrow = choice(texts, least=4)
    both = row(wide, narrow)
    qtbot.addWidget(both)
    assert narrow.sizeHint().width() < wide.sizeHint().width()
    assert [narrow.itemText(i) for i in range(2)] == list(texts)


def test_one_widget_of_a_column_takes_the_room(qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    first, second = QLabel("a"), QLabel("b")
    layout = column(parent, first, second, stretch=second, margin=2)
    assert [layout.stretch(i) for i in range(2)] == [0, 1]
    assert layout.contentsMargins().left() == 2


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_only_yes_is_a_yes(qtbot, monkeypatch, answer):
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton[answer])
    assert confirmed(None, "Title", "Go on?") == (answer == "Yes")


def test_ok_and_cancel_close_the_dialog(qtbot):
    dialog = QDialog()
    qtbot.addWidget(dialog)
    buttons = ok_cancel(dialog)
    for name, result in (
        ("Ok", QDialog.DialogCode.Accepted),
        ("Cancel", QDialog.DialogCode.Rejected),
    ):
        buttons.button(buttons.StandardButton[name]).click()
        assert dialog.result() == result


def test_markup_in_a_question_is_shown_as_it_is(monkeypatch):
    asked = []
    no = QMessageBox.StandardButton.No
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[2]) or no)
    for question in ("Open slide 1?", "Open <b>slide</b>\n1?"):
        assert not confirmed(None, "Title", question)
    label = QLabel(asked[1])
    assert asked[0] == "Open slide 1?"
    assert "&lt;b&gt;slide" in label.text()


def test_the_arrow_of_a_fold_is_a_letter_in_the_colour_of_the_text(qtbot):
    fold = folded("Tuning", QLabel("inside"))
    qtbot.addWidget(fold)
    assert fold.toggleButton().icon().isNull()
    assert fold.text() == "▸ Tuning"
    fold.toggleButton().click()
    assert fold.text() == "▾ Tuning"
