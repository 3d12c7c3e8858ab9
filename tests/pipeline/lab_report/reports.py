"""Slides for reports, with images of noise and cells of given labels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.analysis import Analysis, SlideAnalysis
from napari_wbc.pipeline.lab_report.reference import settings_of

WHEN = "2026-11-30T09:00:00.000+00:00"
ORDINARY = {"neutrophil": 60, "lymphocyte": 30, "monocyte": 6, "eosinophil": 3, "basophil": 1}
settings = settings_of


def cell(i, label, fov, *, reviewed=True):
    box = Detection(BBox(5, 5 + i % 60, 25, 25 + i % 60))
    if reviewed:
        said = Annotation(label, "A. Reader", WHEN)
        return Cell(f"{label} {i:06d}", fov, box, Prediction((label,), (1.0,)), said)
    return Cell(f"{label} {i:06d}", fov, box, Prediction((label,), (0.9,), 0.5, "tiny 1 (0)"))


def slide(folder, counts, *, name="s", reviewed=True, fields=2, first=0):
    (folder / "images").mkdir(exist_ok=True, parents=True)
    places = []
    for k in range(fields):
        path = folder / "images" / f"{k}.png"
        if not path.exists():
            noise = np.random.default_rng(k).integers(0, 255, (60, 90, 3), np.uint8)
            Image.fromarray(noise).save(path)
        places.append(FieldOfView(f"{name}/{k}.png", path))
    cells = []
    for label, n in counts.items():
        ids = range(first, first + n)
        cells += [cell(i, label, places[i % fields].fov_id, reviewed=reviewed) for i in ids]
    return SlideAnalysis(Slide(name, tuple(places)), CellTable(cells))


def analysis(*slides):
    return Analysis(slides)
