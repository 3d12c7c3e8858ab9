from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image
from napari.utils._proxies import PublicOnlyProxy
from PIL import Image as PillowImage
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_wbc.contrib.reader import get_reader
from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress
from napari_wbc.session.session import Session
from napari_wbc.widgets.workbench import Workbench

SIGNALS = ("changed", "field_changed", "slide_changed")


def receivers(session):
    return {name: len(getattr(session, name)) for name in SIGNALS}


def analyzed(bench, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    bench.analysis.run.click()
    wait(bench)
    return bench.session.table


def labels(bench, i=0):
    fov = bench.session.slide.fields[i].fov_id
    return [cell.label for cell in bench.session.table.of_field(fov)]


def press(qtbot, viewer, key, modifier=Qt.KeyboardModifier.NoModifier):
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)


def test_opening_changes_nothing(viewer, detector, wait):
    image = viewer.add_image(np.zeros((40, 50)), name="one")
    state = viewer.scene.camera.center, viewer.title, viewer.layers.selection.active
    session = Session()
    bench = Workbench(viewer, session)
    assert list(viewer.layers) == [image]
    assert (viewer.scene.camera.center, viewer.title, viewer.layers.selection.active) == state
    assert session.slide.fields == ()
    assert not bench.busy
    bench.close()


@pytest.mark.parametrize("way", ["folder", "layer"])
def test_files_that_are_left_out_are_named(bench, tmp_path, wait, way):
    folder = tmp_path / "left"
    folder.mkdir()
    PillowImage.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(folder / "a.png")
    (folder / "b.czi").write_bytes(b"something")
    if way == "folder":
        bench.open_slide(open_slide(folder))
    else:
        data, settings, _kind = get_reader(str(folder))(str(folder))[0]
        bench.viewer.add_image(data, **settings)
    wait(bench)
    note = "left: 1 field; left out, as they cannot be read: b.czi. Save them as PNG or TIFF."
    assert bench.status.text() == note


def test_viewer_is_given_as_a_proxy(bench):
    assert isinstance(bench.viewer, PublicOnlyProxy)


@pytest.mark.parametrize("way", ["dock", "viewer", "widget"])
def test_closing_lets_go_of_everything(make_napari_viewer, detector, qtbot, slide, wait, way):
    viewer = make_napari_viewer()
    viewer.bind_key("1", lambda _viewer: None)
    keys, receivers_before = dict(viewer.keymap), len(viewer.layers.events.inserted.callbacks)
    session = Session()
    bench = Workbench(viewer, session)
    dock = viewer.window.add_dock_widget(bench, name="WBC")
    analyzed(bench, slide, wait)
    layer, clock = viewer.layers["cells"], bench._clock
    key = next(iter(session.table))
    layer.features.loc[0, "label"] = "monocyte"
    gone: list[str] = []
    bench.destroyed.connect(lambda: gone.append("bench"))
    clock.destroyed.connect(lambda: gone.append("clock"))
    if way == "dock":
        dock.destroyOnClose()
    elif way == "viewer":
        viewer.close()
    else:
        bench.close()
        dock.destroyOnClose()
    qtbot.waitUntil(lambda: set(gone) == {"bench", "clock"})
    assert session.table[key].label == "monocyte"
    assert receivers(session) == dict.fromkeys(SIGNALS, 0)
    assert viewer.keymap == keys
    assert layer.keymap == {}
    session.undo()
    if way != "viewer":
        assert len(viewer.layers.events.inserted.callbacks) == receivers_before
        assert [layer.name for layer in viewer.layers] == ["slide", "dark outlines", "cells"]


def test_release_twice(bench):
    bench.release()
    bench.release()


@pytest.mark.parametrize("what", ["analysis", "reading"])
def test_viewer_closed_while_work_is_under_way(
    make_napari_viewer, detector, qtbot, slide, wait, what
):
    viewer, gate, went_on = make_napari_viewer(), threading.Event(), threading.Event()
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, name="WBC")

    def hold(_argument):
        gate.wait(20)
        went_on.set()
        return np.zeros((48, 64, 3), np.uint8)

    if what == "reading":
        bench.view.read = hold
        bench.open_slide(slide)
        qtbot.waitUntil(lambda: bench.session.field is not None)
    else:
        bench.open_slide(slide)
        wait(bench)
        detector.before = hold
        bench.analysis.run.click()
    gone: list[bool] = []
    bench.destroyed.connect(lambda: gone.append(True))
    viewer.close()
    qtbot.waitUntil(lambda: bool(gone))
    gate.set()
    qtbot.waitUntil(went_on.is_set)
    qtbot.wait(50)
    assert len(bench.session.table) == 0


