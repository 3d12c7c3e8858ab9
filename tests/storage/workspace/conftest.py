"""Cells, tables and a project to put them in."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import strategies as st

from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.storage.workspace import create_workspace

DATA = Path(__file__).parents[1] / "data"
SLIDE = Slide("s", tuple(FieldOfView(f"s/{i}.png", Path(f"/data/s/{i}.png")) for i in range(3)))

finite = st.floats(0, 4000, allow_nan=False)
boxes = st.builds(
    lambda top, left, high, wide: BBox(top, left, top + high, left + wide),
    finite,
    finite,
    *[st.floats(1, 300)] * 2,
)
outlines = st.builds(
    lambda box: Outline(((box.top, box.left), (box.top, box.right), (box.bottom, box.left))), boxes
)
parameters = st.dictionaries(
    st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=3
).map(lambda values: tuple(values.items()))
located_by = st.none() | st.builds(LocatedBy, st.text(max_size=5), parameters)
detections = st.one_of(
    st.builds(
        Detection, boxes, st.none(), st.floats(0, 1), st.booleans(), located_by, st.booleans()
    ),
    st.builds(
        lambda o, s, by: Detection(o.bbox, o, s, located_by=by),
        outlines,
        st.floats(0, 1),
        located_by,
    ),
)
predictions = st.builds(
    Prediction,
    st.just(EIGHT_CLASSES.names),
    st.tuples(*[st.floats(0, 1)] * 8),
    st.floats(0, 1),
    st.text(max_size=5),
    st.none() | st.floats(0, 9),
    st.text(max_size=5),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
annotations = st.builds(Annotation, st.sampled_from(EIGHT_CLASSES.labels), texts, texts)
cells = st.builds(
    lambda key, *parts: Cell(key, SLIDE.fields[ord(key) % 3].fov_id, *parts),
    st.sampled_from("abcdefgh"),
    detections,
    st.none() | predictions,
    st.none() | annotations,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a folder, ü #1%" / "p?.wbc"


@pytest.fixture
def workspace(path):
    made = create_workspace(path, EIGHT_CLASSES)
    made.put_slide(SLIDE)
    yield made
    made.close()


@pytest.fixture
def closed(workspace, path):
    """A project with one cell, closed."""
    from tests.storage.workspace.test_workspace import ONE, step

    workspace.write("s", [step(1, CellTable(), CellTable([ONE]))])
    workspace.close()
    return path


@pytest.fixture
def version_1(tmp_path):
    """A project of the first version: analyzed, drawn, labelled and moved, in four steps."""
    path = tmp_path / "projects" / "p.wbc"
    path.parent.mkdir()
    script = (DATA / "version_1.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as file:
        file.executescript(script)
    return path


@pytest.fixture
def version_2(tmp_path):
    """A project of version 2: analyzed, drawn, labelled, deleted, undone, read twice."""
    path = tmp_path / "projects" / "p.wbc"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(DATA / "version_2.wbc", path)
    return path
