"""Reviewed cells beside the cell under review."""

from __future__ import annotations

from napari_wbc.widgets.review.references import references


def test_references_are_the_surest_reviewed_cells_of_a_class(analyzed):
    bench = analyzed
    assert references(bench.session.table, "basophil", 4) == ()
    ids = list(bench.session.table)
    bench.actions.label("basophil", ids[:4])
    found = references(bench.session.table, "basophil", 2, without=ids[1])
    assert [cell.prediction.cell_class for cell in found] == ["basophil", "lymphocyte"]
    bench.references.show_cell(ids[0])
    bench.references.grab()
