"""What cannot be done yet is disabled and says why."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox


def disabled(bench):
    """Disabled buttons of the window by text, with their tooltips."""
    pushes = [push for push in bench.findChildren(QPushButton) if not push.isEnabled()]
    return {push.text(): push.toolTip() for push in pushes}


def test_at_the_start_what_needs_a_slide_is_disabled(bench):
    why = disabled(bench)
    for text in (
        "Use open image",
        "Analyze slide",
        "Start",
        "Accept ↵",
        "Draw",
        "Split K",
        "Export…",
        "Report…",
        "Sign…",
        "Compare",
        "Explain whole slide",
        "Map the cells…",
        "Add reviewed cells",
        "Compare…",
    ):
        assert text in why
    for text, reason in why.items():
        assert ". " in reason or reason.endswith((".</qt>", "undo</qt>", "redo</qt>")), text


def test_buttons_follow_the_selected_cells(analyzed, qtbot, wait):
    bench, review = analyzed, analyzed.review
    table = bench.session.table
    fov = bench.session.slide.fields[0].fov_id
    first, second = table.of_field(fov)
    bench.session.select(())
    assert "No cell is selected" in review.labels["monocyte"].toolTip()
    bench.session.select((first.cell_id,))
    assert review.split.isEnabled()
    assert not review.join.isEnabled()
    assert bench.explain.selected.isEnabled()
    bench.session.select((first.cell_id, second.cell_id))
    assert not review.split.isEnabled()
    assert review.join.isEnabled()
    assert not bench.train.sets.export.isEnabled()
    bench.tabs.bring(review)
    qtbot.mouseClick(review.labels["monocyte"], Qt.MouseButton.LeftButton)
    assert {cell.label for cell in bench.session.table.of_field(fov)} == {"monocyte"}
    assert bench.train.sets.export.isEnabled()
    assert bench.export.isEnabled()


def test_drawn_cells_can_be_classified_and_others_are_already(analyzed):
    bench = analyzed
    assert "already" in bench.analysis.classify.toolTip()
    bench.analysis.at_once.setChecked(False)
    cell = next(iter(bench.session.table.values()))
    moved = cell.moved(Detection(BBox(4, 5, 16, 15)))
    bench.session.commit(bench.session.table.with_cells([moved]), "move")
    assert bench.analysis.classify.isEnabled()
