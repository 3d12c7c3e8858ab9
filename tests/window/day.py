"""The tasks of a laboratory day, done by a real mouse and keyboard, counted and timed.

    python -m tests.window.day FOLDER

It needs a display with a window manager, as ``test_walk.py`` makes one, and prints the table of
``docs/design/workbench.md``. What a dialog of the system for files takes is not counted, as it is
the same for every program. Seconds are those of the work alone, on four drawn cells a field, with a
beat of 0.2 s between two actions.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QLineEdit
from tests.window import desk
from tests.window.walk import CELLS, Walk


class Day(Walk):
    """Counts what hands do."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rows_made: list[tuple[str, int, int, float]] = []
        self._clicks = self._keys = 0
        self._counts = False
        for name, what in (("click_at", "_clicks"), ("drag", "_clicks"), ("press", "_keys")):
            setattr(desk, name, self._counted(getattr(desk, name), what))

    def _counted(self, act: Callable[..., Any], what: str) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            if self._counts:
                n = len(args) if what == "_keys" else 1
                setattr(self, what, getattr(self, what) + n)
            return act(*args, **options)

        return counted

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        """Count and time what is done meanwhile."""
        self._clicks = self._keys = 0
        self._counts = True
        start = time.monotonic()
        yield
        self._counts = False
        seconds = time.monotonic() - start
        self.rows_made.append((name, self._clicks, self._keys, seconds))
        print(f"| {name} | {self._clicks} | {self._keys} | {seconds:.0f} |", flush=True)

    def tab(self, i: int) -> None:
        """Click a step."""
        bar = self.bench.tabs.tabBar()
        desk.click_at(*desk.place_of(bar, bar.tabRect(i).center()))

    def in_system_dialog(self, text: str, path: Path) -> None:
        """Press a button and answer the dialog for folders, whose keys are not counted."""

        def answer(dialog: Any) -> None:
            self._counts = False
            line = dialog.findChild(QLineEdit)
            line.setFocus()
            desk.press("ctrl+a")
            desk.xdotool("type", "--delay", 2, str(path))
            desk.wait(0.2)
            desk.press("Return")
            self._counts = True

        desk.click_and_answer(desk.button(self.bench, text), answer)

    def works(self) -> None:
        """The day."""
        bench = self.bench
        with self.task("open a slide"):
            self.in_system_dialog("Open folder…", self.first)
            desk.until(lambda: bench.session.slide.name == self.first.name)
            self.idle()
        with self.task("find and classify its cells"):
            self.tab(1)
            self.press_button("Analyze slide")
            self.idle()
        self.check_rows(3 * CELLS)
        with self.task(f"check {3 * CELLS} cells, least certain first"):
            self.tab(2)
            desk.click(bench.queue_panel.start_button)
            for _ in range(3 * CELLS):
                unsure = self.table[bench.queue.current].label == "unidentified"
                desk.press("1" if unsure else "Return")
                self.idle()
        assert bench.queue.current == ""
        bench.fields.setCurrentRow(0)
        self.idle()
        cell = self.cell()
        bench.session.commit(bench.session.table.without([cell.cell_id]), "delete")
        self.viewer.reset_view()
        desk.wait(0.3)
        box = cell.detection.bbox
        canvas = desk.Canvas(self.viewer)
        with self.task("add a cell that was missed"):
            desk.click(bench.review.draw)
            desk.drag(canvas.at(box.top, box.left), canvas.at(box.bottom, box.right))
            self.idle()
        self.check_rows(3 * CELLS)
        bench.actions.accept()
        out = self.folder / "report"
        out.mkdir()
        QDesktopServices.openUrl = lambda _url: True
        with self.task("report"):
            self.tab(3)
            self.in_system_dialog("Report…", out)
            self.idle()
        assert (out / "report.html").is_file() or list(out.rglob("report.html"))
        with self.task("second reader, blind"):
            self.tab(0)
            self.blind("second")
            self.idle()
            self.tab(2)
            desk.click(bench.queue_panel.start_button)
        assert bench.session.reading == "second"
        with self.task("reopen"):
            self.tab(0)
            self.in_system_dialog("Open folder…", self.first)
            desk.until(lambda: bench.session.reading == "")
            self.idle()
        self.check_rows(3 * CELLS)
        self.teaches()

    def blind(self, name: str) -> None:
        """Choose a blind reading, and say who reads."""
        from napari_wbc.widgets.slide.project import BLIND

        def answer(_dialog: Any) -> None:
            desk.xdotool("type", name)
            desk.press("Return")

        QTimer.singleShot(1500, lambda: answer(desk.until(QApplication.activeModalWidget)))
        desk.choose_in(self.bench.project.reading, BLIND)

    def teaches(self) -> None:
        """Fine-tune on the reviewed cells, and compare."""
        from napari_wbc.pipeline import finetune

        finetune.CLASSIFIER = finetune.CLASSIFIER | {"epochs": 1, "draws": 128, "batch_size": 32}
        train = self.bench.train
        train.sets.folder.setText(str(self.folder / "set"))
        with self.task("teach the model"):
            self.tab(4)
            desk.click(train.sets.export)
            self.idle()
            desk.until(train.tuning.tune.isEnabled)
            desk.click(train.tuning.tune)
            self.idle(400)
        assert train.tuning.compare.isEnabled()
        self.write_test_set()
        with self.task("compare old and new"):
            desk.click(train.tuning.compare)
            self.idle(200)
            desk.until(lambda: "comparison" in train.tuning._dialogs)
        train.tuning._dialogs["comparison"].close()

    def write_test_set(self) -> None:
        """Cells that neither model has seen."""
        import numpy as np
        from PIL import Image

        test = self.folder / "held"
        for label in ("neutrophil", "monocyte"):
            (test / "test" / label).mkdir(parents=True)
            for i in range(3):
                pixels = np.full((80, 80, 3), 40 * i + 60, np.uint8)
                Image.fromarray(pixels).save(test / "test" / label / f"{label}{i}.png")
        self.bench.train.sets.old.addItem(str(test))


if __name__ == "__main__":
    day = Day(Path(sys.argv[1]))
    day.open_workbench()
    print("| task | clicks | keys | s |\n|---|---|---|---|", flush=True)
    try:
        day.works()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        QApplication.primaryScreen().grabWindow(0).save(str(day.folder / "failed.png"))
        sys.stdout.flush()
        os._exit(1)  # a window that is closed in the middle of a step may ask
    os._exit(0)