def test_folder_dropped_into_the_viewer_is_a_slide(bench, viewer, folder, wait):
    viewer.open(str(folder), plugin="napari-wbc")
    wait(bench)
    assert [bench.fields.item(i).text() for i in range(3)] == [f"field-{i}.png" for i in range(3)]
    assert [layer.name for layer in viewer.layers] == ["slide", "cells"]
    assert viewer.layers.selection.active is viewer.layers["cells"]
    assert "3 fields" in bench.status.text()
    bench.fields.setCurrentRow(1)
    wait(bench)
    assert viewer.layers["slide"].data.max() == 120
    assert bench.view.image_layer is viewer.layers["slide"]


def test_folder_chosen_by_button(bench, folder, wait, monkeypatch):
    for answer, fields in (("", 0), (str(folder), 3), (str(folder / "none"), 3)):
        monkeypatch.setattr(
            QFileDialog, "getExistingDirectory", lambda *_args, answer=answer: answer
        )
        bench._open_folder.click()
        wait(bench)
        assert bench.fields.count() == fields
    assert "no such file or folder" in bench.status.text()


def test_analyze_without_an_image(bench):
    assert not bench.analysis.run.isEnabled()
    assert "No slide is open" in bench.analysis.run.toolTip()
    assert not bench._use_image.isEnabled()
    assert "No image is open" in bench._use_image.toolTip()
    assert not bench.busy


def test_analyze_takes_the_open_image(bench, viewer, wait):
    viewer.add_image(np.full((48, 64, 3), 99, np.uint8), name="one")
    viewer.add_labels(np.zeros((48, 64), int), name="mask")
    bench.analysis.run_field.click()
    wait(bench)
    assert bench.session.slide.name == "one"
    assert len(bench.session.table) == 2
    assert bench.view.image_layer is viewer.layers["one"]


def test_use_open_image_takes_the_selected_one(bench, viewer, wait):
    first = viewer.add_image(np.full((48, 64), 99, np.uint8), name="first")
    viewer.add_image(np.zeros((3, 48, 64)), name="stack")
    bench._use_image.click()
    assert "stack" in bench.status.text()
    viewer.layers.selection.active = first
    bench._use_image.click()
    wait(bench)
    assert bench.session.slide.name == "first"


def test_analyze_slide(bench, viewer, slide, wait):
    table = analyzed(bench, slide, wait)
    assert len(table) == 6
    assert labels(bench) == ["lymphocyte", "basophil"]
    assert len(viewer.layers["cells"].data) == 2
    counts = {
        bench.counts.item(i, 0).text(): bench.counts.item(i, 1).text()
        for i in range(bench.counts.rowCount())
    }
    assert (counts["lymphocyte"], counts["basophil"], counts["leukocytes"]) == ("3", "3", "6")
    assert "(2)" in bench.fields.item(0).text()
    assert bench.status.text() == "6 cells in 3 fields"
    assert bench.analysis.run.isEnabled()
    assert not bench.jobs.cancel_button.isEnabled()


