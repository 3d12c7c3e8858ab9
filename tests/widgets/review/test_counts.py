"""The differential on screen, row by row."""

from __future__ import annotations

import pytest
from tests.widgets.red_fields import cell

from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.session.session import Session
from napari_wbc.widgets.review.counts import CountsTable


@pytest.fixture
def session():
    return Session()


@pytest.fixture
def counts(session, qtbot):
    counts = CountsTable(session)
    qtbot.addWidget(counts)
    yield counts
    counts.release()


def row(counts, name):
    rows = ([counts.item(i, j).text() for j in range(4)] for i in range(counts.rowCount()))
    return next(texts[1:] for texts in rows if texts[0] == name)


def label(session, *labels):
    cells = [cell(str(i)).annotated(Annotation(name)) for i, name in enumerate(labels)]
    session.commit(session.table.with_cells(cells), "label")


def test_without_leukocytes_there_is_no_percentage(counts, session):
    assert row(counts, "leukocytes") == ["0", "", ""]
    label(session, "erythroblast")
    assert row(counts, "erythroblast") == ["1", "", ""]
    assert row(counts, "leukocytes") == ["0", "", ""]


def test_counts_follow_the_labels(counts, session):
    label(session, "monocyte", "monocyte", "basophil", "basophil", "erythroblast")
    assert row(counts, "monocyte") == ["2", "50.0", "6.8 – 93.2"]
    assert row(counts, "leukocytes") == ["4", "100", ""]
    assert row(counts, "erythroblast") == ["1", "", ""]
    session.undo()
    assert counts.rowCount() == 2


def test_erythroblasts_are_counted_per_100_of_enough_leukocytes(counts, session):
    label(session, *["monocyte"] * 20, "erythroblast")
    assert row(counts, "erythroblast") == ["1", "", "5.0 per 100"]


def test_classes_without_cells_share_one_row(counts, session):
    names = session.taxonomy.names
    label(session, *names[:1] * 3)
    assert counts.item(0, 0).text() == names[0]
    last = counts.rowCount() - 1
    text = counts.item(last, 0).text()
    assert text.startswith("none: ")
    assert names[1] in text
    assert names[0] not in text
    assert counts.columnSpan(last, 0) == 4
    assert "up to 70.8 %" in counts.item(last, 0).toolTip()
    label(session, *names[:2])
    assert counts.columnSpan(1, 0) == 1
    assert not counts.item(1, 0).toolTip()
    assert counts.minimumHeight() == counts.maximumHeight()


def test_a_click_on_a_class_tells_its_label_and_on_the_sum_nothing(counts, session):
    label(session, "monocyte", "unidentified")
    clicked = []
    counts.label_clicked.connect(clicked.append)
    for i in range(counts.rowCount()):
        counts.cellClicked.emit(i, 0)
    assert clicked == ["monocyte", "unidentified"]


def test_candidates_have_a_row_that_says_they_are_not_counted(counts, session):
    label(session, "monocyte")
    names = [counts.item(i, 0).text() for i in range(counts.rowCount())]
    assert "candidate" not in names
    box = Detection(BBox(40, 40, 50, 50), candidate=True)
    found = [Cell(name, "f0", box) for name in ("a", "b", "c")]
    session.commit(session.table.with_cells(found), "analyze")
    assert row(counts, "candidate") == ["3", "", "not counted"]
    assert row(counts, "leukocytes") == ["1", "100", ""]
    clicked = []
    counts.label_clicked.connect(clicked.append)
    counts.cellClicked.emit(counts.rowCount() - 2, 0)
    assert clicked == ["candidate"]
