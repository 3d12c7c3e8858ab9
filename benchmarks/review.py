"""How quickly the screen follows a person who reviews 10,000 cells, in a real viewer.

    python benchmarks/review.py [--cells 10000] [--fields 100]

A slide of synthetic fields with cells at random places, which a project file keeps. Measured is
what a person waits for: from a key, a turn of the wheel or a mouse button until canvas and gallery
are painted. Needs a display; without a graphics card OpenGL runs in software, which is part of what
is measured.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd
from PIL import Image
from qtpy.QtCore import QEventLoop, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_wbc.imaging.read import open_slide
from napari_wbc.imaging.synthetic import synthetic_slide
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import Outline
from napari_wbc.model.slide import Slide
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session import opening
from napari_wbc.session.order import Order
from napari_wbc.session.session import Session
from napari_wbc.storage.workspace import create_workspace
from napari_wbc.widgets.gallery.gallery import Gallery
from napari_wbc.widgets.gallery.gallery_view import GalleryView
from napari_wbc.widgets.workbench import Workbench
from record import record

KEYS, OPENINGS, COMMITS, BOXED, STILL = 200, 5, 50, 1000, 50
VERTICES = 24
NOTCH = 120
"""Pixels that are scrolled from one frame to the next."""

Clocks = tuple[float, float, float]
Times = list[Clocks]


def drawn_slide(folder: Path, n: int) -> Slide:
    """A slide of synthetic fields of 480 x 640 pixels."""
    folder.mkdir(parents=True)
    for i, field in enumerate(synthetic_slide(0, n, per_field=(4, 6))):
        Image.fromarray(field.image).save(folder / f"field-{i:03}.png")
    return open_slide(folder)


def many_cells(slide: Slide, n: int, rng: np.random.Generator) -> list[Cell]:
    """Cells with outlines and predictions, spread evenly over the fields and at random in each."""
    names = EIGHT_CLASSES.names
    turn = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    circle = np.column_stack([np.sin(turn), np.cos(turn)])
    cells = []
    for i in range(n):
        field = slide.fields[i * len(slide.fields) // n]
        outline = Outline.from_array(circle * rng.uniform(20, 40) + rng.uniform(45, (435, 595)))
        chances = rng.dirichlet(np.full(len(names), 0.3))
        said = Prediction(
            names, tuple(chances / chances.sum()), 0.3, "benchmark", rng.uniform(0, 1.2)
        )
        cells.append(Cell.new(field.fov_id, Detection(outline.bbox, outline, 0.9)).predicted(said))
    return cells


def make_project(slide: Slide, cells: list[Cell]) -> tuple[Path, Times]:
    """Keep the cells in the slide's project, and time until commits are on the disk: all, then one each."""
    path = opening.project_path(slide)
    assert path is not None
    workspace, session = create_workspace(path, EIGHT_CLASSES), Session()
    session.open(slide, workspace)
    times = []
    for fresh in [
        cells,
        *([cell.annotated(Annotation("monocyte", "me"))] for cell in cells[:COMMITS]),
    ]:
        start = clocks()
        session.commit(session.table.with_cells(fresh), "label")
        assert session.flush()
        times.append(since(start))
    for _ in range(COMMITS):
        session.undo()
    session.close()
    workspace.close()
    return path, times


def clocks() -> Clocks:
    """Time on the wall, of this thread and of all threads, in seconds."""
    return time.perf_counter(), time.thread_time(), time.process_time()


def since(start: Clocks) -> Clocks:
    """Milliseconds since then, by each clock."""
    wall, thread, process = (1000 * (now - then) for now, then in zip(clocks(), start, strict=True))
    return wall, thread, process


