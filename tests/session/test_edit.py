"""Cells cut in two and joined: nothing of a cell is lost, and nothing is there twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.table import CellTable, diff
from napari_wbc.session.edit import accepted, joined, split

PREDICTION = Prediction(("basophil", "monocyte"), (0.9, 0.1))


def outlined(points, cell_id="a", fov_id="1", said=None):
    outline = Outline.from_array(points)
    return Cell(
        cell_id,
        fov_id,
        Detection(outline.bbox, outline),
        PREDICTION,
        Annotation(said) if said else None,
    )


def boxed(top, left, bottom, right, cell_id="a", fov_id="1", said=None):
    box = BBox(top, left, bottom, right)
    return Cell(cell_id, fov_id, Detection(box), PREDICTION, Annotation(said) if said else None)


def points(shape):
    return shapely.get_coordinates(shape)[:-1]


def shape(cell):
    outline, box = cell.detection.outline, cell.detection.bbox
    return shapely.Polygon(outline.vertices if outline else box.corners())


def halves(cell, **options):
    return list(split(CellTable([cell]), cell.cell_id, **options).values())


def disc(row, col, radius):
    return shapely.Point(row, col).buffer(radius, quad_segs=32)


def check(cell, parts):
    """The parts are all of the cell, valid and apart, and each is no other's."""
    whole, (one, two) = shapely.make_valid(shape(cell)), map(shape, parts)
    assert one.is_valid
    assert two.is_valid
    assert one.area + two.area == pytest.approx(whole.area, rel=1e-6)
    assert one.intersection(two).area < 1e-6 * whole.area
    assert one.difference(whole).area < 1e-6 * whole.area
    assert len({cell.cell_id, *(part.cell_id for part in parts)}) == 3
    for part in parts:
        assert (part.fov_id, part.prediction, part.annotation) == (cell.fov_id, None, None)
        assert part.detection.drawn
        if part.detection.outline:
            assert part.detection.bbox == part.detection.outline.bbox


def test_no_cell_can_be_split_or_joined():
    with pytest.raises(WbcError, match="no longer in the table; select again"):
        split(CellTable(), "a")
    with pytest.raises(WbcError, match="no longer in the table; select again"):
        joined(CellTable(), ["a", "b"])
    with pytest.raises(WbcError, match="select at least two"):
        joined(CellTable(), [])


@pytest.mark.parametrize("sides", [(10, 30), (30, 10)])
def test_a_box_is_cut_into_boxes_across_its_longer_side(sides):
    cell = boxed(5, 7, 5 + sides[0], 7 + sides[1], said="monocyte")
    parts = halves(cell)
    check(cell, parts)
    assert [part.detection.outline for part in parts] == [None, None]
    for part in parts:
        assert sorted((part.detection.bbox.height, part.detection.bbox.width)) == pytest.approx(
            [10, 15]
        )


def test_only_the_cell_is_replaced():
    others = [boxed(0, 0, 9, 9, "b"), boxed(0, 0, 9, 9, "c", "2")]
    before = CellTable([boxed(0, 0, 10, 20), *others])
    change = diff(before, split(before, "a"))
    assert ([cell.cell_id for cell in change.removed], change.changed, len(change.added)) == (
        ["a"],
        (),
        2,
    )
    assert len(before) == 3


def test_an_ellipse_is_cut_through_its_centroid():
    ellipse = shapely.affinity.rotate(shapely.affinity.scale(disc(50, 60, 10), 2, 1), 30)
    cell = outlined(points(ellipse))
    parts = halves(cell)
    check(cell, parts)
    assert [shape(part).area for part in parts] == pytest.approx([ellipse.area / 2] * 2, rel=1e-3)


@pytest.mark.parametrize("angle", [0, 37, 90, 200])
@pytest.mark.parametrize(
    ("radii", "distance"), [((10, 10), 19), ((10, 10), 15), ((16, 10), 23), ((18, 9), 26)]
)
def test_two_touching_cells_are_cut_at_their_waist(angle, radii, distance):
    first, second = disc(40, 40, radii[0]), disc(40, 40 + distance, radii[1])
    turned = shapely.affinity.rotate(shapely.union_all([first, second]), angle, origin=(40, 40))
    cell = outlined(points(turned))
    parts = halves(cell)
    check(cell, parts)
    waist = 40 + (distance**2 + radii[0] ** 2 - radii[1] ** 2) / (2 * distance)
    expected = [
        first.intersection(shapely.box(0, 0, 99, waist)).area,
        second.intersection(shapely.box(0, waist, 99, 99)).area,
    ]
    assert sorted(shape(part).area for part in parts) == pytest.approx(sorted(expected), rel=0.02)


