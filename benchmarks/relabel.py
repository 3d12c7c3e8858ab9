"""How long relabelling one cell of a large Shapes layer takes, in a real viewer.

    python benchmarks/relabel.py [--cells 1000]

Relabelling is the commit of the new label with session, layer and counts table following; the
repaint of the window comes after it and is shown beside that of an unchanged window, since on a
machine without a graphics card OpenGL runs in software. Needs a display.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import napari
import numpy as np
import pandas as pd
from qtpy.QtWidgets import QApplication

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import Outline
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.widgets.workbench import Workbench
from record import record

FIELD = "slide/field.png"


def many_cells(n: int, names: tuple[str, ...], rng: np.random.Generator) -> list[Cell]:
    """Cells with outlines of 32 vertices, spread over a field of 3,000 x 3,000 pixels."""
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    circle = 30 * np.column_stack([np.sin(turn), np.cos(turn)])
    cells = []
    for center in rng.uniform(50, 2950, (n, 2)):
        outline = Outline.from_array(circle + center)
        chances = rng.dirichlet(np.full(len(names), 0.3))
        cell = Cell.new(FIELD, Detection(outline.bbox, outline, 0.9))
        cells.append(cell.predicted(Prediction(names, tuple(chances / chances.sum()))))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=100)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    viewer = napari.Viewer(show=True)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, name="WBC")
    session = bench.session
    names = session.taxonomy.names
    session.open(Slide("slide", ()))
    field = FieldOfView(FIELD, Path(FIELD))
    bench.view._pixels = {FIELD: np.full((3000, 3000, 3), 230, np.uint8)}
    session.open(Slide("slide", (field,)))
    bench.view.show(field, bench.view.read(field))
    cells = many_cells(arguments.cells, names, rng)
    start = time.perf_counter()
    session.commit(session.table.with_cells(cells), "show")
    QApplication.processEvents()
    shown = time.perf_counter() - start
    times = []
    for _ in range(arguments.repeats):
        cell = session.table[cells[rng.integers(len(cells))].cell_id]
        label = str(rng.choice([name for name in names if name != cell.label]))
        start = time.perf_counter()
        session.commit(session.table.with_cells([cell.annotated(Annotation(label))]), "label")
        committed = time.perf_counter()
        QApplication.processEvents()
        times.append([1000 * (committed - start), 1000 * (time.perf_counter() - committed)])
    (median, repaint), (p99, repaint99) = np.percentile(times, [50, 99], axis=0)
    still = []
    for _ in range(20):
        viewer.window._qt_viewer.canvas.native.update()
        start = time.perf_counter()
        QApplication.processEvents()
        still.append(1000 * (time.perf_counter() - start))
    table = pd.DataFrame(
        [
            {
                "cells": arguments.cells,
                "show all, s": round(shown, 2),
                "relabel one, ms (median)": round(median, 1),
                "relabel one, ms (99th percentile)": round(p99, 1),
                "repaint after it, ms (median)": round(repaint, 1),
                "repaint after it, ms (99th percentile)": round(repaint99, 1),
                "repaint of an unchanged window, ms (median)": round(float(np.median(still)), 1),
                "repeats": arguments.repeats,
            }
        ]
    )
    record("relabel", "Relabelling one cell of a Shapes layer", table)
    bench.release()
    viewer.close()


if __name__ == "__main__":
    main()
