"""A first hour with napari-wbc, walked with a real mouse and keyboard in a real napari.

Run by ``test_walk.py`` in a process of its own: the viewer is there before the plugin, OpenGL is
live, and nothing is replaced. Each step says what a person does and asserts what is counted
afterwards.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.settings import get_settings
from PIL import Image
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QFileDialog,
    QLineEdit,
    QScrollBar,
    QSlider,
    QWidget,
)
from tests.window import desk

CELLS = 4
"""Leukocytes of each drawn field."""


def main(folder: Path) -> None:
    """Walk all steps in a folder of one's own."""
    walk = Walk(folder)
    for step in (
        walk.drops_an_image_and_opens_the_workbench,
        walk.analyzes_the_image,
        walk.opens_a_folder,
        walk.cancels_and_analyzes,
        walk.relabels_by_key,
        walk.turns_the_wheel_over_everything,
        walk.types_where_keys_are_not_for_cells,
        walk.drags_while_reviewing,
        walk.reshapes_behind_a_toggle,
        walk.draws,
        walk.takes_back_and_does_again,
        walk.opens_a_second_slide,
        walk.closes_and_reopens_the_dock,
        walk.opens_a_sample,
        walk.explains,
        walk.teaches_a_ninth_class,
        walk.quits_while_working,
    ):
        print(f"step: {step.__name__}", flush=True)
        try:
            step()
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            print(f"status: {walk.bench and walk.bench.status.text()}", flush=True)
            QApplication.primaryScreen().grabWindow(0).save(str(folder / "failed.png"))
            sys.stdout.flush()
            os._exit(1)  # a window that is closed in the middle of a step may ask, or crash