def test_a_long_neck_is_cut_in_the_middle():
    dumbbell = shapely.union_all([disc(0, 0, 10), disc(0, 40, 10), shapely.box(-3, 0, 3, 40)])
    parts = halves(outlined(points(dumbbell)))
    assert shape(parts[0]).area == pytest.approx(shape(parts[1]).area, rel=1e-3)


def test_a_line_cuts_where_it_is_drawn():
    cell = outlined(points(disc(20, 20, 10)))
    parts = halves(cell, along=((15, 0), (15, 1)))
    check(cell, parts)
    assert parts[0].detection.bbox.bottom == pytest.approx(15)
    assert parts[1].detection.bbox.top == pytest.approx(15)


def test_a_slanting_line_cuts_a_box_into_outlines():
    cell = boxed(0, 0, 10, 10)
    parts = halves(cell, along=((0, 0), (10, 10)))
    check(cell, parts)
    assert [len(part.detection.outline.vertices) for part in parts] == [3, 3]


def test_only_the_largest_piece_on_either_side_is_a_cell():
    comb = [(0, 0), (0, 30), (20, 30), (20, 18), (10, 18), (10, 8), (20, 8), (20, 0)]
    parts = halves(outlined(comb), along=((12, 0), (12, 30)))
    assert [shape(part).area for part in parts] == pytest.approx([30 * 10 + 2 * 20, 8 * 12])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (((50, 0), (50, 9)), "draw it across the cell"),
        (((0, 0), (0, 9)), "draw it across the cell"),
        (((0.01, 0), (0.01, 9)), "draw it across the cell"),
        (((5, 5), (5, 5)), "two points that lie apart"),
        (((5, 5), (math.nan, 5)), "two points that lie apart"),
        (((5, 5), (math.inf, 5)), "two points that lie apart"),
    ],
)
def test_a_line_that_cuts_nothing_is_refused(line, message):
    with pytest.raises(WbcError, match=message):
        halves(boxed(0, 0, 10, 10), along=line)


@pytest.mark.parametrize("cell", [boxed(0, 0, 1, 1), outlined([(0, 0), (0, 1), (1, 0)])])
def test_a_cell_of_a_pixel_is_too_small_to_be_cut(cell):
    with pytest.raises(WbcError, match="too small to be cut"):
        halves(cell)


def test_an_outline_without_an_area_is_cut_as_its_box():
    parts = halves(outlined([(0, 0), (10, 10), (20, 20)]))
    assert sum(shape(part).area for part in parts) == pytest.approx(400)


def test_an_outline_that_crosses_itself_is_cut_in_its_larger_part():
    parts = halves(outlined([(0, 0), (20, 20), (20, 0), (0, 20), (-20, 20)]))
    assert all(shape(part).is_valid for part in parts)


def test_who_located_a_cell_stays_with_its_parts_and_with_cells_of_one_locator():
    mask, hsv = LocatedBy("mask-rcnn", (("score", 0.5),)), LocatedBy("hsv")
    whole = Cell.new("1", Detection(BBox(0, 0, 20, 40), located_by=mask))
    parts = split(CellTable([whole]), whole.cell_id)
    assert {cell.detection.located_by for cell in parts.values()} == {mask}
    assert next(iter(joined(parts, parts).values())).detection.located_by == mask
    other = Cell.new("1", Detection(BBox(0, 40, 20, 60), located_by=hsv))
    both = CellTable([whole, other])
    assert next(iter(joined(both, both).values())).detection.located_by is None


def test_cells_that_touch_become_their_union():
    cells = [
        outlined(points(disc(20, 20, 10))),
        outlined(points(disc(20, 35, 10)), "b"),
        boxed(0, 0, 5, 5, "c"),
    ]
    table = joined(CellTable(cells), ["a", "b", "a"])
    *rest, new = table.values()
    assert rest == [cells[2]]
    assert shape(new).area == pytest.approx(shape(cells[0]).union(shape(cells[1])).area)
    assert (new.fov_id, new.prediction, new.annotation, new.detection.drawn) == (
        "1",
        None,
        None,
        True,
    )
    assert new.cell_id not in {"a", "b", "c"}


def test_cells_apart_become_their_convex_hull():
    cells = [outlined(points(disc(20, 20, 10))), outlined(points(disc(20, 50, 10)), "b")]
    (new,) = joined(CellTable(cells), "ab").values()
    assert shape(new).equals(shapely.union_all([shape(cell) for cell in cells]).convex_hull)


def test_cells_a_corner_apart_touch():
    left = [(0, 0), (0, 10), (10, 10), (10, 0)]
    right = [(10, 10), (10, 20), (20, 20), (20, 10)]
    (new,) = joined(CellTable([outlined(left), outlined(right, "b")]), "ab").values()
    assert shape(new).is_valid
    assert shape(new).area == pytest.approx(200, abs=2)


