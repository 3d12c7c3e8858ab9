"""How long the window does not answer, from opening the workbench to comparing two models.

    python benchmarks/heartbeat.py [--fields 20]

In a napari that is there before the plugin, as a person has it, a timer rings every 5 ms; the
longest time between two rings is how long a click would have waited. What napari needs alone for
its first image and its first shapes is measured in a process of its own. Real BCCD fields where
there are any, else drawn ones. Needs a display and an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd
from PIL import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest

from record import record

LONG_MS = 100
"""Longest time that the window may not answer."""


class Heartbeat:
    """Notes how long the window did not answer, part by part."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self._gaps = [0.0]
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(5)

    def _beat(self) -> None:
        now = time.perf_counter()
        self._gaps.append(1000 * (now - self._last))
        self._last = now

    def part(self, name: str, work: Callable[[], object], *, at_once: bool = False) -> None:
        """Do one part, and note its times and its gaps."""
        QTest.qWait(0 if at_once else 500)
        self._last, self._gaps = time.perf_counter(), [0.0]
        began, cpu = time.perf_counter(), time.process_time()
        work()
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        QTest.qWait(100 if at_once else 300)  # what is painted at the end belongs to it
        self.rows.append(
            {
                "part": name,
                "seconds": round(seconds, 2),
                "CPU seconds": round(used, 2),
                "longest gap ms": round(max(self._gaps)),
                "gaps over 100 ms": sum(gap > LONG_MS for gap in self._gaps),
            }
        )
        print(self.rows[-1], flush=True)


def fields(folder: Path, n: int, skip: int = 0) -> tuple[Path, str]:
    """A folder of n fields, after so many others, and what they are."""
    data = Path(os.environ.get("NAPARI_WBC_DATA", "../shared/data")) / "bccd" / "JPEGImages"
    folder.mkdir(parents=True)
    if data.is_dir():
        for image in sorted(data.glob("*.jpg"))[skip : skip + n]:
            (folder / image.name).symlink_to(image.resolve())
        return folder, "real fields (BCCD)"
    from napari_wbc.imaging.synthetic import synthetic_smear

    for seed in range(skip, skip + n):
        Image.fromarray(synthetic_smear(seed, n_leukocytes=4).image).save(folder / f"{seed:02}.png")
    return folder, "drawn fields"


def bare() -> list[dict[str, object]]:
    """What napari needs alone for its first image, its first shapes and a dock."""
    viewer = napari.Viewer(show=True)
    QTest.qWait(2500)
    heart = Heartbeat()
    pixels = np.zeros((480, 640, 3), np.uint8)
    heart.part("napari alone: first image", lambda: viewer.add_image(pixels))
    text = {"string": "{short}", "size": 11}
    square = np.array([[10, 10], [10, 60], [60, 60], [60, 10]])
    heart.part(
        "napari alone: first shapes",
        lambda: viewer.add_shapes([square] * 4, features={"short": ["NEU"] * 4}, text=text),
    )
    viewer.close()
    return heart.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", type=int, default=20)
    parser.add_argument("--bare", action="store_true", help="napari alone, as JSON")
    arguments = parser.parse_args()
    if arguments.bare:
        print(json.dumps(bare()))
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_WBC_MODELS"] = f"{home}/models"
        os.environ["XDG_DATA_HOME"], os.environ["XDG_CONFIG_HOME"] = (
            f"{home}/data",
            f"{home}/config",
        )
        done = subprocess.run(
            [sys.executable, __file__, "--bare"], check=True, capture_output=True, text=True
        )
        alone = json.loads(done.stdout.splitlines()[-1])
        rows, what = session(Path(home), arguments.fields)
    record(
        "heartbeat",
        "How long the window does not answer",
        pd.DataFrame([*alone, *rows]),
        notes=[
            f"{arguments.fields} {what}; OpenGL in software.",
            "CPU seconds are those of all threads of the process.",
            "Fine-tuning: two epochs of 128 crops; the window does the same whatever their number.",
        ],
    )


def session(home: Path, n: int) -> tuple[list[dict[str, object]], str]:  # noqa: PLR0915 (from top to bottom)
    """One session at the window, from opening to comparing."""
    folder, what = fields(home / "slide", n)
    other, _ = fields(home / "other", 6, skip=n)
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1600, 1000)
    viewer.open(str(next(iter(sorted(folder.iterdir())))))
    QTest.qWait(2500)
    heart = Heartbeat()
    docked: list[Any] = []

    def until(ready: Callable[[], object]) -> None:
        while not ready():
            QTest.qWait(10)

    def open_it() -> None:
        docked.extend(viewer.window.add_plugin_dock_widget("napari-wbc", "Workbench"))
        until(lambda: docked[1].bench is not None)

    heart.part("open the workbench", open_it, at_once=True)
    heart.part(
        "load the rest behind it", lambda: until(lambda: not docked[1].loading), at_once=True
    )
    bench = docked[1].bench
    from napari_wbc.imaging.read import open_slide
    from napari_wbc.pipeline import finetune

    def wait() -> None:
        QTest.qWait(50)
        until(lambda: not bench.busy)

    def press(button: Any) -> None:
        button.click()
        wait()

    heart.part("first folder", lambda: (bench.open_slide(open_slide(folder)), wait()))
    heart.part(f"first analysis, {n} fields", lambda: press(bench.analysis.run))
    heart.part(f"second analysis, {n} fields", lambda: press(bench.analysis.run))
    heart.part("first heat, Grad-CAM, whole slide", lambda: press(bench.explain.slide))
    heart.part("Grad-CAM again", lambda: press(bench.explain.slide))
    bench.explain.method.value = "lime"
    cells = [cell.cell_id for cell in bench.session.table.values()][:5]
    bench.session.select(cells)
    wait()
    heart.part("LIME, 5 cells", lambda: press(bench.explain.selected))
    bench.docks.open_map()
    heart.part("feature map, t-SNE", lambda: press(bench.docks.map.run))
    label_all(bench)
    panel = bench.train
    panel.sets.folder.setText(str(home / "set"))
    panel.sets.split.value = "train"
    heart.part("export", lambda: press(panel.sets.export))
    finetune.CLASSIFIER = finetune.CLASSIFIER | {"epochs": 2, "draws": 128, "batch_size": 32}
    heart.part("fine-tune", lambda: press(panel.tuning.tune))
    heart.part("second folder", lambda: (bench.open_slide(open_slide(other)), wait()))
    press(bench.analysis.run)
    label_all(bench)
    panel.sets.split.value = "test"
    press(panel.sets.export)
    heart.part("compare", lambda: press(panel.tuning.compare))
    print(bench.status.text(), flush=True)
    assert panel.tuning._pair is not None, bench.status.text()
    heart.part("adopt", lambda: press(panel.tuning.comparison.adopt))
    bench.release()
    viewer.close()
    return heart.rows, what


def label_all(bench: Any) -> None:
    """Take the model's word for every cell, so that there is something to learn from."""
    from napari_wbc.model.cell import Annotation

    table = bench.session.table
    kept = [cell.annotated(Annotation(cell.prediction.cell_class)) for cell in table.values()]
    bench.session.commit(table.with_cells(kept), "label")
    bench.session.flush()


if __name__ == "__main__":
    main()