class Screen:
    """The workbench in a window, and whether canvas and gallery show what is true now."""

    def __init__(self) -> None:
        self.gallery_painted = self.canvas_painted = False
        paint = GalleryView.paintEvent

        def painted(gallery: GalleryView, event: Any) -> None:
            paint(gallery, event)
            self.gallery_painted = True

        GalleryView.paintEvent = painted  # Qt looks it up in the class
        self.viewer = napari.Viewer(show=False)
        window = self.viewer.window._qt_window
        window.resize(1500, 1000)
        window.show()
        self.bench = Workbench(self.viewer)
        self.viewer.window.add_dock_widget(self.bench, name="WBC workbench")
        canvas = self.viewer.window._qt_viewer.canvas
        self.canvas = canvas.native
        canvas._scene_canvas.events.draw.connect(self._on_drawn, position="last")
        self.bench.loader.loaded.connect(self._on_loaded)

    @property
    def gallery(self) -> Gallery:
        """The gallery, once it is open."""
        assert self.bench.docks.gallery is not None
        return self.bench.docks.gallery.gallery

    def _on_drawn(self, _event: Any = None) -> None:
        self.canvas_painted = True

    def _on_loaded(self, _loaded: object) -> None:
        self.canvas_painted = False  # it showed the field before

    def time(
        self, act: Callable[[], object], *, canvas: bool = True, complete: bool = False
    ) -> Clocks:
        """How long it takes until something is done and shown.

        Parameters
        ----------
        act : callable
        canvas : bool
            Whether the canvas is painted anew too, not the gallery alone.
        complete : bool
            Whether no thumbnail in view may be missing.
        """
        self.gallery_painted, self.canvas_painted = False, not canvas
        start = clocks()
        act()
        QApplication.processEvents()
        while not self._shown(complete):
            QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        return since(start)

    def _shown(self, complete: bool) -> bool:
        painted = self.gallery_painted and self.canvas_painted
        busy = not self.bench.view.ready or self.bench.project.jobs.running
        return painted and not busy and (not complete or not self.missing())

    def missing(self) -> int:
        """How many cells in view have no picture in the gallery yet."""
        gallery = self.gallery
        low = gallery._scroll
        return sum(
            gallery._tiles.get(gallery._table[key], draw=False) is None
            for group, start, stop in gallery._grid.visible(low, low + gallery.viewport().height())
            for key in gallery.groups[group].cell_ids[start:stop]
        )

    def settle(self) -> None:
        """Let everything that is under way end."""
        QTest.qWait(1)
        while self.bench.busy:
            QTest.qWait(5)
        self.bench.session.flush()
        QApplication.processEvents()


def time_keys(screen: Screen, order: Order, rng: np.random.Generator) -> dict[bool, Times]:
    """Class keys in the queue; by whether the next cell is in another field."""
    bench, keys = screen.bench, list("12345678")
    bench.queue.start(order)
    screen.settle()
    times: dict[bool, Times] = {False: [], True: []}
    for _ in range(KEYS):
        field, cell = bench.session.field, bench.queue.current
        key = str(rng.choice(keys))
        taken = screen.time(lambda key=key: QTest.keyClick(screen.canvas, key))
        said = bench.session.table[cell].annotation
        assert said is not None
        assert said.label == bench.session.taxonomy.keys[key]
        times[bench.session.field != field].append(taken)
        screen.settle()
    return times


def time_still(screen: Screen) -> Times:
    """Canvas and gallery painted though nothing changed: what the machine takes in any case."""

    def repaint() -> None:
        screen.canvas.update()
        screen.gallery.viewport().update()

    return [screen.time(repaint) for _ in range(STILL)]


def time_scrolling(screen: Screen) -> tuple[Times, Times]:
    """Repaints while scrolling through everything, and each with the events that came in between."""
    gallery, bar = screen.gallery, screen.gallery.verticalScrollBar()
    bar.setValue(0)
    screen.settle()
    frames, steps = [], []
    for at in range(0, bar.maximum(), NOTCH):
        start = clocks()
        bar.setValue(at)
        gallery.viewport().repaint()
        frames.append(since(start))
        QApplication.processEvents()
        steps.append(since(start))
    screen.settle()
    return frames, steps