def test_a_ring_of_cells_has_no_hole():
    ring = [
        boxed(0, 0, 10, 30),
        boxed(20, 0, 30, 30, "b"),
        outlined([(5, 0), (5, 10), (25, 10), (25, 0)], "c"),
    ]
    ring.append(boxed(0, 20, 30, 30, "d"))
    (new,) = joined(CellTable(ring), "abcd").values()
    assert shape(new).area == pytest.approx(900)


def test_boxes_become_the_box_around_them():
    cells = [boxed(0, 0, 10, 10), boxed(5, 30, 20, 40, "b")]
    (new,) = joined(CellTable(cells), "ab").values()
    assert new.detection == Detection(BBox(0, 0, 20, 40), drawn=True)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((None, None), None),
        (("monocyte", None), "monocyte"),
        (("monocyte", "monocyte"), "monocyte"),
        (("monocyte", "basophil"), None),
    ],
)
def test_only_an_annotation_that_nobody_contradicts_is_kept(said, expected):
    cells = [boxed(0, 10 * i, 10, 10 * i + 10, key, said=said[i]) for i, key in enumerate("ab")]
    (new,) = joined(CellTable(cells), "ab").values()
    assert (new.annotation and new.annotation.label) == expected


def test_what_cannot_be_joined_is_refused():
    table = CellTable([boxed(0, 0, 9, 9), boxed(0, 0, 9, 9, "b", "2")])
    for cell_ids in ([], ["a"], ["a", "a"]):
        with pytest.raises(WbcError, match="select at least two cells"):
            joined(table, cell_ids)
    with pytest.raises(WbcError, match="in 2 fields; select cells of one field"):
        joined(table, "ab")
    with pytest.raises(WbcError, match="no longer in the table"):
        joined(table, ["a", "zebra"])


NUMBERS = st.integers(0, 1000).map(lambda tenth: tenth / 10)
CLOUDS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=12)


def convex(cloud):
    hull = shapely.MultiPoint(cloud).convex_hull
    assume(isinstance(hull, shapely.Polygon))
    assume(hull.area > 60)
    return outlined(points(hull))


@given(CLOUDS)
def test_any_convex_cell_is_cut_in_two_and_joined_again(cloud):
    cell = convex(cloud)
    table = split(CellTable([cell]), "a")
    check(cell, list(table.values()))
    (again,) = joined(table, table).values()
    assert shape(again).is_valid
    assert shape(again).area == pytest.approx(shape(cell).area, rel=1e-3)


@given(NUMBERS, NUMBERS, st.integers(2, 300), st.integers(2, 300))
def test_any_box_is_cut_into_boxes_and_joined_again(top, left, height, width):
    cell = boxed(top, left, top + height, left + width)
    table = split(CellTable([cell]), "a")
    check(cell, list(table.values()))
    (again,) = joined(table, table).values()
    assert again.detection.outline is None
    np.testing.assert_allclose(
        again.detection.bbox.corners(), cell.detection.bbox.corners(), atol=1e-6
    )


@given(CLOUDS, st.floats(0, math.pi))
def test_any_line_through_the_middle_cuts(cloud, angle):
    cell = convex(cloud)
    row, col = shape(cell).centroid.coords[0]
    check(cell, halves(cell, along=((row, col), (row + math.cos(angle), col + math.sin(angle)))))


@given(st.lists(st.floats(5, 30), min_size=8, max_size=24))
def test_any_rough_outline_is_cut_into_valid_parts(radii):
    turns = np.arange(len(radii)) * (2 * np.pi / len(radii))
    cell = outlined(np.stack([50 + radii * np.cos(turns), 50 + radii * np.sin(turns)], axis=1))
    parts = halves(cell)
    areas = [shape(part).area for part in parts]
    assert all(shape(part).is_valid for part in parts)
    assert min(areas) >= 1
    assert sum(areas) <= shape(cell).area * (1 + 1e-9)


def test_of_no_cells_none_is_accepted():
    assert accepted(CellTable(), []) == CellTable()
    with pytest.raises(WbcError, match="no longer"):
        accepted(CellTable(), ["a"])


def test_an_accepted_candidate_counts_by_its_prediction_and_others_stay_as_they_are():
    found = Cell("a", "1", Detection(BBox(0, 0, 9, 9), candidate=True), PREDICTION)
    table = CellTable([found, boxed(0, 20, 9, 29, "b")])
    result = accepted(table, ["a", "b"])
    assert [cell.label for cell in result.values()] == ["basophil", "basophil"]
    assert result["b"] is table["b"]
    assert diff(table, result).changed == ((found, found.accepted()),)


def test_what_is_cut_or_joined_is_no_candidate():
    found = [
        Cell(name, "1", Detection(BBox(0, left, 10, left + 10), candidate=True))
        for name, left in (("a", 0), ("b", 10))
    ]
    table = CellTable(found)
    assert not any(cell.candidate for cell in joined(table, ["a", "b"]).values())
    assert sum(cell.candidate for cell in split(table, "a").values()) == 1
