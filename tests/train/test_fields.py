"""Fields of a training set: as large as they are needed, with every cell where it lies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, LEUKOCYTE, DetectorPreset
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.read import read_image
from napari_wbc.imaging.stain import white_balanced
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.train.fields import FieldSet, outline_in_box, read_fields

PRESET = DetectorPreset(longest=96)
ONE = (LEUKOCYTE,)
TRIANGLE = Outline.from_array([[20, 30], [60, 30], [60, 100]])
EDGES = st.floats(0.5, 60)


def paint(path, shape=(120, 160), discs=()):
    image = np.full((*shape, 3), (222, 222, 212), np.uint8)
    for row, col, radius in discs:
        cv2.circle(image, (col, row), radius, (190, 170, 205), -1)
        cv2.circle(image, (col, row), round(0.65 * radius), (110, 80, 180), -1)
    Image.fromarray(cv2.GaussianBlur(image, (0, 0), 0.8)).save(path)
    return path


def read(cells, classes=ONE, preset=PRESET):
    return run(read_fields(cells, classes, preset))


def one(path, label="neutrophil", split="train", source="lab", box=None, outline=None, classes=ONE):
    (field,) = read([LabelledCell(path, label, split, source, box, outline)], classes).fields
    return field


def iou(first, second):
    a, b = shapely.Polygon(first), shapely.Polygon(second)
    return a.intersection(b).area / a.union(b).area


def test_no_cells_are_no_fields():
    empty = read([])
    assert empty.fields == empty.of("train") == ()
    assert list(read_fields([], ONE, PRESET)) == []


def test_an_empty_label_leaves_a_field_without_cells(tmp_path):
    field = one(paint(tmp_path / "f.png"), label="")
    assert (field.outlines, field.labels) == ((), ())
    assert field.image.shape == (120, 160, 3)


def test_every_field_is_read_once_and_told(field_manifest):
    cells = read_training_set(field_manifest)
    steps = list(read_fields(cells, ONE, PRESET))
    assert [(s.done, s.total) for s in steps] == [(i, 5) for i in range(1, 6)]
    data = read(cells)
    assert [(f.split, f.source, f.labels) for f in data.fields] == [
        *[("train", "lab", (1,))] * 4,
        ("val", "lab", (1,)),
    ]
    assert (len(data.of("train")), len(data.of("val")), data.of("test")) == (4, 1, ())


def test_cells_of_a_field_need_not_stand_together(tmp_path):
    paths = [paint(tmp_path / name) for name in ("a.png", "b.png")]
    box = BBox(5, 5, 20, 20)
    data = read([LabelledCell(path, "monocyte", "val", "lab", box) for path in paths * 2])
    assert [len(field.labels) for field in data.fields] == [2, 2]


def test_platelets_are_platelets_and_every_other_class_is_a_leukocyte(tmp_path):
    path, box = paint(tmp_path / "f.png"), BBox(5, 5, 20, 20)
    names = (*EIGHT_CLASSES.names, *BLOOD_CLASSES)
    found = {name: one(path, name, box=box, classes=BLOOD_CLASSES).labels for name in names}
    expected = dict.fromkeys(names, (1,)) | {"platelet": (3,), "red cell": (2,)}
    assert found == expected


def test_what_the_detector_does_not_seek_is_left_out(tmp_path):
    path, box = paint(tmp_path / "f.png"), BBox(5, 5, 20, 20)
    labels = ("red cell", "basophil", "platelet")
    (field,) = read([LabelledCell(path, label, "val", "lab", box) for label in labels]).fields
    assert (field.labels, len(field.outlines)) == ((1,), 1)


@pytest.mark.parametrize("label", ["zebra", "neutrophils", "Neutrophil"])
def test_an_unknown_label_is_refused(label, tmp_path):
    with pytest.raises(WbcError, match=label):
        one(paint(tmp_path / "f.png"), label, box=BBox(5, 5, 20, 20))


@pytest.mark.parametrize(("split", "source"), [("val", "lab"), ("train", "other")])
def test_a_field_is_of_one_split_and_one_source(split, source, tmp_path):
    path, box = paint(tmp_path / "f.png"), BBox(5, 5, 20, 20)
    cells = [
        LabelledCell(path, "basophil", "train", "lab", box),
        LabelledCell(path, "basophil", split, source, box),
    ]
    with pytest.raises(WbcError, match=r"f\.png.*several splits or sources"):
        read(cells)


def test_a_missing_image_is_said(tmp_path):
    with pytest.raises(ReadError, match=r"none\.png"):
        one(tmp_path / "none.png")


@pytest.mark.parametrize(("longest", "scale"), [(40, 0.5), (80, 1), (500, 1)])
def test_fields_to_learn_are_kept_up_to_twice_the_working_size(longest, scale, tmp_path):
    path = paint(tmp_path / "f.png", discs=[(60, 80, 30)])
    cell = LabelledCell(path, "basophil", "train", "lab", None, TRIANGLE)
    (field,) = read([cell], preset=DetectorPreset(longest=longest)).fields
    assert (field.scale, field.shape) == (scale, (120, 160))
    assert field.image.shape == (120 * scale, 160 * scale, 3)
    np.testing.assert_allclose(field.outlines[0], TRIANGLE.array() * scale)
    if scale == 1:
        np.testing.assert_array_equal(field.image, white_balanced(read_image(path)))


def test_fields_to_validate_are_what_the_detector_sees(tmp_path):
    path = paint(tmp_path / "f.png", discs=[(60, 80, 30)])
    field = one(path, split="val", outline=TRIANGLE)
    work, scale = PRESET.prepare(read_image(path))
    np.testing.assert_array_equal(field.image, work)
    assert field.scale == scale < 1
    np.testing.assert_allclose(field.outlines[0], TRIANGLE.array() * scale)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 3)])
def test_a_field_of_any_shape_is_read(split, shape, tmp_path):
    field = one(paint(tmp_path / "f.png", shape), "", split)
    assert min(field.image.shape[:2]) >= 1
    assert max(field.image.shape[:2]) <= 2 * PRESET.longest


def test_a_known_outline_is_kept_whatever_the_box(tmp_path):
    path = paint(tmp_path / "f.png", discs=[(60, 80, 30)])
    field = one(path, box=BBox(30, 50, 90, 110), outline=TRIANGLE)
    np.testing.assert_allclose(field.outlines[0], TRIANGLE.array())


def test_a_box_gets_the_outline_of_what_is_found_in_it(tmp_path):
    path = paint(tmp_path / "f.png", (240, 320), [(120, 150, 30)])
    box = BBox(88, 117, 153, 180)
    (field,) = read(
        [LabelledCell(path, "monocyte", "train", "lab", box)], preset=DetectorPreset(longest=320)
    ).fields
    ring = field.outlines[0]
    assert np.abs(np.subtract(Outline.from_array(ring).bbox.corners(), box.corners())).max() < 1e-6
    assert iou(ring, shapely.Point(120.5, 150.5).buffer(30.5).exterior.coords) > 0.8


def test_an_image_of_one_cell_is_outlined_where_the_cell_is(tmp_path):
    path = paint(tmp_path / "f.png", (96, 96), [(48, 50, 22)])
    field = one(path, "lymphocyte")
    assert iou(field.outlines[0], shapely.Point(48.5, 50.5).buffer(22.5).exterior.coords) > 0.7
    assert one(paint(tmp_path / "blank.png", (96, 96)), "lymphocyte").labels == ()


def test_without_a_find_the_outline_is_the_ellipse_in_the_box():
    ellipse = shapely.affinity.scale(shapely.Point(30, 60).buffer(1, quad_segs=64), 20, 40)
    outline = outline_in_box(BBox(10, 20, 50, 100), ())
    assert len(outline.vertices) == 48
    assert iou(outline.vertices, ellipse.exterior.coords) > 0.98


def test_the_find_that_overlaps_most_lends_its_shape():
    box = BBox(10, 20, 50, 100)
    far = Detection(BBox(10, 60, 50, 140), Outline.from_array([[10, 60], [50, 60], [50, 140]]))
    near = Detection(BBox(12, 25, 52, 95), Outline.from_array([[12, 25], [52, 25], [52, 95]]))
    bare = Detection(box)
    triangle = [[10, 20], [50, 20], [50, 100]]
    np.testing.assert_allclose(outline_in_box(box, [far, near]).array(), triangle)
    assert len(outline_in_box(box, [far]).vertices) == 48
    assert len(outline_in_box(box, [bare]).vertices) == 48


@given(EDGES, EDGES, EDGES, EDGES, st.floats(0, 1))
def test_an_outline_in_a_box_fills_it(top, left, height, width, shift):
    box = BBox(top, left, top + height, left + width)
    ring = TRIANGLE.array()
    unit = (ring - ring.min(axis=0)) / np.ptp(ring, axis=0)
    moved = Outline.from_array(unit * [height, width] + [top, left + shift * width])
    outline = outline_in_box(box, [Detection(moved.bbox, moved)])
    np.testing.assert_allclose(outline.bbox.corners(), box.corners(), atol=1e-9)
    assert len(outline.vertices) == (3 if moved.bbox.iou(box) >= 0.5 else 48)


def test_the_hash_tells_data_apart(tmp_path):
    def sha256(name="f.png", label="basophil", split="train", source="lab", col=80, right=60):
        box = BBox(5, 5, 20, right)
        path = paint(tmp_path / name, discs=[(60, col, 20)])
        return read([LabelledCell(path, label, split, source, box)], BLOOD_CLASSES).sha256

    others = [
        sha256(name="g.png"),
        sha256(label="platelet"),
        sha256(split="val"),
        sha256(source="other"),
        sha256(col=90),
        sha256(right=70),
    ]
    assert len({sha256(), *others}) == 7
    assert sha256() == sha256(label="monocyte")  # both are leukocytes


def test_the_empty_set_has_a_hash_too():
    assert read([]) == FieldSet((), read([]).sha256)
