"""A whole session as a person has it: analyze, review, correct, undo, close, and go on another day.

    python benchmarks/review_session.py [--slide FOLDER] [--fields 190] [--out FOLDER]

Keys and mouse buttons are real events of the window. Prints PASS or FAIL for what has to be true
and writes pictures of the main moments, to be looked at. By default the slide is made of fields of
BCCD, from the folder of NAPARI_WBC_DATA. Needs a display.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.focus import camera_place
from napari_wbc.model.slide import Slide
from napari_wbc.model.taxonomy import UNIDENTIFIED
from napari_wbc.session import opening
from napari_wbc.widgets.gallery.gallery import Gallery
from napari_wbc.widgets.gallery.grid import HEADER, Item
from napari_wbc.widgets.workbench import Workbench
from public_sets import DATA

REVIEWED, DRAGGED, UNDONE = 200, 20, 50
LEFT, CONTROL, SHIFT = (
    Qt.MouseButton.LeftButton,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)
PLAIN = Qt.KeyboardModifier.NoModifier


class Person:
    """Somebody at the screen, who presses keys and looks at what comes.

    Parameters
    ----------
    slide : Slide
    out : Path
        Folder of the pictures.
    """

    def __init__(self, slide: Slide, out: Path) -> None:
        self.slide, self.out, self.failed = slide, out, 0
        self.open()

    def open(self) -> None:
        """Start napari, and open the slide."""
        self.viewer = napari.Viewer(show=False)
        window = self.viewer.window._qt_window
        window.resize(1500, 1100)
        window.show()
        self.bench = Workbench(self.viewer)
        self.viewer.window.add_dock_widget(self.bench, name="WBC workbench")
        self.session, self.queue = self.bench.session, self.bench.queue
        self.canvas: QWidget = self.viewer.window._qt_viewer.canvas.native
        self.bench.open_slide(self.slide)
        self.wait()

    def close(self) -> None:
        """Close the window, as the cross in its corner does."""
        self.viewer.window._qt_window.close()
        QTest.qWait(300)

    @property
    def gallery(self) -> Gallery:
        """The gallery, once it is open."""
        assert self.bench.docks.gallery is not None
        return self.bench.docks.gallery.gallery

    def wait(self, ms: int = 20) -> None:
        """Let the work that is under way end, and the window follow."""
        QTest.qWait(ms)
        while self.bench.busy:
            QTest.qWait(20)
        QApplication.processEvents()

    def shoot(self, name: str) -> None:
        """Take a picture of the window."""
        self.wait(300)
        self.viewer.window.screenshot(str(self.out / f"{name}.png"), canvas_only=False, flash=False)

    def check(self, what: str, found: object, wanted: object = True) -> None:
        """Say whether something is as it has to be."""
        passed = found == wanted
        self.failed += not passed
        print(f"{'PASS' if passed else 'FAIL'}  {what}", flush=True)
        if not passed:
            print(f"      found {str(found)[:300]}\n      wanted {str(wanted)[:300]}")

    def press(self, key: Any, modifier: Any = PLAIN, widget: QWidget | None = None) -> None:
        """Press a key in the image, or in another widget."""
        while not self.bench.view.ready:  # nobody answers before the cell is to be seen
            self.wait(1)
        QTest.keyClick(widget or self.canvas, key, modifier)
        self.wait(1)

    def click(self, widget: QWidget) -> None:
        """Click a button."""
        QTest.mouseClick(widget, LEFT)
        self.wait()

    # Parts of the session

    def analyze(self) -> None:
        """Locate and classify all."""
        start = time.perf_counter()
        self.click(self.bench.analysis.run)
        seconds = time.perf_counter() - start
        self.check(
            f"{len(self.session.table)} cells found in {seconds:.0f} s", bool(self.session.table)
        )
        self.check("the gallery came up", self.bench.docks.gallery is not None)
        self.shoot("2-analyzed")

    def review(self) -> None:
        """Answer for many cells by key; every tenth is put off, and every tenth looked at again."""
        self.bench.tabs.setCurrentIndex(1)
        self.click(self.bench.queue_panel.start_button)
        self.shoot("3-queue")
        keys = {label: key for key, label in self.session.taxonomy.keys.items()}
        names, before = self.session.taxonomy.names, len(self.session._past)
        wrong, answers, start = 0, 0, time.perf_counter()
        while answers < REVIEWED and self.queue.current:
            current, at = self.queue.current, self.queue.position[0]
            label = self.session.table[current].label
            match answers % 10:
                case 7 if current not in self.queue.place["skipped"]:
                    self.press(".")
                    wrong += self.queue.position[0] != at or self.queue.current == current
                    current = self.queue.current
                case 9 if at:
                    self.press(",")
                    wrong += self.queue.position[0] != at - 1
                    current = self.queue.current
            label = self.session.table[current].label
            if label == UNIDENTIFIED or answers % 5 == 3:
                label = names[
                    (answers + names.index(label) + 1 if label in names else answers) % len(names)
                ]
                self.press(keys[label])
            else:
                self.press(Qt.Key.Key_Return)
            said = self.session.table[current].annotation
            wrong += said is None or said.label != label or self.queue.current == current
            answers += 1
            if answers in (1, REVIEWED // 2):
                self.shoot(f"4-reviewed-{answers}")
        seconds = (time.perf_counter() - start) / max(1, answers)
        self.check(
            f"{answers} answers by key, {seconds:.2f} s each", (answers, wrong), (REVIEWED, 0)
        )
        self.check("each answer is one step", len(self.session._past) - before, REVIEWED)
        self.shoot("5-after-review")

    def drag(self) -> None:
        """Select a row of thumbnails, and drag it to another class."""
        gallery, view = self.gallery, self.gallery.viewport()
        groups = gallery.groups
        source = max(range(len(groups)), key=lambda i: len(groups[i].cell_ids))
        target = (source + 1) % len(self.session.taxonomy.names)
        label, chosen = groups[target].label, groups[source].cell_ids[:DRAGGED]
        gallery.verticalScrollBar().setValue(gallery._grid.area(source).top)
        for _ in range(4):
            self.click(self._button("−"))  # noqa: RUF001, the sign of minus
        first, last = self._place(Item(source, 0)), self._place(Item(source, DRAGGED - 1))
        QTest.mouseClick(view, LEFT, PLAIN, first)
        QTest.mouseClick(view, LEFT, SHIFT, last)
        self.check(f"{DRAGGED} thumbnails selected", set(self.session.selection), set(chosen))
        QTest.mousePress(view, LEFT, PLAIN, last)
        down = target > source
        edge = QPoint(last.x(), view.height() - 4 if down else 4)
        QTest.mouseMove(view, (last + edge) / 2)
        QTest.mouseMove(view, edge)
        for _ in range(3000):  # it scrolls by itself
            area = gallery._grid.area(target)
            at = self._place(Item(target, HEADER)).y()
            if 0 <= at < view.height() - 40 and at + area.height > 40:
                break
            QTest.qWait(20)
        to = QPoint(300, self._place(Item(target, HEADER)).y())
        QTest.mouseMove(view, to)
        self.shoot("6-dragging")
        QTest.mouseRelease(view, LEFT, PLAIN, to)
        self.wait()
        labels = {cell.label for key in chosen if (cell := self.session.table.get(key))}
        self.check(f"{DRAGGED} thumbnails dragged to {label}", labels, {label})
        self.shoot("7-dragged")

    def draw(self) -> str:
        """Drag a box in the image; the new cell's id."""
        before = set(self.session.table)
        self.viewer.reset_view()
        button = self.bench.review.draw
        self.click(button)
        corners = [self._in_canvas(*at) for at in self._free_box()]
        QTest.mousePress(self.canvas, LEFT, PLAIN, corners[0])
        for corner in corners[1:]:
            QTest.mouseMove(self.canvas, corner)
            QTest.qWait(30)
        QTest.mouseRelease(self.canvas, LEFT, PLAIN, corners[-1])
        self.wait(600)
        new = [key for key in self.session.table if key not in before]
        self.check("a cell was drawn", len(new), 1)
        if not new:
            return ""
        self.check("and classified at once", self.session.table[new[0]].prediction is not None)
        self.press("S")
        self.shoot("8-drawn")
        return new[0]

    def edit(self) -> None:
        """Delete one cell, cut another in two, and make one of the two again."""
        before = len(self.session.table)
        self.choose(self.gallery.groups[0].cell_ids[0])
        self.press(Qt.Key.Key_Delete)
        self.check("one cell deleted", len(self.session.table), before - 1)
        self.choose(self.gallery.groups[0].cell_ids[0])
        self.press("K")
        self.check("one cell split", len(self.session.table), before)
        self.shoot("9-split")
        self.check("both parts are selected", len(self.session.selection), 2)
        self.press("J")
        self.check("both parts joined", len(self.session.table), before - 1)
        self.wait(600)
        self.shoot("10-joined")

    def choose(self, cell_id: str) -> None:
        """Click a thumbnail."""
        self.gallery.reveal(cell_id)
        item = self.gallery._item_of(cell_id)
        assert item is not None
        QTest.mouseClick(self.gallery.viewport(), LEFT, PLAIN, self._place(item))
        self.wait()

    def undo(self) -> None:
        """Take many steps back by key."""
        past = [head.what for head in self.session._past]
        for _ in range(UNDONE):
            self.press(Qt.Key.Key_Z, CONTROL)
        self.check(f"{UNDONE} steps undone", [h.what for h in self.session._past], past[:-UNDONE])
        self.shoot("11-undone")

    def go_on(self, name: str) -> None:
        """Close everything, open it again, and compare."""
        self.wait(1200)
        was = self.state()
        self.close()
        self.open()
        self.wait(500)
        for what, wanted in was.items():
            self.check(f"{name}: {what}", self.state()[what], wanted)
        self.shoot(f"12-{name.replace(' ', '-')}")

    def state(self) -> dict[str, object]:
        """What has to be the same after closing and opening."""
        session = self.session
        return {
            "the table": dict(session.table),
            "the order of its cells": list(session.table),
            "undo names": [head.what for head in session._past],
            "redo names": [head.what for head in session._future],
            "current cell of the queue": self.queue.current,
            "place in the queue": self.queue.position,
            "cells that were put off": self.queue.place["skipped"],
            "field in view": session.field and session.field.fov_id,
            "camera": np.round(camera_place(self.viewer), 3).tolist(),
        }

    def travel(self) -> None:
        """Undo and redo lead through what an earlier program did."""
        before, n = dict(self.session.table), 0
        while n < UNDONE and self.session.redo():
            n += 1
        for _ in range(n):
            self.session.undo()
        self.check(f"{n} steps of before done again and undone", dict(self.session.table), before)

    def _free_box(self) -> list[tuple[float, float]]:
        """Places along the diagonal of a box of 60 pixels in the field where no cell is."""
        assert self.session.field is not None
        image = self.bench.view.image_layer
        assert image is not None
        boxes = [
            cell.detection.bbox for cell in self.session.table.of_field(self.session.field.fov_id)
        ]
        height, width = image.data.shape[:2]
        row, col = next(
            (row, col)
            for row in range(20, height - 80, 20)
            for col in range(20, width - 80, 20)
            if all(
                row > box.bottom or row + 60 < box.top or col > box.right or col + 60 < box.left
                for box in boxes
            )
        )
        return [(row + step, col + step) for step in (0, 20, 40, 60)]

    def _in_canvas(self, row: float, col: float) -> QPoint:
        """Where a place of the field is in the canvas; a pixel of the field is one of the world."""
        at_row, at_col, zoom = camera_place(self.viewer)
        x = self.canvas.width() / 2 + (col - at_col) * zoom
        y = self.canvas.height() / 2 + (row - at_row) * zoom
        return QPoint(round(x), round(y))

    def _place(self, item: Item) -> QPoint:
        """The middle of a thumbnail or header in the gallery's viewport."""
        rect = self.gallery._grid.rect(item)
        return QPoint(
            rect.left + rect.width // 2,
            rect.top + rect.height // 2 - self.gallery.verticalScrollBar().value(),
        )

    def _button(self, text: str) -> QWidget:
        panel = self.bench.docks.gallery
        assert panel is not None
        return next(b for b in panel.findChildren(QWidget) if getattr(b, "text", str)() == text)


def copied(folder: Path, n: int) -> Path:
    """Fields of BCCD in a folder of their own."""
    folder.mkdir()
    for path in sorted((DATA / "bccd" / "JPEGImages").glob("*.jpg"))[:n]:
        shutil.copy(path, folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--fields", type=int, default=190)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "review-session")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        opening.projects_folder = lambda: folder / "projects"
        person = Person(
            open_slide(arguments.slide or copied(folder / "slide", arguments.fields)), arguments.out
        )
        person.shoot("1-opened")
        steps: tuple[Callable[[], object], ...] = (
            person.analyze,
            person.review,
            person.drag,
            person.draw,
            person.edit,
            person.undo,
            lambda: person.go_on("as the queue left it"),
            person.travel,
        )
        for step in steps:
            step()
        for _ in range(3):
            person.press(Qt.Key.Key_PageDown)
        person.go_on("in another field")
        person.close()
    print(f"{person.failed} failed; pictures in {arguments.out}")
    sys.exit(bool(person.failed))


if __name__ == "__main__":
    main()
