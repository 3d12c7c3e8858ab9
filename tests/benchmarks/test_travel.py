"""How cells are found elsewhere: splits, points in boxes, changed fields and what is counted."""

from __future__ import annotations

import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox

FOLDER = Path(__file__).parents[2] / "benchmarks"
# Benchmarks are no package, and no part of a source distribution.
if not FOLDER.is_dir():
    pytest.skip("benchmarks are not in this distribution", allow_module_level=True)
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(FOLDER)
    travel, fields, public_sets = map(importlib.import_module, ("travel", "fields", "public_sets"))


def labelled(height=20, width=30, boxes=(), points=(), value=0):
    image = np.full((height, width, 3), value, np.uint8)
    return fields.Labelled("field", image, list(boxes), points=list(points))


def square(row, col, side=4):
    return BBox(row, col, row + side, col + side)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty folder of data."""
    for module in (fields, public_sets):
        monkeypatch.setattr(module, "DATA", tmp_path)
    return tmp_path


def written(folder, tables, names):
    (folder / "images").mkdir(parents=True)
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in names:
        cv2.imwrite(str(folder / "images" / name), np.full((30, 40, 3), 200, np.uint8))


def test_splits_are_by_group_and_the_same_every_time():
    scenes = [str(number) for number in range(600)]
    found = [public_sets.bionet_split(scene) for scene in scenes]
    assert found[:6] == ["train", "train", "train", "train", "val", "test"]
    for split, share in (("train", 4 / 6), ("val", 1 / 6), ("test", 1 / 6)):
        assert found.count(split) / 600 == pytest.approx(share, abs=0.05)
    assert {public_sets.txl_split(scene) for scene in scenes} == {"train", "val"}


def test_bionet_gives_leukocytes_to_search_and_all_cells_to_train_on(data):
    boxes = "image,name,left,top,right,bottom\na.jpg,WBC,1,2,11,22\na.jpg,RBC,3,4,9,9\n"
    scenes = "image,scene\na.jpg,7\nb.jpg,8\n"
    written(data / "bionet", {"boxes.csv": boxes, "scenes.csv": scenes}, ("a.jpg", "b.jpg"))
    one, empty = fields.bionet()
    assert one.truths == [BBox(2, 1, 22, 11)]
    assert empty.truths == []
    split = public_sets.bionet_split("7")
    assert next(field.name for field in fields.bionet(split)) == "a.jpg"
    rows = list(public_sets.bionet_fields(data))
    assert [(row["path"].name, row["label"]) for row in rows] == [
        ("a.jpg", "leukocyte"),
        ("b.jpg", ""),
    ]
    assert (rows[0]["split"], rows[0]["top"], rows[0]["right"]) == (split, 2, 11)
    everything = public_sets.bionet_fields(data, public_sets.BLOOD)
    assert [row["label"] for row in everything] == ["leukocyte", "red cell", ""]


def test_lisc_gives_points_and_passes_over_cells_without_one(data):
    cells = "image,class,col,row\na.jpg,basophil,5,7\na.jpg,basophil,9,8\nb.jpg,monocyte,,\n"
    written(data / "lisc", {"cells.csv": cells}, ("a.jpg", "b.jpg"))
    (one,) = fields.lisc()
    assert (one.truths, one.points) == ([], [(7, 5), (8, 9)])


def test_a_manifest_leaves_a_whole_laboratory_out(data, monkeypatch):
    for name in public_sets.FIELDS:
        row = {"path": name, "label": "leukocyte", "split": "train", "source": name}
        monkeypatch.setitem(public_sets.SETS, name, lambda _cache, row=row: iter([row]))
    rows = public_sets.table(public_sets.write_without("pbc", data))
    kept = {row["source"] for row in rows}
    assert kept == set(public_sets.FIELDS) - {"txl_pbc_fields", "pbc_fields"}
    parts = [part for own in public_sets.LABORATORIES.values() for part in own]
    assert sorted(parts) == sorted(public_sets.FIELDS)


def test_a_grown_box_holds_a_point_and_each_is_used_once():
    boxes = [square(10, 10), square(12, 12), square(60, 60)]
    assert fields.holding([(2, 10)], boxes[:1]) == [(0, 0)]
    assert fields.holding([(1.9, 10)], boxes[:1]) == []
    # Both boxes hold both points: the nearest centres are paired, and then what is left.
    assert fields.holding([(14, 14), (15, 15)], boxes) == [(0, 1), (1, 0)]
    assert fields.holding([(14, 14)], boxes) == [(0, 1)]
    assert fields.holding([], boxes) == fields.holding([(1, 1)], []) == []


def test_points_and_what_boxes_grow_by_are_scaled_with_the_field():
    twice = labelled(points=[(3, 4)]).scaled(2)
    assert (twice.points, twice.slack) == ([(6, 8)], 16)
    assert twice.matches([BBox(22, 8, 30, 16)]) == [(0, 0)]
    assert twice.matches([BBox(23, 8, 30, 16)]) == []


def test_a_mosaic_moves_true_cells_to_where_they_then_lie():
    parts = [labelled(boxes=[square(1, 2)], points=[(5, 6)], value=10 * i) for i in range(3)]
    parts[1] = labelled(18, 28, [square(1, 2)], value=10)
    whole = travel.mosaic([*parts, parts[0]], 2)
    assert whole.image.shape == (40, 60, 3)
    assert whole.truths == [square(1, 2), square(1, 32), square(21, 2), square(21, 32)]
    assert whole.points == [(5, 6), (25, 6), (25, 36)]
    assert [whole.image[r, c, 0] for r, c in ((0, 0), (19, 59), (39, 0), (39, 59))] == [
        0,
        10,
        20,
        0,
    ]


def test_mosaics_hold_four_fields_or_as_many_as_fit(monkeypatch):
    parts = [labelled(boxes=[square(i, 0)]) for i in range(5)]
    (first, one), (_, two) = travel.two_by_two(parts)
    assert (first, len(one.truths)) == (4, 4)
    assert [box.top for box in two.truths] == [4, 0, 21, 22]
    monkeypatch.setattr(travel, "LARGE", 100)
    sizes = [(count, one.image.shape) for count, one in travel.large(parts)]
    assert sizes == [(9, (60, 90, 3))] * travel.LARGE_IMAGES


@pytest.mark.parametrize("name", ["blur", "JPEG 40", "white balance"])
def test_other_pixels_show_the_same_cells(name):
    field = labelled(boxes=[square(1, 2)], value=200)
    field.image[5:9, 5:9] = (100, 40, 150)
    ((count, changed),) = travel.VARIANTS[name]([field])
    assert (count, changed.truths) == (1, field.truths)
    assert changed.image.shape == field.image.shape
    assert changed.image.dtype == np.uint8
    assert (changed.image != field.image).any()
    assert (field.image[0, 0] == 200).all()


def test_another_white_keeps_red_first():
    assert travel.tinted(np.full((1, 1, 3), 200, np.uint8)).tolist() == [[[220, 200, 170]]]


def test_candidates_are_counted_apart():
    field = labelled(boxes=[square(0, 0), square(10, 10)])
    seen = [
        Detection(square(0, 0)),
        Detection(square(0, 20)),
        Detection(square(10, 10), candidate=True),
    ]
    tally = travel.Tally()
    tally.add(field, seen, 0.5)
    found = tally.columns()
    assert (found["recall"], found["recall with candidates"]) == (0.5, 1)
    assert (found["false cells a field"], found["candidates a field"]) == (1, 1)
    assert (found["IoU mean"], found["ms/field"]) == (0.5, 500)


def test_points_have_no_overlap_and_a_second_detection_is_a_false_cell():
    tally = travel.Tally()
    tally.add(labelled(points=[(5, 5)]), [Detection(square(3, 3)), Detection(square(4, 4))], 1, 2)
    found = tally.columns()
    assert (found["fields"], found["cells"], found["recall"]) == (2, 1, 1)
    assert (found["false cells a field"], found["ms/field"]) == (0.5, 500)
    assert np.isnan(found["IoU mean"])


def test_fields_are_spaced_evenly():
    assert travel.evenly(10, 4) == {0, 3, 6, 9}
    assert travel.evenly(3, 40) == {0, 1, 2}


class Finder:
    """Finds one cell in fields of 20 rows."""

    def detect(self, image):
        return (Detection(square(1, 2)),) if len(image) == 20 else ()


def test_a_visit_measures_the_drop_on_the_same_fields():
    parts = [labelled(boxes=[square(1, 2)]), labelled(22, 30, [square(1, 2)])]
    place = travel.Place("here", lambda: iter(parts))
    visit = travel.Visit(place, {"one": "none"})
    visit.search({"one": Finder()}, ("blur", "x2"), None)
    rows = list(visit.rows())
    assert [(row["variant"], row["recall"]) for row in rows] == [
        ("as it is", 0.5),
        ("blur", 0.5),
        ("x2", 0),
    ]
    (worst,) = visit.worst_variants()
    assert (worst["worst variant"], worst["drop in points"]) == ("x2", 50)
    assert travel.worst_two([visit], "one") == "one 0.500 (here 0.500)"


def test_weights_that_saw_a_laboratory_cannot_leave_it_out():
    shipped = travel.DEFAULT_DETECTOR
    assert travel.trained_on(shipped, "bccd")
    with pytest.raises(travel.WbcError, match="trained on bccd"):
        travel.Plan(("mask-rcnn",), shipped, {"bccd": shipped}).check()


@pytest.mark.real
def test_every_place_has_cells():
    for place in travel.PLACES:
        one = next(place.read())
        assert one.truths or one.points
