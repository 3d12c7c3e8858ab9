"""The table of texts."""

from __future__ import annotations

from qtpy.QtCore import Qt

from napari_wbc.widgets.qt.table import TextTable


def test_rows_are_replaced_and_numbers_stand_at_the_right(qtbot):
    table = TextTable(("class", "n"), 20)
    qtbot.addWidget(table)
    table.fill([("neutrophil", "3"), ("basophil", "1")])
    item = table.item(0, 1)
    table.fill([("neutrophil", "4")])
    assert table.rowCount() == 1
    assert [table.item(0, j).text() for j in (0, 1)] == ["neutrophil", "4"]
    # The item stays: another one would have the columns laid out anew.
    assert table.item(0, 1) is item
    assert item.textAlignment() & Qt.AlignmentFlag.AlignRight
    assert table.rowHeight(0) == 20