def test_analyze_this_field(bench, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    bench.session.show_field(slide.fields[1].fov_id)
    bench.analysis.run_field.click()
    wait(bench)
    assert {cell.fov_id for cell in bench.session.table.values()} == {slide.fields[1].fov_id}


def test_analyze_again_keeps_what_people_said(bench, slide, wait):
    table = analyzed(bench, slide, wait)
    first = next(iter(table.values()))
    bench.session.commit(table.with_cells([first.annotated(Annotation("monocyte"))]), "label")
    bench.analysis.run.click()
    wait(bench)
    assert len(bench.session.table) == 6
    assert bench.session.table[first.cell_id].label == "monocyte"


def test_analysis_of_a_slide_that_was_left_is_dropped(bench, slide, folder, detector, qtbot, wait):
    bench.open_slide(slide)
    wait(bench)
    gate = threading.Event()
    detector.before = lambda _image: gate.wait(20)
    bench.analysis.run.click()
    bench.open_slide(type(slide)("other", slide.fields[:1]))
    gate.set()
    wait(bench)
    assert len(bench.session.table) == 0
    assert bench.analysis.run.isEnabled()


def test_unreadable_field_is_told_and_the_others_are_analyzed(bench, viewer, slide, folder, wait):
    (folder / "field-1.png").write_bytes(b"no image")
    assert len(analyzed(bench, slide, wait)) == 4
    assert "1 file failed" in bench.status.text()
    assert "field-1.png" in bench.status.text()
    bench.session.show_field(slide.fields[1].fov_id)
    wait(bench)
    assert "field-1.png" in bench.status.text()
    assert viewer.layers["slide"].data.max() == 0


def test_cancel_leaves_the_table_as_it_was(bench, slide, detector, qtbot, wait):
    table = analyzed(bench, slide, wait)
    gate, seen = threading.Event(), threading.Event()

    def hold(_image):
        seen.set()
        gate.wait(20)

    detector.before = hold
    bench.analysis.run.click()
    assert not bench.analysis.run.isEnabled()
    assert bench.jobs.cancel_button.isEnabled()
    qtbot.waitUntil(seen.is_set)
    bench.jobs.cancel_button.click()
    gate.set()
    wait(bench)
    assert bench.session.table is table
    assert bench.status.text() == "Cancelled."
    assert bench.analysis.run.isEnabled()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
        (WbcError("No CUDA device found here."), "No CUDA device found here."),
        (ValueError("7"), "ValueError: 7"),
    ],
)
def test_failed_analysis_is_told_and_the_workbench_goes_on(
    bench, slide, detector, wait, error, message
):
    def fail(_image):
        raise error

    detector.before = fail
    assert len(analyzed(bench, slide, wait)) == 0
    assert bench.status.text() == message
    detector.before = lambda _image: None
    bench.analysis.run.click()
    wait(bench)
    assert len(bench.session.table) == 6


def test_bad_parameters_are_told(bench, slide, wait, monkeypatch):
    bench.open_slide(slide)
    wait(bench)

    def refuse(*_args, **_device):
        raise WbcError("No such preset.")

    monkeypatch.setattr("napari_wbc.pipeline.locate.make_detector", refuse)
    bench.analysis.run.click()
    wait(bench)
    assert bench.status.text() == "No such preset."
    assert bench.analysis.run.isEnabled()


