"""Commands of napari's palette, and their keys."""

from __future__ import annotations

import pytest
from napari._app_model import get_app_model
from napari.utils.notifications import notification_manager
from npe2 import PluginManager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_wbc.widgets.qt.input_guard import canvas_of

NAMES = ("analyze", "start_review", "go_on", "export")


@pytest.mark.parametrize("name", NAMES)
def test_napari_lists_the_command_with_its_key(viewer, name):
    assert "(Alt+" in get_app_model().commands[f"napari-wbc.{name}"].title


def run(name):
    PluginManager.instance().commands.execute(f"napari-wbc.{name}")


def test_commands_do_the_steps_of_the_open_workbench(bench, slide, wait, tmp_path, monkeypatch):
    bench.open_slide(slide)
    wait(bench)
    run("analyze")
    wait(bench)
    assert len(bench.session.table) == 6
    run("start_review")
    assert bench.queue.current
    assert bench.tabs.currentWidget().isAncestorOf(bench.queue_panel)
    bench.session.select(())
    run("go_on")
    assert bench.session.selection == (bench.queue.current,)
    out = tmp_path / "out"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: str(out))
    run("export")
    wait(bench)
    assert (out / "cells.csv").is_file()


def test_a_command_that_can_do_nothing_yet_says_why(bench):
    notification_manager.records.clear()
    run("start_review")
    assert "No cells yet" in notification_manager.records[-1].message


def test_a_command_without_a_workbench_opens_it(viewer, qtbot):
    from napari_wbc.widgets.opening import WorkbenchDock

    run("analyze")
    (shell,) = viewer.window._qt_window.findChildren(WorkbenchDock)
    qtbot.waitUntil(lambda: shell.bench is not None and not shell.loading, timeout=60_000)
    shell.bench.release()


def test_keys_do_the_same(bench, slide, wait, qtbot):
    bench.open_slide(slide)
    wait(bench)
    canvas = canvas_of(bench)
    qtbot.keyClick(canvas, Qt.Key.Key_A, Qt.KeyboardModifier.AltModifier)
    wait(bench)
    assert len(bench.session.table) == 6
    qtbot.keyClick(canvas, Qt.Key.Key_R, Qt.KeyboardModifier.AltModifier)
    assert bench.queue.current
