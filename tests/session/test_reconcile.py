"""What a layer's shapes mean: who is who, what moved, what is new and what is gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, UNIDENTIFIED
from napari_wbc.session.reconcile import ShapeRow, reconcile

FOV = "s/1.png"
OUTLINE = Outline.from_array([(0, 5), (5, 10), (10, 5), (5, 0)])
PREDICTION = Prediction(("basophil", "monocyte"), (0.9, 0.1))
BOXED = Cell("boxed", FOV, Detection(BBox(20, 20, 30, 30), score=0.8), PREDICTION)
OUTLINED = Cell(
    "outlined", FOV, Detection(OUTLINE.bbox, OUTLINE, 0.7), PREDICTION, Annotation("lymphocyte")
)
ELSEWHERE = Cell("elsewhere", "s/2.png", Detection(BBox(1, 1, 9, 9)))
TABLE = CellTable([BOXED, OUTLINED, ELSEWHERE])


def row(cell, **changes):
    values = {"label": cell.label, "bbox": cell.detection.bbox, "outline": cell.detection.outline}
    return ShapeRow(**({"cell_id": cell.cell_id} | values | changes))


def mean(*rows, table=TABLE, fov_id=FOV):
    return reconcile(
        table, rows, fov_id, EIGHT_CLASSES, annotator="me", when="2026-01-01T00:00:00+00:00"
    )


def shifted(box, by):
    return BBox(box.top + by, box.left + by, box.bottom + by, box.right + by)


def test_no_shapes_of_no_cells_change_nothing():
    empty = CellTable()
    assert mean(table=empty) is empty
    assert mean(fov_id="s/3.png") is TABLE


@pytest.mark.parametrize("order", [1, -1])
def test_the_same_shapes_in_any_order_are_the_same_table(order):
    assert mean(*[row(BOXED), row(OUTLINED)][::order]) is TABLE


def test_a_copy_of_the_same_outline_is_the_same_table():
    again = Outline.from_array(OUTLINE.array() + 1e-4)
    assert mean(row(BOXED), row(OUTLINED, outline=again, bbox=again.bbox)) is TABLE


@pytest.mark.parametrize("cell_id", ["", "unknown", "elsewhere"])
def test_a_drawn_shape_is_a_new_cell_without_a_label(cell_id):
    drawn = ShapeRow(cell_id, "basophil", BBox(40, 40, 50, 50))
    change = diff(TABLE, mean(row(BOXED), row(OUTLINED), drawn))
    assert (change.removed, change.changed) == ((), ())
    (new,) = change.added
    assert new.cell_id not in {"", *TABLE, cell_id}
    assert (new.fov_id, new.detection, new.label) == (
        FOV,
        Detection(BBox(40, 40, 50, 50), drawn=True),
        UNIDENTIFIED,
    )


def test_a_pasted_shape_is_a_new_cell_and_the_first_keeps_its_id():
    pasted = row(
        OUTLINED, bbox=shifted(OUTLINE.bbox, 3), outline=Outline.from_array(OUTLINE.array() + 3)
    )
    change = diff(TABLE, mean(row(BOXED), row(OUTLINED), pasted))
    assert (change.removed, change.changed) == ((), ())
    assert change.added[0].detection.outline == pasted.outline
    assert (change.added[0].prediction, change.added[0].annotation) == (None, None)


def test_a_moved_box_keeps_id_and_annotation_and_drops_prediction_and_outline():
    box = BBox(0, 0, 10, 11)
    table = mean(row(BOXED), row(OUTLINED, bbox=box, outline=None))
    assert table["outlined"] == Cell(
        "outlined", FOV, Detection(box, drawn=True), None, OUTLINED.annotation
    )
    assert table["boxed"] is BOXED


def test_a_moved_cell_that_only_the_model_named_is_unidentified():
    table = mean(row(BOXED, bbox=shifted(BOXED.detection.bbox, 1)), row(OUTLINED))
    assert (table["boxed"].label, table["boxed"].label_source) == (UNIDENTIFIED, "none")


@pytest.mark.parametrize("label", ["monocyte", UNIDENTIFIED, NOT_CLASSED])
def test_another_label_is_an_annotation_beside_the_prediction(label):
    cell = mean(row(BOXED, label=label), row(OUTLINED))["boxed"]
    assert cell.annotation == Annotation(label, "me", "2026-01-01T00:00:00+00:00")
    assert cell.prediction is PREDICTION
    assert cell.detection is BOXED.detection


def test_a_cell_moved_and_relabelled_at_once_is_both():
    box = shifted(BOXED.detection.bbox, 2)
    cell = mean(row(BOXED, label="monocyte", bbox=box), row(OUTLINED))["boxed"]
    assert (cell.detection.bbox, cell.label, cell.prediction) == (box, "monocyte", None)


@pytest.mark.parametrize("label", ["", "nan", "Basophil", "zebra", "3"])
def test_nonsense_is_no_label(label):
    assert mean(row(BOXED, label=label), row(OUTLINED, label=label)) is TABLE


def test_a_deleted_shape_is_a_gone_cell():
    change = diff(TABLE, mean(row(OUTLINED)))
    assert (change.added, change.removed, change.changed) == ((), (BOXED,), ())


def test_cells_of_other_fields_are_left_alone():
    table = mean()
    assert dict(table) == {"elsewhere": ELSEWHERE}
    assert table["elsewhere"] is ELSEWHERE


def test_everything_at_once():
    moved = row(BOXED, bbox=shifted(BOXED.detection.bbox, 1))
    drawn = ShapeRow("", UNIDENTIFIED, BBox(70, 70, 80, 80))
    change = diff(TABLE, mean(moved, drawn))
    assert [len(x) for x in (change.added, change.removed, change.changed)] == [1, 1, 1]


BOXES = st.builds(
    lambda top, left, side: BBox(top, left, top + side, left + side),
    *[st.integers(0, 50)] * 2,
    st.integers(1, 20),
)
SHAPES = st.one_of(st.just((OUTLINE.bbox, OUTLINE)), BOXES.map(lambda box: (box, None)))
ROWS = st.builds(
    lambda cell_id, label, shape: ShapeRow(cell_id, label, *shape),
    st.sampled_from(["", "unknown", *TABLE]),
    st.sampled_from([*EIGHT_CLASSES.labels, "zebra"]),
    SHAPES,
)


@given(st.lists(ROWS, max_size=8))
def test_whatever_a_layer_holds_the_table_means_it_and_reading_it_again_changes_nothing(rows):
    table = mean(*rows)
    here = table.of_field(FOV)
    assert sorted(str(r.bbox) for r in rows) == sorted(str(cell.detection.bbox) for cell in here)
    assert mean(*map(row, here), table=table) is table
    assert mean(*rows[:0], table=table)["elsewhere"] is ELSEWHERE
