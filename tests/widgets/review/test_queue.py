"""The review queue on screen: answered by keys, and followed by viewer and loader."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from tests.widgets.review.labels import labels

from napari_wbc.session.order import Order


def test_an_empty_slide_has_an_empty_queue(bench, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    bench.queue_panel.start()
    assert bench.queue.current == ""
    assert not bench.queue_panel.accept.isEnabled()
    bench.docks.open_gallery()
    assert not any(group.cell_ids for group in bench.docks.gallery.gallery.groups)


def test_a_queue_is_answered_by_keys_and_the_viewer_follows(analyzed, wait, press):
    bench = analyzed
    bench.queue_panel.start()
    wait(bench)
    first = bench.queue.current
    assert bench.session.selection == (first,)
    assert bench.view.selected() == (first,)
    zoom = bench.viewer.scene.camera.zoom
    for key in (Qt.Key.Key_3, Qt.Key.Key_Return, Qt.Key.Key_Period, Qt.Key.Key_Comma):
        press(key)
        wait(bench)
    assert bench.session.table[first].label == "basophil"
    assert sum(label is not None for label in labels(bench)) == 2
    assert bench.viewer.scene.camera.zoom == pytest.approx(zoom, rel=0.5)
    assert bench.queue_panel.bar.value() == 2
    assert bench.view.selected() == (bench.queue.current,)


def test_whoever_turns_the_page_has_done_with_the_cells_before(analyzed, wait):
    bench = analyzed
    bench.queue_panel.start()
    wait(bench)
    bench.fields.step(1)
    wait(bench)
    assert bench.session.selection == ()
    bench.follower.keys["5"]()
    assert labels(bench) == [None] * 6
    assert "Select a cell" in bench.status.text()
    # The card stays with the cell under review, says where that is, and one button goes there.
    assert bench.references._cell.cell_id == bench.queue.current
    assert bench.references.caption.endswith("(not in view)")
    assert bench.queue_panel.go_on.isEnabled()
    bench.queue_panel.go_on.click()
    wait(bench)
    assert bench.session.selection == (bench.queue.current,)
    assert bench.references.caption == bench.session.field.path.name
    assert not bench.queue_panel.go_on.isEnabled()


def test_a_field_that_is_turned_to_is_seen_whole_unless_the_zoom_is_kept(analyzed, wait):
    bench = analyzed
    camera = bench.viewer.scene.camera
    bench.viewer.reset_view()
    whole = camera.zoom
    camera.zoom = 5 * whole
    bench.fields.step(1)
    wait(bench)
    assert camera.zoom == pytest.approx(whole)
    bench.keep_zoom.click()
    camera.zoom = 5 * whole
    bench.fields.step(1)
    wait(bench)
    assert camera.zoom == pytest.approx(5 * whole)


def test_the_field_of_the_next_cell_is_read_ahead(analyzed, wait):
    bench = analyzed
    bench.queue_panel.order.setCurrentText(Order.FIELD_BY_FIELD)
    bench.queue_panel.start()
    bench.queue.next()
    wait(bench)
    following = bench.session.table[bench.queue.following].fov_id
    assert following in {field.fov_id for field in bench.loader._ahead}
    bench.queue.next()
    assert bench.view.ready


def test_filters_are_of_class_field_confidence_and_review(analyzed):
    panel = analyzed.queue_panel
    panel.label.setCurrentText("basophil")
    panel.field.setCurrentIndex(1)
    panel.lowest.setValue(0.9)
    panel.highest.setValue(0.4)  # the other way round
    panel.which.setCurrentText("all")
    order, only = panel.value()
    assert order == Order.LEAST_CERTAIN
    assert (only.labels, only.fov_id) == ({"basophil"}, analyzed.session.field.fov_id)
    assert (only.lowest, only.highest, only.reviewed) == (0.4, 0.9, None)


def test_it_says_how_far_the_review_is(analyzed, wait):
    panel = analyzed.queue_panel
    assert panel.text.text() == "Not started"
    panel.start()
    wait(analyzed)
    assert panel.text.text() == "Cell 1 of 6"
    analyzed.actions.label("basophil")
    assert panel.text.text().endswith("counts of the reviewed cells, hardest first\nBAS 1")
    for _ in range(5):
        analyzed.queue.accept("ann")
    assert panel.text.text().startswith("Review of 6 cells done")
    assert "95 % limits" in panel.text.text()


def test_an_audit_is_drawn_once_and_reviewed_by_chance(analyzed):
    bench = analyzed
    panel = bench.queue_panel
    panel.order.setCurrentText("audit")
    panel.start()
    first = bench.queue.ids
    assert set(first) == set(bench.session.table)
    assert "Audit: 6 cells" in bench.status.text()
    bench.actions.label("basophil", first[:1])
    panel.which.setCurrentText("all")
    panel.start()
    # The project keeps the draw.
    assert bench.queue.ids == first
    panel.which.setCurrentText("to review")
    panel.start()
    assert bench.queue.ids == first[1:]
