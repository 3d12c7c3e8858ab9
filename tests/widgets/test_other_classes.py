"""The workbench with other classes than it began with."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from qtpy.QtWidgets import QMessageBox

from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress
from napari_wbc.model.taxonomy import EIGHT_CLASSES, FIVE_CLASSES
from napari_wbc.model.taxonomy_dict import grown
from napari_wbc.session.opening import project_path
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import create_workspace, open_workspace
from napari_wbc.widgets.review.key_choice import KeysDialog
from napari_wbc.widgets.workbench import Workbench


@pytest.fixture
def docked(viewer):
    """The workbenches that are docked."""
    return lambda: viewer.window._qt_window.findChildren(Workbench)


@pytest.fixture
def bench(open_bench, detector, docked, wait):
    """A workbench that another one may take the place of."""
    yield open_bench()
    for one in docked():
        one.release()
        wait(one)


@pytest.fixture
def there(docked, qtbot):
    """The workbench that is docked, once it is another than the one given."""

    def find(other):
        def others():
            return [one for one in docked() if one is not other and not one.busy]

        qtbot.waitUntil(lambda: bool(others()), timeout=20_000)
        return others()[0]

    return find


def add(taxonomy, name):
    """What the dialog gives after a class was added."""
    dialog = KeysDialog(taxonomy)
    dialog.new.setText(name)
    dialog.accept()
    return dialog


def test_a_class_is_added_to_the_open_project_and_cells_get_it(bench, slide, wait, there):
    bench.open_slide(slide)
    wait(bench)
    cell = Cell("c", slide.fields[0].fov_id, Detection(BBox(5, 5, 20, 20)))
    bench.session.commit(bench.session.table.with_cells([cell]), "draw")
    dialog = add(bench.session.taxonomy, "hairy cell")
    bench.use_classes(dialog.taxonomy)
    fresh = there(bench)
    assert fresh.session.taxonomy.names == (*EIGHT_CLASSES.names, "hairy cell")
    assert list(fresh.session.table) == ["c"]
    assert "hairy cell" in fresh.review.labels
    assert fresh.session.taxonomy.keys["H"] == "hairy cell"
    assert sorted(layer.name for layer in fresh.viewer.layers) == [
        "cells",
        "dark outlines",
        "slide",
    ]
    fresh.actions.label("hairy cell", ["c"])
    assert fresh.session.table["c"].label == "hairy cell"
    path = fresh.project.path
    fresh.release()
    workspace = open_workspace(path, read_only=True)
    assert workspace.taxonomy.names[-1] == "hairy cell"
    assert workspace.table(slide.name)["c"].label == "hairy cell"
    workspace.close()


def test_a_name_that_is_there_is_refused_in_the_dialog(bench):
    dialog = add(bench.session.taxonomy, "monocyte")
    assert "monocyte is a class" in dialog.wrong.text()


def test_cells_in_memory_keep_their_classes(bench, viewer, qtbot, wait):
    bench.session.commit(
        bench.session.table.with_cells([Cell("c", "f", Detection(BBox(5, 5, 20, 20)))]), "draw"
    )
    bench.use_keys(bench.session.taxonomy)
    with pytest.raises(Exception, match="in memory only"):
        bench.use_classes(grown(bench.session.taxonomy, ["blast"]))


def test_a_project_of_other_classes_brings_them(bench, slide, tmp_path, there):
    path = tmp_path / "five.wbc"
    workspace, session = create_workspace(path, FIVE_CLASSES), Session(FIVE_CLASSES)
    session.open(slide, workspace)
    cell = Cell(
        "c", slide.fields[0].fov_id, Detection(BBox(5, 5, 20, 20)), None, Annotation("monocyte")
    )
    session.commit(session.table.with_cells([cell]), "draw")
    session.close()
    workspace.close()
    bench.open_project(path)
    fresh = there(bench)
    assert fresh.session.taxonomy.names == FIVE_CLASSES.names
    assert fresh.session.table["c"].label == "monocyte"
    assert fresh.project.path == path


def test_a_field_that_is_new_in_the_folder_of_a_project_of_other_classes_is_shown(
    bench, slide, there
):
    workspace = create_workspace(project_path(slide), FIVE_CLASSES)
    workspace.put_slide(replace(slide, fields=slide.fields[:2]))
    workspace.close()
    bench.train.sets.old.addItem("/some/old")
    bench.open_slide(slide)
    fresh = there(bench)
    assert fresh.session.taxonomy.names == FIVE_CLASSES.names
    assert fresh.session.slide.fields == slide.fields
    assert fresh.train.sets.old_sets() == ["/some/old"]


def test_work_that_is_under_way_is_ended_by_other_classes_only_after_asking(
    bench, slide, tmp_path, wait, qtbot, there, monkeypatch
):
    bench.open_slide(slide)
    wait(bench)

    def steps():
        while True:
            time.sleep(0.01)  # as training does, it leaves the window its turn
            yield Progress("training", 0, 0)

    asked = []

    def question(_parent, _title, text):
        asked.append(text)
        return QMessageBox.StandardButton.No if len(asked) < 3 else QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", question)
    bench.train.jobs.start(steps, lambda _result: None)
    bench.use_classes(grown(bench.session.taxonomy, ["blast"]))
    workspace = create_workspace(tmp_path / "five.wbc", FIVE_CLASSES)
    workspace.put_slide(slide)
    workspace.close()
    for times in (2, 3):
        bench.open_project(tmp_path / "five.wbc")
        qtbot.waitUntil(lambda times=times: len(asked) == times, timeout=20_000)
        if times == 2:
            assert bench.train.busy
            qtbot.waitUntil(
                lambda: not (bench.project.busy or bench.project.opening), timeout=20_000
            )
            assert bench.session.slide == slide
            assert bench.session.taxonomy.names == EIGHT_CLASSES.names
    assert there(bench).session.taxonomy.names == FIVE_CLASSES.names


def test_the_detector_stays_as_it_was_set(bench, slide, wait, there):
    bench.detector._pick("hsv")
    bench.detector.tuning[0].value = 0
    before = bench.detector.value()
    bench.open_slide(slide)
    wait(bench)
    bench.use_classes(grown(bench.session.taxonomy, ["blast"]))
    assert there(bench).detector.value() == before


@pytest.mark.parametrize(("name", "key"), [("Übergangszelle", "G"), ("ядро", "")])
def test_a_class_of_any_letters_is_added(bench, name, key):
    taxonomy = add(bench.session.taxonomy, name).taxonomy
    assert taxonomy.names[-1] == name
    assert taxonomy.classes[-1].key in (key, "B")
