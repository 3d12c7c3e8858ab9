"""Reviewing a slide on screen, with viewer and gallery, kept in a project that is found again."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMessageBox
from tests.widgets.review.labels import labels

from napari_wbc.detect.base import Located
from napari_wbc.imaging.read import open_slide
from napari_wbc.session.opening import project_path
from napari_wbc.storage.workspace import backup_of
from napari_wbc.widgets.analysis.analysis import SETTLED_MS
from napari_wbc.widgets.workbench import Workbench


def again(bench, make_napari_viewer, wait):
    """The workbench closed, and another one opened in another viewer."""
    slide = bench.session.slide
    bench.release()
    wait(bench)
    new = Workbench(make_napari_viewer())
    new.viewer.window.add_dock_widget(new, name="WBC")
    new.open_slide(slide)
    wait(new)
    return new


def test_gallery_and_viewer_show_the_same_selection(analyzed, wait):
    bench = analyzed
    bench.docks.open_gallery()
    ids = list(bench.session.table)
    bench.session.select(ids[2:3])  # as the gallery does; the cell lies in the second field
    wait(bench)
    assert bench.session.field == bench.session.slide.fields[1]
    assert bench.view.selected() == (ids[2],)
    bench.viewer.layers["cells"].selected_data = {1}
    assert bench.session.selection == (ids[3],)


def test_cells_dragged_to_a_class_in_the_gallery_are_labelled_in_one_step(analyzed):
    bench = analyzed
    bench.docks.open_gallery()
    ids = tuple(bench.session.table)
    bench.docks.gallery.gallery.label_chosen.emit("monocyte", ids[:5])
    assert labels(bench) == ["monocyte"] * 5 + [None]
    bench.docks.gallery.gallery.key_pressed.emit("Control-Z")
    assert labels(bench) == [None] * 6


def test_a_selection_over_several_fields_is_labelled_by_a_key_in_the_gallery(analyzed):
    bench = analyzed
    bench.docks.open_gallery()
    bench.session.select(bench.session.table)
    bench.docks.gallery.gallery.key_pressed.emit("3")
    assert labels(bench) == ["basophil"] * 6


def test_everything_is_there_again_after_a_restart(analyzed, make_napari_viewer, wait, press):
    bench = analyzed
    bench.queue_panel.start()
    for key in (Qt.Key.Key_3, Qt.Key.Key_4, Qt.Key.Key_Period):
        press(key)
        wait(bench)
    bench.session.flush()
    assert bench.session.saved.kind == "saved"
    table, current, field = bench.session.table, bench.queue.current, bench.session.field
    camera = bench.viewer.scene.camera.zoom
    new = again(bench, make_napari_viewer, wait)
    assert new.session.table == table
    assert (new.queue.current, new.session.field) == (current, field)
    assert new.session.undoable == "label lymphocyte"
    assert new.viewer.scene.camera.zoom == pytest.approx(camera)
    new.actions.undo()
    assert sum(label is not None for label in labels(new)) == 1
    new.release()
    wait(new)


def test_a_second_window_on_the_same_slide_reads_only_and_says_so(
    analyzed, make_napari_viewer, wait
):
    bench = analyzed
    bench.session.flush()
    other = Workbench(make_napari_viewer())
    other.open_slide(bench.session.slide)
    wait(other)
    other.project.show_state()
    assert other.project.state.text() == "Read only"
    assert other.session.table == bench.session.table
    other.session.select(list(other.session.table)[:1])
    other.actions.label("monocyte")
    assert labels(other) == [None] * 6
    assert "another program" in other.status.text()
    other.release()
    wait(other)


def test_a_damaged_project_is_told_left_alone_and_its_backup_opened(analyzed, wait, monkeypatch):
    bench = analyzed
    path, slide = project_path(bench.session.slide), bench.session.slide
    bench.open_slide(slide)  # opening makes the backup
    wait(bench)
    table = bench.session.table
    bench.project._leave()
    path.write_bytes(b"")
    asked = []
    yes = QMessageBox.StandardButton.Yes
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[2]) or yes)
    bench.project._open_asked(path)
    wait(bench)
    assert "empty" in asked[0]
    (damaged,) = path.parent.glob("*.damaged-*.wbc")
    assert damaged.read_bytes() == b""
    assert bench.session.table == table


def test_without_a_usable_project_work_goes_on_and_red_letters_say_that_nothing_is_saved(
    bench, slide, wait, projects
):
    path = project_path(slide)
    projects.mkdir()
    path.write_bytes(b"not a project")
    bench.open_slide(slide)
    wait(bench)
    assert "no project" in bench.status.text()
    bench.analysis.run.click()
    wait(bench)
    bench.session.select(list(bench.session.table)[:1])
    bench.actions.label("monocyte")
    bench.project.show_state()
    assert bench.project.state.text() == "NOT SAVED"
    assert path.read_bytes() == b"not a project"


def test_moved_images_are_noticed_and_pointed_to(analyzed, make_napari_viewer, wait, tmp_path):
    bench = analyzed
    path, folder = project_path(bench.session.slide), bench.session.slide.fields[0].path.parent
    table = bench.session.table
    bench.release()
    wait(bench)
    shutil.move(folder, tmp_path / "elsewhere")
    new = Workbench(make_napari_viewer())
    new.open_project(path)
    wait(new)
    assert new.session.table == table
    assert not new.project.images.isHidden()
    new.project.point_to(tmp_path)
    assert "none of the slide's images" in new.status.text()
    new.project.point_to(tmp_path / "elsewhere")
    wait(new)
    assert new.project.images.isHidden()
    assert new.session.slide.fields[0].path.parent.name == "elsewhere"
    assert new.view.read(new.session.field).shape == (48, 64, 3)
    new.release()
    wait(new)


def test_a_cell_that_was_taken_out_is_not_found_again(analyzed, wait):
    bench = analyzed
    gone = next(iter(bench.session.table.values()))
    bench.session.select([gone.cell_id])
    bench.actions.delete()
    bench.analysis.run.click()
    wait(bench)
    assert len(bench.session.table) == 5
    boxes = [cell.detection.bbox for cell in bench.session.table.of_field(gone.fov_id)]
    assert gone.detection.bbox not in boxes


def test_a_drawn_cell_is_classified_at_once(analyzed, wait):
    bench = analyzed
    layer = bench.viewer.layers["cells"]
    layer.add_rectangles([np.array([[30, 5], [30, 15], [40, 15], [40, 5]])])
    wait(bench)
    drawn = [cell for cell in bench.session.table.values() if cell.detection.drawn]
    assert len(drawn) == 1
    assert drawn[0].prediction is not None


def draw(bench, top=30):
    """Draw a cell; returns its id."""
    before = set(bench.session.table)
    bench.viewer.layers["cells"].add_rectangles(
        [np.array([[top, 5], [top, 15], [top + 10, 15], [top + 10, 5]])]
    )
    (drawn,) = set(bench.session.table) - before
    return drawn


def test_a_label_between_drawing_and_prediction_is_taken_back_alone(analyzed, wait):
    bench = analyzed
    other = next(iter(bench.session.table))
    drawn = draw(bench)
    bench.actions.label("monocyte", [other])
    wait(bench)
    assert bench.session.table[drawn].prediction is not None
    bench.actions.undo()
    wait(bench)
    assert bench.session.table[drawn].prediction is None
    assert bench.session.table[other].label == "monocyte"
    assert bench.session.redoable == "classify drawn cells"


def test_undo_of_something_else_does_not_forget_the_cell_that_waits(analyzed, wait):
    bench = analyzed
    first, second = list(bench.session.table)[:2]
    drawn = draw(bench)
    bench.actions.label("monocyte", [first])
    bench.actions.undo()
    wait(bench)
    assert bench.session.redoable == "label monocyte", "it waits: its prediction would end redo"
    bench.actions.label("basophil", [second])
    wait(bench)
    assert bench.session.table[drawn].prediction is not None


def test_opening_a_project_classifies_nothing_and_keeps_redo(analyzed, make_napari_viewer, wait):
    bench = analyzed
    bench.analysis.at_once.setChecked(False)
    drawn = draw(bench)
    bench.actions.label("monocyte", [next(iter(bench.session.table))])
    bench.actions.undo()
    wait(bench)
    new = again(bench, make_napari_viewer, wait)
    QTest.qWait(2 * SETTLED_MS)
    wait(new)
    assert new.session.table[drawn].prediction is None
    assert new.session.redoable == "label monocyte"
    new.release()
    wait(new)


def test_a_slide_that_is_no_file_has_no_project(bench, viewer):
    assert project_path(bench.session.slide) is None
    layer = viewer.add_image(np.zeros((40, 40, 3), np.uint8), name="one")
    bench.open_layer(layer)
    assert bench.session.workspace is None
    bench.project.read_as("ben")
    assert bench.session.reading == ""


def test_a_project_that_is_dropped_into_the_window_is_opened(analyzed, make_napari_viewer, wait):
    bench = analyzed
    bench.actions.label("monocyte", list(bench.session.table)[:1])
    table, path = bench.session.table, project_path(bench.session.slide)
    bench.release()
    wait(bench)
    new = Workbench(make_napari_viewer())
    new.viewer.open(str(path), plugin="napari-wbc")
    wait(new)
    assert new.session.table == table
    new.release()
    wait(new)


def test_no_cell_is_judged_by_the_image_of_another_field(analyzed, wait, qtbot):
    bench = analyzed
    gate, read = threading.Event(), bench.view.read

    def slow(field):
        gate.wait(10)
        return read(field)

    bench.view.read = slow
    bench.loader.cancel()
    third = bench.session.table.of_field(bench.session.slide.fields[1].fov_id)[0]
    bench.session.select([third.cell_id])
    bench.follower.keys["3"]()
    assert "not on screen" in bench.status.text()
    assert labels(bench) == [None] * 6
    gate.set()
    wait(bench)
    bench.follower.keys["3"]()
    assert bench.session.table[third.cell_id].label == "basophil"


def test_a_field_that_cannot_be_read_shows_no_other_image(analyzed, wait):
    bench = analyzed

    def gone(_field):
        raise OSError("stale handle")

    bench.loader.cancel()
    bench.view.read = gone
    bench.fields.step(1)
    wait(bench)
    assert not bench.viewer.layers["slide"].data.any()
    assert "stale handle" in bench.status.text()


def test_a_shape_beside_the_image_is_no_cell(analyzed):
    bench = analyzed
    layer = bench.viewer.layers["cells"]
    layer.add_rectangles([np.array([[-50, -50], [-50, -40], [-40, -40], [-40, -50]])])
    assert len(bench.session.table) == 6
    assert len(layer.data) == 2
    before = layer.data[0].copy()
    layer.data = [before - 500, layer.data[1]]  # dragged off the image: it goes back
    bench.view.pull()
    assert len(bench.session.table) == 6
    assert any(np.allclose(points, before) for points in layer.data)


def test_images_side_by_side_have_projects_of_their_own(tmp_path):
    for name in ("x.png", "x.tif"):
        (tmp_path / name).write_bytes(b"image")
    one, other = (project_path(open_slide(tmp_path / name)) for name in ("x.png", "x.tif"))
    assert one != other


def test_a_slide_of_the_same_name_is_not_shown_by_the_images_of_another(analyzed, wait, tmp_path):
    bench = analyzed
    other = tmp_path / "other" / "slide"
    shutil.copytree(bench.session.slide.fields[0].path.parent, other)
    for file in other.iterdir():
        Image.fromarray(np.full((48, 64, 3), 9, np.uint8)).save(file)
    bench.queue_panel.start()
    wait(bench)
    bench.open_slide(open_slide(other))
    bench.fields.step(1)  # while the other is being opened
    wait(bench)
    assert bench.session.slide.fields[0].path.parent == other
    bench.fields.step(1)
    wait(bench)
    assert set(np.unique(bench.viewer.layers["slide"].data)) == {9}


def test_undo_takes_a_drawn_cell_with_its_prediction_and_ends_no_redo(analyzed, wait, qtbot):
    bench = analyzed
    before = bench.session.table
    layer = bench.viewer.layers["cells"]
    layer.add_rectangles([np.array([[30, 5], [30, 15], [40, 15], [40, 5]])])
    wait(bench)
    drawn = bench.session.table
    assert len(drawn) == len(before) + 1
    key = next(key for key in drawn if key not in before)
    bench.session.select([key])
    bench.actions.split()
    wait(bench)
    assert bench.session.undo() == "split"
    assert bench.session.undo() == "draw 1 cell"
    assert dict(bench.session.table) == dict(before)
    assert bench.session.redo() == "draw 1 cell"
    assert dict(bench.session.table) == dict(drawn)
    qtbot.wait(SETTLED_MS + 300)
    wait(bench)
    assert bench.session.redoable == "split"


def doubtful_steps(detector, image, progress):
    """One cell, and one on which the cell finders disagree."""
    yield progress
    sure, doubtful = detector.detect(image)
    text = "cell finders disagree: 1 against 12" if image.mean() < 100 else ""
    return Located((sure, replace(doubtful, candidate=True)), disagreement=text)


def test_candidates_are_shown_accepted_by_a_key_and_kept(
    bench, slide, wait, press, monkeypatch, make_napari_viewer
):
    monkeypatch.setattr("napari_wbc.pipeline.analyze.locate_steps", doubtful_steps)
    bench.open_slide(slide)
    wait(bench)
    assert bench.review.candidates.isHidden()
    bench.analysis.run.click()
    wait(bench)
    said = bench.status.text()
    assert "6 cells in 3 fields, 3 of them only candidates (not counted)" in said
    assert "network and colour disagree on 1 field" in said
    assert not bench.review.candidates.isHidden()
    assert "1 against 12" in bench.fields.item(0).toolTip()
    assert bench.viewer.layers.selection.active.name == "cells"
    sure, doubtful = bench.session.table.of_field(slide.fields[0].fov_id)
    bench.session.select([doubtful.cell_id])
    press(Qt.Key.Key_Y)
    assert bench.session.table[doubtful.cell_id].label == "basophil"
    assert bench.session.table.label_counts["candidate"] == 2
    press(Qt.Key.Key_Delete)
    bench.session.select([sure.cell_id])
    bench = again(bench, make_napari_viewer, wait)
    assert bench.session.table.label_counts["candidate"] == 2
    assert doubtful.cell_id not in bench.session.table
    assert "1 against 12" in bench.fields.item(0).toolTip()
    assert bench.fields.item(1).toolTip() == ""
    # A search finds the deleted one again; it stays away and is not counted.
    bench.analysis.run.click()
    wait(bench)
    assert bench.session.table.label_counts["candidate"] == 2
    assert "5 cells in 3 fields, 2 of them only candidates" in bench.status.text()
    bench.release()
    wait(bench)


def test_only_candidates_are_queued_where_they_are_chosen(analyzed, wait):
    bench = analyzed
    (first, *_others) = bench.session.table.values()
    detection = replace(first.detection, candidate=True)
    table = bench.session.table.with_cells([replace(first, detection=detection)])
    bench.session.commit(table, "analyze", "model")
    bench.queue_panel.label.setCurrentText("candidate")
    bench.queue_panel.start()
    wait(bench)
    assert bench.queue.ids == (first.cell_id,)
    assert "candidate (not counted)" in bench.review._selection.text()


@pytest.mark.parametrize("goes_on", [True, False])
def test_the_project_of_a_renamed_folder_is_found_and_asked_for(
    analyzed, make_napari_viewer, wait, tmp_path, monkeypatch, goes_on
):
    bench = analyzed
    path, folder = project_path(bench.session.slide), bench.session.slide.fields[0].path.parent
    table = bench.session.table
    bench.release()
    wait(bench)
    folder = shutil.move(folder, tmp_path / "another name")
    asked = []
    answer = QMessageBox.StandardButton.Yes if goes_on else QMessageBox.StandardButton.No
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[2]) or answer)
    new = Workbench(make_napari_viewer())
    new.open_slide(open_slide(folder))
    wait(new)
    (question,) = asked
    assert "another name have a project, from when they were in" in question
    assert (new.project.path == path) == goes_on
    assert (new.session.table == table) == goes_on
    assert new.view.read(new.session.field).shape == (48, 64, 3)
    new.release()
    wait(new)


def test_a_renamed_folder_stays_with_its_project_and_never_with_the_backup(
    analyzed, make_napari_viewer, wait, tmp_path, monkeypatch
):
    bench = analyzed
    slide = bench.session.slide
    path, folder = project_path(slide), slide.fields[0].path.parent
    bench.release()
    wait(bench)
    yes = QMessageBox.StandardButton.Yes
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[2]) or yes)
    # The second opening makes a backup, which lacks the label that is given after it.
    again = Workbench(make_napari_viewer())
    again.open_slide(slide)
    wait(again)
    again.actions.label("basophil", list(again.session.table)[:1])
    table = again.session.table
    again.release()
    wait(again)
    assert backup_of(path).exists()
    folder = shutil.move(folder, tmp_path / "another name")
    for _ in range(2):
        new = Workbench(make_napari_viewer())
        new.open_slide(open_slide(folder))
        wait(new)
        assert new.project.path == path
        assert new.session.table == table
        new.release()
        wait(new)
    assert len(asked) == 1


def test_the_project_of_one_image_is_not_that_of_its_folder(bench, slide, folder, wait):
    bench.open_slide(open_slide(folder / "field-0.png"))
    wait(bench)
    bench.analysis.run.click()
    wait(bench)
    bench.open_slide(slide)
    wait(bench)
    assert bench.session.slide.name == "slide"
    assert not bench.session.table