def test_keys(bench, viewer, slide, qtbot, wait):
    analyzed(bench, slide, wait)
    cells = viewer.layers["cells"]
    viewer.layers.selection.active = cells
    mode = cells.mode
    first, second = bench.session.table.of_field(slide.fields[0].fov_id)
    bench.session.select([second.cell_id])
    for key, label in bench.session.taxonomy.keys.items():
        press(qtbot, viewer, getattr(Qt.Key, f"Key_{key}"))
        assert labels(bench) == ["lymphocyte", label]
        assert bench.view.selected() == (second.cell_id,)
    assert cells.mode == mode
    assert bench.session.table[first.cell_id] is first
    press(qtbot, viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert labels(bench)[1] == list(bench.session.taxonomy.keys.values())[-2]
    assert bench.status.text().startswith("Undone: label")
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    press(qtbot, viewer, Qt.Key.Key_Z, both)
    assert labels(bench)[1] == "not classed"
    for key, row in (
        (Qt.Key.Key_PageDown, 1),
        (Qt.Key.Key_PageDown, 2),
        (Qt.Key.Key_PageDown, 2),
        (Qt.Key.Key_PageUp, 1),
    ):
        press(qtbot, viewer, key)
        assert bench.fields.currentRow() == row
    wait(bench)
    table = bench.session.table
    bench.release()
    for key in (Qt.Key.Key_1, Qt.Key.Key_PageDown):
        press(qtbot, viewer, key)
    press(qtbot, viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert bench.session.table is table


def test_keys_work_while_another_layer_is_active(bench, viewer, slide, qtbot, wait):
    analyzed(bench, slide, wait)
    bench.session.select([bench.session.table.of_field(slide.fields[0].fov_id)[1].cell_id])
    viewer.layers.selection.active = viewer.layers["slide"]
    press(qtbot, viewer, Qt.Key.Key_4)
    assert labels(bench) == ["lymphocyte", "lymphocyte"]


def test_label_without_a_selection(bench, slide, qtbot, viewer, wait):
    table = analyzed(bench, slide, wait)
    press(qtbot, viewer, Qt.Key.Key_2)
    assert bench.session.table is table
    assert "Select a cell first" in bench.status.text()


def test_keys_follow_a_new_cells_layer(bench, viewer, slide, qtbot, wait):
    analyzed(bench, slide, wait)
    old = viewer.layers["cells"]
    viewer.layers.remove(old)
    bench.analysis.run.click()
    wait(bench)
    assert viewer.layers["cells"] is not old
    assert old.keymap == {}
    viewer.layers.selection.active = viewer.layers["cells"]
    viewer.layers["cells"].selected_data = {0}
    press(qtbot, viewer, Qt.Key.Key_2)
    assert labels(bench)[0] == "eosinophil"


def test_drawn_shape_is_labelled_at_once(bench, viewer, slide, qtbot, wait):
    bench.open_slide(slide)
    wait(bench)
    cells = viewer.layers["cells"]
    cells.add(np.array([[1, 1], [1, 9], [9, 9], [9, 1]]), shape_type="ellipse")
    cells.selected_data = {0}
    press(qtbot, viewer, Qt.Key.Key_2)
    assert labels(bench) == ["eosinophil"]


def test_undo_takes_a_late_edit_of_the_features_table_back(bench, viewer, slide, wait):
    analyzed(bench, slide, wait)
    viewer.layers["cells"].features.loc[0, "label"] = "monocyte"
    bench.review.undo.click()
    assert labels(bench)[0] == "lymphocyte"
    bench.review.redo.click()
    assert labels(bench)[0] == "monocyte"


def test_clock_reads_the_layer(bench, viewer, slide, qtbot, wait):
    analyzed(bench, slide, wait)
    viewer.layers["cells"].features.loc[0, "label"] = "monocyte"
    bench._clock.setInterval(10)
    qtbot.waitUntil(lambda: labels(bench)[0] == "monocyte")


def test_row_of_the_counts_selects_its_cells(bench, viewer, slide, qtbot, wait):
    table = analyzed(bench, slide, wait)
    third = table.of_field(slide.fields[2].fov_id)[0]
    bench.session.commit(table.with_cells([third.annotated(Annotation("monocyte"))]), "label")
    rows = {bench.counts.item(i, 0).text(): i for i in range(bench.counts.rowCount())}

    def click(name):
        item = bench.counts.item(rows[name], 0)
        bench.counts.scrollToItem(item)
        place = bench.counts.visualItemRect(item).center()
        qtbot.mouseClick(bench.counts.viewport(), Qt.MouseButton.LeftButton, pos=place)
        wait(bench)

    click("basophil")
    assert [table[key].label for key in bench.view.selected()] == ["basophil"]
    click("monocyte")
    assert bench.session.field == slide.fields[2]
    assert bench.view.selected() == (third.cell_id,)
    assert "1 cell in 1 field" in bench.status.text()
    # Neither the sum nor the row of classes without cells is a label.
    for name in ("leukocytes", bench.counts.item(bench.counts.rowCount() - 1, 0).text()):
        click(name)
        assert bench.view.selected() == (third.cell_id,)


def test_preview_follows_the_sliders_and_the_field(
    bench, viewer, slide, detector, wait, monkeypatch
):
    bench.open_slide(slide)
    wait(bench)
    asked: list[dict[str, float]] = []

    def make(_name, _preset, parameters, **_device):
        asked.append(dict(parameters))
        return detector

    monkeypatch.setattr("napari_wbc.pipeline.locate.make_detector", make)
    seen: list[int] = []
    detector.before = lambda image: seen.append(int(image.max()))
    bench.detector.preview.setChecked(True)
    wait(bench)
    assert len(viewer.layers["preview"].data) == 2
    assert len(bench.session.table) == 0
    slider = bench.detector.tuning[0]
    slider.value = slider.max
    wait(bench)
    assert asked[-1][slider.name] == slider.max != asked[0][slider.name]
    bench.session.show_field(slide.fields[2].fov_id)
    wait(bench)
    assert seen[-1] == 180
    bench.detector.preview.setChecked(False)
    wait(bench)
    assert "preview" not in viewer.layers


def test_preview_that_fails_is_told(bench, slide, detector, wait):
    bench.open_slide(slide)
    wait(bench)

    def fail(_image):
        raise RuntimeError("broken")

    detector.before = fail
    bench.detector.preview.setChecked(True)
    wait(bench)
    assert bench.status.text() == "RuntimeError: broken"


def test_preview_without_a_slide(bench, viewer):
    bench.detector.preview.setChecked(True)
    assert len(viewer.layers) == 0


def test_classify_drawn_cells(bench, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    drawn = Cell.new(slide.fields[1].fov_id, Detection(BBox(2, 2, 12, 12)))
    bench.session.commit(bench.session.table.with_cells([drawn]), "draw")
    bench.analysis.classify.click()
    wait(bench)
    assert bench.session.table[drawn.cell_id].label == "lymphocyte"
    assert bench.status.text() == "1 cell classified"


def test_what_was_said_while_cells_were_classified_is_kept(
    bench, slide, detector, wait, monkeypatch
):
    bench.open_slide(slide)
    wait(bench)
    fov = slide.fields[0].fov_id
    cells = [Cell.new(fov, Detection(BBox(i, i, i + 9, i + 9))) for i in (1, 11, 21)]
    bench.session.commit(bench.session.table.with_cells(cells), "draw")
    gate, read = threading.Event(), bench.view.read

    def hold(field):
        gate.wait(20)
        return read(field)

    monkeypatch.setattr(bench.view, "read", hold)
    bench.analysis.classify.click()
    table = bench.session.table.without([cells[2].cell_id])
    moved = cells[1].moved(Detection(BBox(30, 30, 40, 40)))
    bench.session.commit(
        table.with_cells([cells[0].annotated(Annotation("monocyte")), moved]), "meanwhile"
    )
    gate.set()
    wait(bench)
    now = bench.session.table
    assert list(now) == [cells[0].cell_id, cells[1].cell_id]
    assert now[cells[0].cell_id].label == "monocyte"
    assert now[cells[0].cell_id].prediction is not None
    assert now[cells[1].cell_id] == moved


def test_window_lives_while_a_slide_is_analyzed(bench, slide, detector, qtbot, wait):
    bench.open_slide(slide)
    wait(bench)
    beats: list[bool] = []
    heart = QTimer()
    heart.timeout.connect(lambda: beats.append(bench.jobs.running))
    gate = threading.Event()
    detector.before = lambda _image: gate.wait(20)
    heart.start(5)
    bench.analysis.run.click()
    qtbot.waitUntil(lambda: sum(beats) >= 3)
    gate.set()
    wait(bench)
    heart.stop()
    assert len(bench.session.table) == 6


def test_synthetic_smear_with_the_shipped_detector(make_napari_viewer, wait):
    viewer = make_napari_viewer()
    bench = Workbench(viewer)
    viewer.add_layer(Image(synthetic_smear(0, n_leukocytes=5).image, name="smear"))
    bench.detector.preview.setChecked(True)
    bench._use_image.click()
    wait(bench)
    assert 3 <= len(viewer.layers["preview"].data) <= 7
    bench.close()


def test_steps_are_shown(bench, slide, qtbot, wait, monkeypatch):
    gate = threading.Event()

    def steps(*_args, **_kwargs):
        yield Progress("halfway", 1, 2)
        gate.wait(20)
        raise WbcError("enough")

    monkeypatch.setattr("napari_wbc.widgets.analysis.analysis.analyze_fields_steps", steps)
    bench.open_slide(slide)
    wait(bench)
    bench.analysis.run.click()
    qtbot.waitUntil(lambda: bench.jobs.bar.format() == "halfway %v / %m")
    assert (bench.jobs.bar.value(), bench.jobs.bar.maximum()) == (1, 2)
    gate.set()
    wait(bench)
    assert bench.status.text() == "enough"


def test_export_writes_the_reviewed_slide(bench, slide, wait, tmp_path):
    bench.open_slide(slide)
    wait(bench)
    bench.analysis.run.click()
    wait(bench)
    bench.session.select([bench.session.table.of_field(slide.fields[0].fov_id)[0].cell_id])
    bench.actions.label("monocyte")
    bench.analysis.export_to(tmp_path / "out")
    wait(bench)
    cells = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert (cells["label_source"] == "annotation").sum() == 1
    assert cells.loc[cells["label_source"] == "annotation", "label"].tolist() == ["monocyte"]
    assert len(list((tmp_path / "out" / "overlays").rglob("*.png"))) == len(slide.fields)
    assert "written" in bench.status.text()


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_another_slide_is_opened_over_what_is_not_saved_only_after_asking(
    bench, viewer, slide, wait, monkeypatch, answer
):
    layer = viewer.add_image(np.full((48, 64, 3), 90, np.uint8), name="no file")
    bench.open_layer(layer)
    wait(bench)
    bench.analysis.run.click()
    wait(bench)
    bench.session.select([next(iter(bench.session.table))])
    bench.actions.label("monocyte")
    asked = []
    button = QMessageBox.StandardButton[answer]
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args) or button)
    bench.open_slide(slide)
    wait(bench)
    assert len(asked) == 1
    assert bench.session.slide.name == (slide.name if answer == "Yes" else "no file")
