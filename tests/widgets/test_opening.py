"""What the menu opens: a light widget that loads the workbench and says what is missing."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
from tests.widgets.conftest import FakeDetector

from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.widgets import opening
from napari_wbc.widgets.opening import WorkbenchDock

LIGHT = """
import sys
import napari_wbc.widgets.opening
heavy = {"torch", "torchvision", "pandas", "sqlalchemy", "skimage", "scipy", "cv2"}
heavy |= {"matplotlib", "sklearn"}
print(sorted(heavy & set(sys.modules)))
import napari_wbc.widgets.workbench
import napari_wbc.pipeline.finetune, napari_wbc.pipeline.training
heavy = {"torch", "torchvision", "lightning_fabric", "captum", "matplotlib", "sklearn", "triton"}
print(sorted(heavy & set(sys.modules)))
"""


def test_nothing_heavy_is_imported_to_open_the_workbench_nor_by_the_verbs_before_they_run():
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, check=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_it_says_that_it_is_loading_and_then_holds_the_workbench(
    viewer, detector, qtbot, monkeypatch
):
    gate, steps = threading.Event(), opening._load_workbench_steps

    def slowly():
        gate.wait(20)
        return (yield from steps())

    monkeypatch.setattr(opening, "_load_workbench_steps", slowly)
    _dock, shell = viewer.window.add_plugin_dock_widget("napari-wbc", "Workbench")
    assert isinstance(shell, WorkbenchDock)
    assert shell.bench is None
    assert shell.loading
    assert "Opening the workbench" in shell._text.text()
    with qtbot.waitSignal(shell.opened, timeout=60_000) as opened:
        gate.set()
    assert opened.args == [shell.bench]
    assert shell.bench.parent() is shell
    assert not shell._text.isVisibleTo(shell)
    qtbot.waitUntil(lambda: not shell.loading, timeout=60_000)
    shell.bench.release()


def test_what_is_wrong_with_pytorch_is_said_at_once(viewer, detector, qtbot, monkeypatch):
    monkeypatch.setattr(opening, "torch_fault", lambda: "torch is not installed")
    _dock, shell = viewer.window.add_plugin_dock_widget("napari-wbc", "Workbench")
    qtbot.waitUntil(lambda: shell.bench is not None and not shell.loading, timeout=60_000)
    assert "PyTorch cannot be loaded: torch is not installed" in shell.bench.status.text()
    shell.bench.release()


def test_a_workbench_that_cannot_be_loaded_says_why(viewer, qtbot, monkeypatch):
    monkeypatch.setattr(opening, "WORKBENCH", "napari_wbc.widgets.nowhere")
    _dock, shell = viewer.window.add_plugin_dock_widget("napari-wbc", "Workbench")
    qtbot.waitUntil(lambda: not shell.loading, timeout=60_000)
    assert shell.bench is None
    assert "cannot be opened" in shell._text.text()
    assert "nowhere" in shell._text.text()


def test_closed_while_it_is_loading(viewer, detector, qtbot, monkeypatch):
    gate, made, steps = threading.Event(), [], opening._load_workbench_steps

    def slowly():
        gate.wait(20)
        return (yield from steps())

    monkeypatch.setattr(opening, "_load_workbench_steps", slowly)
    monkeypatch.setattr(WorkbenchDock, "_show", lambda *_args: made.append(True))
    dock, shell = viewer.window.add_plugin_dock_widget("napari-wbc", "Workbench")
    gone = []
    shell.destroyed.connect(lambda: gone.append(True))
    dock.destroyOnClose()
    gate.set()
    qtbot.waitUntil(lambda: bool(gone), timeout=60_000)
    qtbot.wait(200)
    assert made == []


def test_what_cannot_be_loaded_in_the_background_is_said(viewer, detector, qtbot, monkeypatch):
    monkeypatch.setattr(opening, "NEXT", ("napari_wbc.nowhere",))
    _dock, shell = viewer.window.add_plugin_dock_widget("napari-wbc", "Workbench")
    qtbot.waitUntil(lambda: shell.bench is not None and not shell.loading, timeout=60_000)
    assert "nowhere" in shell.bench.status.text()
    shell.bench.release()


def close(viewer, qtbot):
    shells = viewer.window._qt_window.findChildren(WorkbenchDock)
    gone = []
    shells[0].destroyed.connect(lambda: gone.append(True))
    parent = shells[0].parentWidget()
    while not hasattr(parent, "destroyOnClose"):
        parent = parent.parentWidget()
    parent.destroyOnClose()
    qtbot.waitUntil(lambda: bool(gone), timeout=20_000)


def test_after_closing_and_reopening_the_slide_is_there_and_edits_reach_it(
    viewer, detector: FakeDetector, open_bench, qtbot, slide, wait
):
    bench = open_bench()
    bench.open_slide(slide)
    wait(bench)
    bench.analysis.run.click()
    wait(bench)
    bench.session.show_field(slide.fields[1].fov_id)
    wait(bench)
    before = dict(bench.session.table)
    close(viewer, qtbot)
    assert [layer.name for layer in viewer.layers] == ["slide", "dark outlines", "cells"]
    assert not viewer.layers["cells"].editable
    bench = open_bench()
    wait(bench)
    assert [layer.name for layer in viewer.layers] == ["slide", "dark outlines", "cells"]
    assert dict(bench.session.table) == before
    assert bench.session.field.fov_id == slide.fields[1].fov_id
    cells = viewer.layers["cells"]
    assert cells.editable
    cells.features.loc[0, "label"] = "monocyte"
    bench.view.pull()
    assert bench.session.table[cells.features.loc[0, "cell_id"]].label == "monocyte"
    bench.release()
    wait(bench)


def test_cells_of_an_image_that_is_no_file_are_there_again_with_their_undo(
    viewer, detector: FakeDetector, open_bench, qtbot, wait
):
    viewer.add_image(np.full((48, 64, 3), 99, np.uint8), name="one")
    bench = open_bench()
    bench.analysis.run.click()
    wait(bench)
    cell = Cell.new("one", Detection(BBox(30, 2, 42, 12), drawn=True))
    bench.session.commit(bench.session.table.with_cells([cell]), "draw 1 cell")
    wait(bench)
    before = dict(bench.session.table)
    assert len(before) == 3
    close(viewer, qtbot)
    bench = open_bench()
    wait(bench)
    assert dict(bench.session.table) == before
    assert bench.session.undo() == "draw 1 cell"
    assert len(bench.session.table) == 2
    bench.release()
    wait(bench)
