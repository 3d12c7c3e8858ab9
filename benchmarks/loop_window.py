"""The loop in the window: analyze, correct, export, fine-tune, compare, adopt, by keys and buttons.

    python benchmarks/loop_window.py [--cells 100] [--out FOLDER]

As benchmarks/loop.py, with all train fields of Chula as one slide. A timer of 5 ms tells how long
the window did not answer in each part. Writes pictures of the main moments. Needs a display.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path

import napari
import pandas as pd
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest

from crops import CACHE
from loop import BASE, LOOP, base_weights, slides, true_label
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.taxonomy import NOT_CLASSED
from napari_wbc.session import opening
from napari_wbc.session.order import Order
from napari_wbc.widgets.loop import sets
from napari_wbc.widgets.workbench import Workbench
from public_sets import DATA, write_manifest
from record import record

FRAME_MS = 100
"""Longest time that the window may not answer."""


class Clock:
    """Notes how long the window did not answer, part by part."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)
        self._last, self._gaps = time.perf_counter(), [0.0]

    def _tick(self) -> None:
        now = time.perf_counter()
        self._gaps.append(1000 * (now - self._last))
        self._last = now

    def part(self, name: str, work) -> None:
        """Do one part, and note its time and its gaps."""
        QTest.qWait(300)
        self._last, self._gaps = time.perf_counter(), [0.0]
        began = time.perf_counter()
        work()
        over = [gap for gap in self._gaps if gap > FRAME_MS]
        self.rows.append(
            {
                "part": name,
                "seconds": round(time.perf_counter() - began, 1),
                "longest gap ms": round(max(self._gaps)),
                "gaps over 100 ms": len(over),
            }
        )
        print(self.rows[-1], flush=True)


def one_slide() -> tuple[Path, dict]:
    """All train fields of Chula in one folder."""
    folders, truth = slides()
    folder = LOOP / "window" / "chula-train"
    folder.mkdir(parents=True)
    for one in folders:
        for image in one.iterdir():
            (folder / image.name).symlink_to(image.resolve())
    return folder, truth


def main() -> None:  # noqa: PLR0915 (one session, from top to bottom)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--out", type=Path, default=LOOP / "pictures")
    arguments = parser.parse_args()
    base_weights()
    shutil.rmtree(LOOP / "window", ignore_errors=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    folder, truth = one_slide()
    home = LOOP / "window" / "home"
    os.environ["NAPARI_WBC_MODELS"] = str(home / "models")
    opening.projects_folder = lambda: home / "projects"
    sets.projects_folder = opening.projects_folder
    viewer = napari.Viewer(show=False)
    window = viewer.window._qt_window
    window.resize(1600, 1150)
    window.show()
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, name="WBC workbench")
    clock, canvas = Clock(), viewer.window._qt_viewer.canvas.native

    def wait() -> None:
        QTest.qWait(100)
        while bench.busy:
            QTest.qWait(20)
        QTest.qWait(100)

    def shoot(name: str) -> None:
        QTest.qWait(300)
        viewer.window.screenshot(str(arguments.out / f"{name}.png"), canvas_only=False, flash=False)

    def press(button) -> None:
        button.click()
        wait()

    bench.open_slide(open_slide(folder))
    wait()
    bench.model.choose(str(BASE))
    clock.part("analyze", lambda: press(bench.analysis.run))
    bench.tabs.setCurrentIndex(1)
    bench.queue_panel.order.setCurrentText(Order.MOST_GAIN)
    clock.part("rank by gain", lambda: (bench.queue_panel.start(), wait()))
    keys = {label: key for key, label in bench.session.taxonomy.keys.items()}
    counts: dict[str, int] = {}

    def review() -> None:
        if not bench.queue.current:
            bench.queue_panel.start()
        while sum(n for name, n in counts.items() if name != NOT_CLASSED) < arguments.cells:
            cell = bench.session.table[bench.queue.current]
            label = true_label(truth, Path(cell.fov_id).name, cell.detection.bbox)
            counts[label] = counts.get(label, 0) + 1
            QTest.keyClick(canvas, keys[label])
            QTest.qWait(120)

    canvas.setFocus()
    clock.part("review", review)
    shoot("review")
    bench.tabs.setCurrentWidget(bench.train)
    panel = bench.train
    panel.sets.folder.setText(str(LOOP / "window" / "set"))
    panel.sets.split.value = "train"
    panel.sets.old.addItem(str(CACHE / "loop_base.csv"))
    clock.part("export", lambda: press(panel.sets.export))
    clock.part("fine-tune", lambda: press(panel.tuning.tune))
    shoot("train")
    panel.sets.old.addItem(
        str(write_manifest(CACHE / "loop_test.csv", ("chula", "bccd", "pbc"), CACHE))
    )
    panel.sets.old.takeItem(0)
    clock.part("compare", lambda: press(panel.tuning.compare))
    panel.tuning._dialogs["comparison"].grab().save(str(arguments.out / "comparison.png"))
    shown = panel.tuning.comparison.value()
    clock.part("adopt", lambda: press(panel.tuning.comparison.adopt))
    panel.tuning.show_library()
    wait()
    panel.tuning._dialogs["library"].grab().save(str(arguments.out / "models.png"))
    clock.part("analyze by the new model", lambda: press(bench.analysis.run))
    shoot("after")
    found = {
        name: (one.old.balanced_accuracy.value, one.new.balanced_accuracy.value)
        for name, one in shown.measures.by_source.items()
    }
    record(
        "loop_window",
        f"The loop in the window: {arguments.cells} corrected cells of a new laboratory",
        pd.DataFrame(clock.rows),
        data=[DATA / name for name in ("pbc", "chula_wbc", "bccd")],
        notes=[
            "Balanced accuracy %, before and after: "
            + ", ".join(f"{name} {100 * a:.1f} and {100 * b:.1f}" for name, (a, b) in found.items())
            + f". Verdict: {shown.measures.why}",
            f"Corrected by keys, most gain first: {json.dumps(counts)}.",
            f"All parts: {sum(float(row['seconds']) for row in clock.rows):.0f} s. OpenGL in software.",
        ],
    )
    bench.release()
    viewer.close()


if __name__ == "__main__":
    main()
