from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.taxonomy import EIGHT_CLASSES, TWO_CLASSES
from napari_wbc.widgets.gallery.arrange import ORDERS, Group, arranged, rearranged

BOX = Detection(BBox(0, 0, 9, 9))
NAMES = TWO_CLASSES.names


def cell(name, confidence=None, unlikeness=None, label=None):
    prediction = (
        None
        if confidence is None
        else Prediction(NAMES, (confidence, 1 - confidence), 0.6, unlikeness=unlikeness)
    )
    return Cell(name, "f", BOX, prediction, None if label is None else Annotation(label))


def shown(groups):
    return {group.label: group.cell_ids for group in groups if group.cell_ids}


class TestArranged:
    @pytest.mark.parametrize("order", ORDERS)
    def test_no_cells_give_an_empty_group_for_every_label(self, order):
        groups = arranged(CellTable(), EIGHT_CLASSES, order=order)
        assert groups == tuple(Group(label) for label in EIGHT_CLASSES.labels)

    def test_orders(self):
        table = CellTable(
            [
                cell("a", 0.9, 0.5),
                cell("b"),
                cell("c", 0.7, 2.0),
                cell("d", 0.9, None),
                cell("e", 0.8, 0.5),
            ]
        ).with_cells([cell("b", label="mononuclear")])
        got = {
            order: shown(arranged(table, TWO_CLASSES, order=order))["mononuclear"]
            for order in ORDERS
        }
        assert {order: "".join(ids) for order, ids in got.items()} == {
            "confidence": "bcead",
            "unlikeness": "caebd",
            "likeness": "adecb",
            "field": "abcde",
        }

    def test_a_label_is_annotation_or_else_prediction_or_else_unidentified(self):
        table = CellTable(
            [cell("a", 0.9), cell("b", 0.9, label="not classed"), cell("c", 0.5), cell("d")]
        )
        assert shown(arranged(table, TWO_CLASSES)) == {
            "mononuclear": ("a",),
            "unidentified": ("d", "c"),
            "not classed": ("b",),
        }

    def test_unknown_labels_come_last_by_name(self):
        table = CellTable([cell("a", label="smudge"), cell("b", label="giant platelet")])
        labels = [group.label for group in arranged(table, TWO_CLASSES)]
        assert labels == [*TWO_CLASSES.labels, "giant platelet", "smudge"]

    def test_filter(self):
        table = CellTable([cell("a", 0.9), cell("b", 0.7)])
        assert shown(arranged(table, TWO_CLASSES, keep=lambda c: c.cell_id == "b")) == {
            "mononuclear": ("b",)
        }

    def test_no_such_order(self):
        with pytest.raises(WbcError, match="choose one of: confidence"):
            arranged(CellTable(), TWO_CLASSES, order="size")

    def test_ten_thousand_cells(self):
        table = CellTable(cell(str(i), (i * 7919 % 10_000) / 10_000) for i in range(10_000))
        took = []
        for _ in range(5):
            start = time.thread_time()
            groups = arranged(table, TWO_CLASSES)
            took.append(time.thread_time() - start)
        assert sum(len(group.cell_ids) for group in groups) == 10_000
        assert min(took) < 0.1  # 10 ms, with room for a slow machine


cells = st.builds(
    cell,
    st.sampled_from("abcdefgh"),
    st.none() | st.sampled_from([0.0, 0.5, 0.7, 0.7, 1.0]),
    st.none() | st.sampled_from([0.5, 2.0]),
    st.none() | st.sampled_from(["mononuclear", "not classed", "smudge"]),
)


@given(
    st.lists(cells),
    st.lists(cells),
    st.sets(st.sampled_from("abcdefgh")),
    st.sampled_from(ORDERS),
    st.booleans(),
)
def test_rearranged_is_arranged_anew(before, after, gone, order, filtered):
    keep = (lambda c: c.annotation is None) if filtered else None
    # So many others that the few are put in their places.
    many = CellTable(cell(f"m{i}", 0.7 + 0.1 * (i % 3)) for i in range(200))
    old = many.with_cells(before)
    new = old.without(gone).with_cells(after)
    groups = arranged(old, TWO_CLASSES, order=order, keep=keep)
    again = rearranged(groups, diff(old, new), new, TWO_CLASSES, order=order, keep=keep)
    assert again == arranged(new, TWO_CLASSES, order=order, keep=keep)


def test_many_changes_are_sorted_anew():
    new = CellTable(cell(str(i), 0.9) for i in range(9))
    groups = rearranged(
        arranged(CellTable(), TWO_CLASSES), diff(CellTable(), new), new, TWO_CLASSES
    )
    assert groups == arranged(new, TWO_CLASSES)
