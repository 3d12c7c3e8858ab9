"""The table of cells against a plain dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.table import CellTable, TableDiff, diff

IDS = st.sampled_from("abcdef")
CELLS = st.builds(
    lambda key, fov, label, top: Cell(
        key,
        fov,
        Detection(BBox(top, 0, top + 5, 5)),
        annotation=Annotation(label) if label else None,
    ),
    IDS,
    st.sampled_from(["1.png", "2.png"]),
    st.sampled_from(["", "basophil", "monocyte"]),
    st.integers(0, 2),
)
TABLES = st.lists(CELLS, max_size=8).map(CellTable)


def test_an_empty_table_is_empty():
    table = CellTable()
    assert (len(table), list(table), table.of_field("a")) == (0, [], ())
    assert not table.without(["x"])
    assert diff(table, CellTable()) == TableDiff()


@given(TABLES, st.lists(CELLS, max_size=8), st.lists(IDS, max_size=4))
def test_a_table_is_a_dict_that_never_changes(table, cells, gone):
    before = dict(table)
    more, less = table.with_cells(cells), table.without(gone)
    assert dict(table) == before
    assert dict(more) == before | {cell.cell_id: cell for cell in cells}
    assert list(more) == list(before | {cell.cell_id: cell for cell in cells})
    assert list(less) == [key for key in before if key not in gone]
    for fov_id in ("1.png", "2.png", "3.png"):
        assert list(table.of_field(fov_id)) == [
            cell for cell in before.values() if cell.fov_id == fov_id
        ]


@given(TABLES, st.lists(CELLS, max_size=8), st.lists(IDS, max_size=4), st.booleans())
def test_counts_follow_what_changes(table, cells, gone, asked):
    if asked:  # a table goes on from the counts of the one before only where these are known
        table.label_counts, table.annotated_counts, table.of_field("1.png"), table.unclassified
    for now in (
        table.with_cells(cells),
        table.with_cells(cells).without(gone).with_cells(cells[:2]),
    ):
        labels = [cell.label for cell in now.values()]
        said = [cell.annotation.label for cell in now.values() if cell.annotation]
        assert dict(now.label_counts) == {label: labels.count(label) for label in labels}
        assert dict(now.annotated_counts) == {label: said.count(label) for label in said}
        assert now.label_counts["none such"] == 0
        assert now.unclassified == [cell.prediction for cell in now.values()].count(None)
        for fov_id in ("1.png", "2.png"):
            assert list(now.of_field(fov_id)) == [
                cell for cell in now.values() if cell.fov_id == fov_id
            ]
    assert dict(table.label_counts) == dict(CellTable(table.values()).label_counts)


@given(TABLES, st.lists(CELLS, max_size=8))
def test_the_diff_that_a_table_is_made_by_is_the_one_that_is_found(table, cells):
    quick = diff(table, more := table.with_cells(cells))
    found = diff(table, CellTable(more.values()))
    assert set(quick.added) == set(found.added)
    assert set(quick.changed) == set(found.changed)
    assert not quick.removed


@given(TABLES, TABLES)
def test_a_diff_leads_from_one_table_to_the_other(old, new):
    change = diff(old, new)
    assert bool(change) == (dict(old) != dict(new))
    assert all(
        before != after and before.cell_id == after.cell_id for before, after in change.changed
    )
    led = old.without(cell.cell_id for cell in change.removed)
    led = led.with_cells([*change.added, *(after for _, after in change.changed)])
    assert dict(led) == dict(new)


@given(TABLES)
def test_tables_share_the_cells_that_did_not_change(table):
    other = table.with_cells([Cell("z", "1.png", Detection(BBox(0, 0, 1, 1)))])
    assert all(other[key] is cell for key, cell in table.items())


def test_a_table_says_how_many_cells_it_holds():
    assert repr(CellTable()) == "CellTable(0 cells)"
