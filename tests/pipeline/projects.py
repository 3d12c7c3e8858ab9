"""Projects of a few reviewed cells, and the training sets that are made of them."""

from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
from PIL import Image

from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.split import split_of
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, UNIDENTIFIED
from napari_wbc.pipeline.set_summary import set_summary
from napari_wbc.pipeline.training_sets import export_set_steps
from napari_wbc.session.session import Session
from napari_wbc.storage.sets import read_set
from napari_wbc.storage.workspace import create_workspace, open_workspace
from napari_wbc.storage.workspace.images import check_images_steps

SAID = Prediction(EIGHT_CLASSES.names, (0.3, *[0.1] * 7), 0.0, "tiny 1 (0)")

LABELS = {
    "1.png": ["neutrophil", "monocyte", NOT_CLASSED],
    "2.png": ["basophil", None],
    "3.png": [UNIDENTIFIED, "lymphocyte"],
    "4.png": [None],
}


def make_project(folder, name="slide", labels=LABELS, seed=0, copies=None):
    """A project of one slide; cells with their label, or with none where nobody reviewed them."""
    place = folder / name
    place.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for file in labels:
        Image.fromarray(rng.integers(0, 255, (60, 90, 3), np.uint8)).save(place / file)
    for file, source in (copies or {}).items():
        shutil.copy(source, place / file)
    slide = open_slide(place)
    workspace, session = create_workspace(folder / f"{name}.wbc", EIGHT_CLASSES), Session()
    session.open(slide, workspace)
    cells = [
        Cell(
            f"{name}-{file}-{i}",
            f"{name}/{file}",
            Detection(BBox(5, 25 * i, 15.5, 25 * i + 12)),
            SAID,
            Annotation(label, "ann") if label else None,
        )
        for file, some in labels.items()
        for i, label in enumerate(some)
    ]
    session.commit(session.table.with_cells(cells), "draw")
    session.close()
    run(check_images_steps(workspace, slide))
    workspace.close()
    return folder / f"{name}.wbc"


def export(projects, out, **options):
    return run(
        export_set_steps([projects] if not isinstance(projects, list) else projects, out, **options)
    )


def labels_in(folder):
    return Counter(c.label for f in read_set(folder).fields for c in f.cells)


def relabel(project, cell_id, label):
    workspace, session = open_workspace(project), Session()
    session.open(workspace.slides()[0], workspace)
    session.commit(
        session.table.with_cells([session.table[cell_id].annotated(Annotation(label))]), "label"
    )
    session.close()
    workspace.close()


def named(split, start=0):
    """A slide whose name puts it there."""
    return next(f"s{i}" for i in range(start, 999) if split_of(f"s{i}") == split)


def sides_in(folder):
    return {one.name: one.split for one in set_summary(folder).slides}