class Walk:
    """One person, one napari."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.first = draw_slide(folder / "slide-a", range(3))
        self.second = draw_slide(folder / "slide-b", range(3, 5))
        get_settings().application.confirm_close_window = False
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(1560, 1040)
        desk.wait(1.0)

    # What is on the desk

    @property
    def bench(self) -> Any:
        """The workbench, once it is loaded."""
        from napari_wbc.widgets.opening import WorkbenchDock

        shells = self.viewer.window._qt_window.findChildren(WorkbenchDock)
        return shells[0].bench if shells else None

    @property
    def table(self) -> Any:
        return self.bench.session.table

    def layers(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]

    def idle(self, seconds: float = 120) -> None:
        """Let the work that is under way end."""
        desk.until(
            lambda: self.bench is not None and not self.bench.busy, seconds, why="work to end"
        )
        desk.wait(0.3)

    def rows(self) -> dict[str, int]:
        """The differential as it stands on screen."""
        counts = self.bench.counts
        texts = [
            (counts.item(i, 0).text(), int(counts.item(i, 1).text()))
            for i in range(counts.rowCount())
        ]
        return dict(texts)

    def check_rows(self, cells: int) -> None:
        """Every cell is there, and in exactly one row."""
        assert len(self.table) == cells, (len(self.table), cells, self.bench.status.text())
        rows = self.rows()
        total = sum(n for name, n in rows.items() if name != "leukocytes")
        assert total == cells, rows

    def open_workbench(self) -> None:
        menu = desk.open_menu(self.viewer, "Plugins")
        names = [action.text() for action in menu.actions()]
        path = ["WBC", "Workbench"] if "WBC" in names else ["Workbench (WBC)"]
        desk.choose_menu(menu, *path)
        desk.until(lambda: self.bench is not None, why="the workbench")
        self.idle()

    def cell(self, i: int = 0, field: int = 0) -> Any:
        fov_id = self.bench.session.slide.fields[field].fov_id
        return self.table.of_field(fov_id)[i]

    def at(self, cell: Any) -> tuple[int, int]:
        """Where the middle of a cell is on the screen."""
        return desk.Canvas(self.viewer).at(*cell.detection.bbox.center)

    def press_button(self, text: str) -> None:
        desk.click(desk.button(self.bench, text))

    # The steps

    def drops_an_image_and_opens_the_workbench(self) -> None:
        self.viewer.open(str(self.first / "field-0.png"))
        desk.wait(0.5)
        self.open_workbench()
        assert self.bench.header.name.text() == "No slide is open"
        assert self.layers() == ["field-0"]
        heavy = {"torch", "torchvision", "lightning_fabric", "captum"} & set(sys.modules)
        assert not heavy, f"opening the workbench imported {heavy}"

    def analyzes_the_image(self) -> None:
        self.press_button("Analyze slide")
        desk.until(lambda: len(self.table), why="cells of the image")
        self.idle()
        self.check_rows(CELLS)
        assert "field-0" in self.bench.header.name.text()

    def opens_a_folder(self) -> None:
        self.choose_folder(self.first)
        assert self.bench.session.slide.name == "slide-a"
        assert "slide-a" in self.bench.header.name.text()
        assert "1 of 3" in self.bench.header.name.text()
        shown = [layer.name for layer in self.viewer.layers if layer.visible]
        assert shown == ["slide-a", "dark outlines", "cells"], self.layers()
        self.check_rows(0)

    def choose_folder(self, folder: Path) -> None:
        """Press Open folder… and type a path into the dialog."""

        def answer(dialog: QWidget) -> None:
            assert isinstance(dialog, QFileDialog)
            line = dialog.findChild(QLineEdit)
            line.setFocus()
            desk.press("ctrl+a")
            desk.xdotool("type", "--delay", 2, str(folder))
            desk.wait(0.2)
            desk.press("Return")

        desk.click_and_answer(desk.button(self.bench, "Open folder…"), answer)
        desk.until(lambda: self.bench.session.slide.name == folder.name, 20, why=folder.name)
        self.idle()

    def cancels_and_analyzes(self) -> None:
        self.press_button("Analyze slide")
        desk.click(self.bench.jobs.cancel_button)
        self.idle()
        self.check_rows(0)
        assert self.bench.status.text() == "Cancelled."
        self.press_button("Analyze slide")
        self.idle()
        self.check_rows(3 * CELLS)

    def relabels_by_key(self) -> None:
        cell = self.cell()
        desk.click_at(*self.at(cell))
        assert self.bench.session.selection == (cell.cell_id,)
        for key, label in (
            ("2", "eosinophil"),
            ("4", "lymphocyte"),
            ("9", "not classed"),
            ("5", "monocyte"),
        ):
            desk.press(key)
            assert self.table[cell.cell_id].label == label
            self.check_rows(3 * CELLS)
        assert self.cell(1).annotation is None

    def controls(self) -> list[QWidget]:
        """Every control of the workbench and of its docks that can be seen now."""
        kinds = (QComboBox, QAbstractSpinBox, QSlider, QAbstractButton)
        wanted = [
            w for w in self.widgets() if isinstance(w, kinds) and not isinstance(w, QScrollBar)
        ]
        return [
            w for w in wanted if w.isVisible() and w.visibleRegion().boundingRect().height() > 4
        ]

    def widgets(self) -> list[QWidget]:
        """All widgets of the workbench and of the gallery."""
        return [*self.bench.findChildren(QWidget), *self.bench.docks.gallery.findChildren(QWidget)]

    def values(self) -> list[Any]:
        """What all controls say."""
        said: list[Any] = [self.bench.tabs.currentIndex()]
        for widget in self.widgets():
            if isinstance(widget, QComboBox):
                said.append(widget.currentText())
            elif isinstance(widget, (QAbstractSpinBox, QSlider)) and hasattr(widget, "value"):
                said.append(widget.value())
            elif isinstance(widget, QAbstractButton) and widget.isCheckable():
                said.append(widget.isChecked())
        return said

    def turns_the_wheel_over_everything(self) -> None:
        table = self.table
        desk.click_at(*self.at(self.cell()))
        tabs = self.bench.tabs
        for i in range(tabs.count()):
            desk.click_at(*desk.place_of(tabs.tabBar(), tabs.tabBar().tabRect(i).center()))
            before = self.values()
            for widget in self.controls():
                desk.wheel(widget)
            desk.wheel(tabs.tabBar())
            assert self.values() == before, f"the wheel changed something on {tabs.tabText(i)}"
            assert self.table is table
        desk.click_at(*desk.place_of(tabs.tabBar(), tabs.tabBar().tabRect(2).center()))

    def types_where_keys_are_not_for_cells(self) -> None:
        table, mode = self.table, self.viewer.layers["cells"].mode
        desk.click_at(*self.at(self.cell()))
        tabs = self.bench.tabs
        for i in range(tabs.count()):
            desk.click_at(*desk.place_of(tabs.tabBar(), tabs.tabBar().tabRect(i).center()))
            before = self.values()
            for combo in [w for w in self.controls() if isinstance(w, QComboBox) and w.isEnabled()]:
                combo.setFocus()
                desk.press("n", "m", "1", "Down", "s")
                assert self.values() == before, f"keys changed {combo.toolTip()!r}"
        line = self.bench.train.sets.folder
        text = line.text()
        desk.click(line)
        desk.press("End")
        desk.xdotool("type", "--delay", 10, "S1R4k")
        desk.wait(0.3)
        assert line.text() == f"{text}S1R4k"
        line.setText(text)
        assert self.table is table
        assert self.viewer.layers["cells"].mode == mode
        desk.press("Escape")
        # The focus is the canvas' again, so that a key is for the cell.
        desk.press("1")
        assert self.cell().label == "neutrophil"

    def drags_while_reviewing(self) -> None:
        table, center = self.table, self.viewer.scene.camera.center
        x, y = self.at(self.cell(1))
        desk.drag((x, y), (x + 50, y + 30))
        assert self.table is table
        assert self.viewer.scene.camera.center != center
        self.viewer.reset_view()
        desk.wait(0.2)
        canvas = desk.Canvas(self.viewer)
        height, width = self.viewer.layers["slide-a"].data.shape[:2]
        desk.drag(canvas.at(2, 2), canvas.at(height - 3, width - 3))
        assert len(self.bench.session.selection) == CELLS
        assert self.table is table
        for mode in ("pan_zoom", "direct"):
            self.viewer.layers["cells"].mode = mode
            desk.click_at(*self.at(self.cell(1)))
            assert self.table is table
        self.viewer.layers["cells"].mode = "select"

    def reshapes_behind_a_toggle(self) -> None:
        cell = self.cell(1)
        self.press_button("Reshape")
        desk.click_at(*self.at(cell))
        desk.wait(0.6)  # or press and press again are a double click
        x, y = self.at(cell)
        desk.drag((x, y), (x + 24, y + 12))
        assert self.table[cell.cell_id].detection != cell.detection
        assert "Moved 1 cell" in self.bench.status.text()
        assert "Ctrl+Z" in self.bench.status.text()
        self.idle()
        desk.until(lambda: self.table[cell.cell_id].prediction, 20, why="the new prediction")
        moved = self.table[cell.cell_id]
        desk.press("ctrl+z")
        assert self.table[cell.cell_id] == cell
        desk.press("ctrl+shift+z")
        assert self.table[cell.cell_id] == moved
        desk.press("ctrl+z")
        self.press_button("Reshape")
        table = self.table
        desk.drag((x, y), (x + 24, y + 12))
        assert self.table is table
        self.viewer.reset_view()
        self.check_rows(3 * CELLS)

    def draws(self) -> None:
        canvas = desk.Canvas(self.viewer)
        draw = desk.button(self.bench, "Draw")
        self.press_button("Draw")
        assert draw.isChecked()
        desk.click_at(*canvas.at(20, 20))
        self.check_rows(3 * CELLS)
        assert not draw.isChecked()
        self.press_button("Draw")
        desk.drag(canvas.at(10, 10), canvas.at(70, 74))
        assert not draw.isChecked()
        assert self.viewer.layers["cells"].mode == "select"
        self.idle()
        self.check_rows(3 * CELLS + 1)
        drawn = self.cell(-1)
        assert np.allclose(
            [drawn.detection.bbox.top, drawn.detection.bbox.right], [10.5, 74.5], atol=3
        )
        desk.until(
            lambda: self.table[drawn.cell_id].prediction, 20, why="a prediction of what was drawn"
        )

    def takes_back_and_does_again(self) -> None:
        drawn = self.cell(-1)
        desk.press("ctrl+z")
        self.check_rows(3 * CELLS)
        desk.press("ctrl+shift+z")
        self.check_rows(3 * CELLS + 1)
        assert self.table[drawn.cell_id] == drawn
        desk.click_at(*self.at(self.cell(2)))
        desk.press("k")
        self.idle()
        self.check_rows(3 * CELLS + 2)
        desk.press("ctrl+z", "ctrl+z")
        self.check_rows(3 * CELLS)
        desk.press("ctrl+shift+z")
        desk.wait(3)
        self.check_rows(3 * CELLS + 1)
        assert self.bench.session.redoable == "split"
        desk.press("ctrl+shift+z")
        self.check_rows(3 * CELLS + 2)
        desk.press("ctrl+z", "ctrl+z")
        self.check_rows(3 * CELLS)

    def opens_a_second_slide(self) -> None:
        first = self.table
        self.choose_folder(self.second)
        shown = [layer.name for layer in self.viewer.layers if layer.visible]
        assert shown == ["slide-b", "dark outlines", "cells"]
        assert "slide-b" in self.bench.header.name.text()
        self.check_rows(0)
        self.press_button("Analyze slide")
        self.idle()
        self.check_rows(2 * CELLS)
        self.choose_folder(self.first)
        assert dict(self.table) == dict(first)
        shown = [layer.name for layer in self.viewer.layers if layer.visible]
        assert shown == ["slide-a", "dark outlines", "cells"]

    def closes_and_reopens_the_dock(self) -> None:
        before = dict(self.table)
        self.close_dock()
        assert self.bench is None
        assert not self.viewer.layers["cells"].editable
        self.open_workbench()
        assert dict(self.table) == before
        shown = [layer.name for layer in self.viewer.layers if layer.visible]
        assert shown == ["slide-a", "dark outlines", "cells"], self.layers()
        cell = self.cell(3)
        desk.click_at(*self.at(cell))
        desk.press("3")
        assert self.table[cell.cell_id].label == "basophil"
        self.check_rows(3 * CELLS)

    def close_dock(self) -> None:
        """Click the cross in the title of the dock."""
        dock = self.bench.parentWidget().parentWidget()
        while not hasattr(dock, "title"):
            dock = dock.parentWidget()
        desk.click(dock.title.close_button)
        desk.wait(0.5)

    def opens_a_sample(self) -> None:
        menu = desk.open_menu(self.viewer, "File")
        desk.choose_menu(menu, "Open Sample", "WBC", "Synthetic smear")
        desk.until(lambda: self.bench.session.slide.name == "synthetic smear", 20, why="the sample")
        self.idle()
        assert "synthetic smear" in self.bench.header.name.text()
        self.press_button("Analyze slide")
        self.idle()
        self.check_rows(5)
        cells = dict(self.table)
        self.close_dock()
        self.open_workbench()
        assert self.bench.session.slide.name == "synthetic smear"
        assert dict(self.table) == cells
        self.choose_folder(self.first)
        self.check_rows(3 * CELLS)

    def explains(self) -> None:
        desk.click_at(*self.at(self.cell()))
        desk.click(self.bench.explain.field)
        self.idle()
        assert len(self.bench.heats) == CELLS, self.bench.status.text()
        assert "heatmap: Grad-CAM" in self.layers()
        desk.click(self.bench.explain.clear)
        assert "heatmap: Grad-CAM" not in self.layers()

    def teaches_a_ninth_class(self) -> None:
        from napari_wbc.pipeline import finetune

        finetune.CLASSIFIER = finetune.CLASSIFIER | {"epochs": 1, "draws": 128, "batch_size": 32}
        self.in_dialog(
            "Classes…", lambda dialog: (dialog.new.setFocus(), desk.xdotool("type", "hairy cell"))
        )
        desk.until(
            lambda: self.bench and len(self.bench.session.taxonomy.names) == 9,
            20,
            why="nine classes",
        )
        self.idle()
        self.check_rows(3 * CELLS)
        for field in range(3):
            for i in range(CELLS):
                # The queue shows its next cell, perhaps in another field, when its current one is
                # labelled.
                self.bench.fields.setCurrentRow(field)
                self.idle()
                self.viewer.reset_view()
                desk.wait(0.2)
                cell = self.cell(i, field)
                desk.click_at(*self.at(cell))
                desk.press("h" if i == 0 else "1")
                assert self.table[cell.cell_id].label == ("hairy cell" if i == 0 else "neutrophil")
        self.check_rows(3 * CELLS)
        assert self.rows()["hairy cell"] == 3
        train = self.bench.train
        train.sets.folder.setText(str(self.folder / "set"))
        desk.click(train.sets.export)
        self.idle()
        assert "12 cells" in self.bench.status.text(), self.bench.status.text()
        assert (
            train.sets.summary.text() == "12 cells of 1 slide: 12 to learn, 0 to check, 0 to test"
        )
        desk.click(train.tuning.tune)
        self.idle(300)
        assert "is ready" in self.bench.status.text(), self.bench.status.text()
        model = next(m for m in train.tuning.models.models() if not m.shipped)
        assert model.card.classes[-1] == "hairy cell"
        desk.click(train.tuning.browse)
        train.tuning.library.select(model.path)
        desk.wait(0.2)
        desk.click_at(*desk.place_of(train.tuning.library.use))
        desk.until(
            lambda: train.tuning.models.adopted("classifier").path == model.path, 20, why="adoption"
        )
        train.tuning._dialogs["library"].close()
        assert self.bench.model.value() == str(model.path)
        self.press_button("Analyze slide")
        self.idle()
        self.check_rows(3 * CELLS)
        assert "cells in 3 fields" in self.bench.status.text(), self.bench.status.text()

    def in_dialog(self, text: str, fill: Callable[[Any], Any]) -> None:
        """Press a button that opens a dialog, fill it in, and press Return."""

        def answer(dialog: QWidget) -> None:
            assert isinstance(dialog, QDialog)
            fill(dialog)
            desk.wait(0.2)
            desk.press("Return")

        desk.click_and_answer(desk.button(self.bench, text), answer)

    def quits_while_working(self) -> None:
        self.press_button("Analyze slide")
        assert self.bench.busy
        self.viewer.close()
        desk.wait(0.5)


def draw_slide(folder: Path, seeds: range) -> Path:
    """A folder of drawn fields, four leukocytes each."""
    from napari_wbc.imaging.synthetic import synthetic_smear

    folder.mkdir(parents=True)
    for i, seed in enumerate(seeds):
        Image.fromarray(synthetic_smear(seed, n_leukocytes=CELLS).image).save(
            folder / f"field-{i}.png"
        )
    return folder


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    print("walked", flush=True)