def time_box(screen: Screen) -> tuple[int, Times, Times, Clocks]:
    """Drag a box around many thumbnails, then press a class's key.

    Returns
    -------
    int
        Cells that were boxed.
    list, list
        Each move of the mouse with the button down; its release.
    tuple
        The key.
    """
    gallery, view, bar = (
        screen.gallery,
        screen.gallery.viewport(),
        screen.gallery.verticalScrollBar(),
    )
    gallery.zoom(-9)
    group = max(range(len(gallery.groups)), key=lambda i: len(gallery.groups[i].cell_ids))
    grid = gallery._grid
    area = grid.area(group)
    bar.setValue(area.top)
    screen.settle()
    rows = -(-min(BOXED, len(gallery.groups[group].cell_ids)) // grid.columns)
    end = area.top + grid.header + grid.gap + rows * (grid.tile + grid.gap) - grid.gap // 2
    left, down = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(view, left, down, QPoint(3, area.top - bar.value() + grid.header + 3))
    moves = []
    right = min(view.width() - 2, grid.columns * (grid.tile + grid.gap) + 3)
    for y in np.linspace(area.top + 60, end, 20).astype(int).tolist():
        # The wheel is turned meanwhile, and the mouse stays off the edge where it scrolls by
        # itself.
        bar.setValue(max(bar.value(), y - view.height() + 40))
        to = QPoint(right, y - bar.value())
        moves.append(screen.time(lambda to=to: QTest.mouseMove(view, to), canvas=False))
    to = QPoint(right, end - bar.value())
    release = screen.time(lambda: QTest.mouseRelease(view, left, down, to), canvas=False)
    boxed = len(screen.bench.session.selection)
    label = gallery.groups[group].label
    key = next(k for k, name in screen.bench.session.taxonomy.keys.items() if name != label)
    pressed = screen.time(lambda: QTest.keyClick(gallery, key))
    screen.settle()
    gallery.zoom(3)
    return boxed, moves, [release], pressed


def row(
    what: str, times: Times, median: float | None = None, p99: float | None = None
) -> dict[str, Any]:
    """One line of the table; targets in milliseconds."""
    wall, thread, process = np.array(times).T
    found = float(np.median(wall)), float(np.percentile(wall, 99))
    met = all(
        goal is None or value < goal for value, goal in zip(found, (median, p99), strict=True)
    )
    goals = [f"{name} < {goal:g}" for name, goal in (("median", median), ("99th", p99)) if goal]
    return {
        "what": what,
        "n": len(times),
        "median, ms": round(found[0], 1),
        "99th percentile, ms": round(found[1], 1),
        "CPU of the window's thread, ms (median)": round(float(np.median(thread)), 1),
        "CPU of all threads, ms (median)": round(float(np.median(process)), 1),
        "target, ms": ", ".join(goals),
        "met": ("yes" if met else "NO") if goals else "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--fields", type=int, default=100)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        opening.projects_folder = lambda: Path(folder) / "projects"
        slide = drawn_slide(Path(folder) / "slide", arguments.fields)
        path, commits = make_project(slide, many_cells(slide, arguments.cells, rng))
        size = path.stat().st_size / 1e6
        screen = Screen()
        openings = []
        for _ in range(OPENINGS):
            openings.append(screen.time(lambda: screen.bench.open_slide(slide), complete=True))
            screen.settle()
        same = time_keys(screen, Order.FIELD_BY_FIELD, rng)[False]
        other = time_keys(screen, Order.LEAST_CERTAIN, rng)[True]
        still = time_still(screen)
        frames, steps = time_scrolling(screen)
        boxed, moves, release, pressed = time_box(screen)
        screen.bench.release()
        screen.viewer.close()
    box = tuple(a + b for a, b in zip(release[0], pressed, strict=True))
    table = pd.DataFrame(
        [
            row("class key, next cell in the same field", same, 50, 100),
            row("class key, next cell in another field", other, 50, 100),
            row("canvas and gallery painted, nothing changed", still),
            row("gallery, repaint while scrolling", frames, 33, 33),
            row("gallery, repaint and what comes in meanwhile", steps),
            row(f"box around {boxed:,} thumbnails: a move of the mouse", moves),
            row(f"box around {boxed:,} thumbnails let go and labelled by key", [box], 500),
            row("project opened, field and gallery shown", openings, None, 2000),
            row(f"{arguments.cells:,} cells on the disk", commits[:1]),
            row("one label on the disk", commits[1:]),
        ]
    )
    load = (
        ", ".join(f"{value:.1f}" for value in before),
        ", ".join(f"{v:.1f}" for v in os.getloadavg()),
    )
    record(
        "review",
        f"Reviewing {arguments.cells:,} cells in {arguments.fields} fields",
        table,
        notes=(
            f"Project file: {size:.1f} MB.",
            "What the machine takes to paint when nothing changed is part of each time to the screen.",
            "Window of 1,500 x 1,000 pixels; OpenGL "
            + (
                "in software."
                if os.environ.get("LIBGL_ALWAYS_SOFTWARE")
                else "as the machine has it."
            ),
            f"Load of the machine (1, 5, 15 minutes) before: {load[0]}; after: {load[1]}.",
        ),
    )


if __name__ == "__main__":
    main()
