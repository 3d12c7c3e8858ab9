"""Text and bars that do not hold up the window."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QProgressBar

from napari_wbc.widgets.qt.layout import TextLines, group, row, scrolled, show_progress


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
