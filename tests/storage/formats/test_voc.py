"""Pascal VOC: 1-based boxes that supervision reads as ours, and XML that can do no harm."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import supervision
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats import voc
from napari_wbc.storage.formats.voc import image_place, read_voc_steps, write_voc_steps

from .strategies import assert_same, at_once, labelled_fields, with_images

read_voc = at_once(read_voc_steps)
write_voc = at_once(write_voc_steps)


EXAMPLES = int(os.environ.get("NAPARI_WBC_EXAMPLES", "200"))


def field_of(root, *cells, name="a.png", place=image_place, **more):
    more = {"height": 40, "width": 60, "split": "train", **more}
    (field,) = with_images(root, [LabelledField(name, Path(name), cells=cells, **more)], place)
    return field


BOX = BBox(1, 2, 11, 22)


def cell_of(label="neutrophil", box=BOX, cell_id="id", outline=None):
    return Cell(cell_id, "a.png", Detection(box, outline), annotation=Annotation(label))


def xml(inner="", name="a.png", size="<width>60</width><height>40</height>"):
    return f"<annotation><filename>{name}</filename><size>{size}</size>{inner}</annotation>"


def one(xmin=3, ymin=2, xmax=22, ymax=11, name="<name>WBC</name>", more=""):
    box = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object>{name}<bndbox>{box}</bndbox>{more}</object>"


def test_no_field_and_no_cell(tmp_path):
    write_voc(tmp_path, [], [])
    assert read_voc(tmp_path) == ()
    field = field_of(tmp_path, split="test")
    write_voc(tmp_path, [field], [])
    assert read_voc(tmp_path) == (replace(field, fov_id="a.png"),)
    assert (tmp_path / "ImageSets" / "Main" / "test.txt").read_text() == "a\n"


def test_a_box_is_written_as_voc_counts(tmp_path):
    write_voc(
        tmp_path,
        [field_of(tmp_path, cell_of(), cell_of("a & <b>", BBox(0.6, 0, 2, 60), "2"))],
        ["neutrophil", "a & <b>"],
    )
    text = (tmp_path / "Annotations" / "a.xml").read_text()
    lines = "".join(line.strip() for line in text.splitlines())
    assert "<xmin>3</xmin><ymin>2</ymin><xmax>22</xmax><ymax>11</ymax>" in lines
    assert "<name>a &amp; &lt;b&gt;</name>" in lines
    assert "<xmin>1</xmin><ymin>2</ymin><xmax>60</xmax><ymax>2</ymax>" in lines


def whole(field):
    """The field in whole pixels, as VOC is: an outline of less than a pixel is gone."""
    cells = []
    for cell in field.cells:
        top, left, bottom, right = map(round, cell.detection.bbox.edges)
        box = BBox(top, left, max(bottom, top + 1), max(right, left + 1))
        outline = cell.detection.outline
        vertices = np.rint(outline.array()) if outline else np.zeros((1, 2))
        outline = Outline.from_array(vertices) if np.ptp(vertices, axis=0).all() else None
        detection = replace(cell.detection, bbox=box, outline=outline)
        cells.append(replace(cell, detection=detection))
    return replace(field, cells=tuple(cells))


@settings(max_examples=EXAMPLES)
@given(labelled_fields())
def test_any_set_comes_back(fields):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fields = with_images(root, fields, image_place)
        write_voc(root, fields, EIGHT_CLASSES.names)
        assert_same(read_voc(root), list(map(whole, fields)))


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(labelled_fields(min_fields=1, max_fields=2))
def test_supervision_reads_the_same_boxes_and_classes(fields):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fields = with_images(root, fields, image_place)
        write_voc(root, fields, EIGHT_CLASSES.names)
        theirs = supervision.DetectionDataset.from_pascal_voc(
            str(root / "JPEGImages"), str(root / "Annotations")
        )
        assert len(theirs) == len(fields)
        for field in fields:
            found = theirs.annotations[str(field.path)]
            assert [theirs.classes[i] for i in found.class_id] == [
                cell.label for cell in field.cells
            ]
            boxes = [cell.detection.bbox for cell in whole(field).cells]
            ours = np.array([(b.left, b.top, b.right, b.bottom) for b in boxes]).reshape(-1, 4)
            assert found.xyxy == pytest.approx(ours, abs=1e-3)  # of float32
            if any(cell.detection.outline for cell in whole(field).cells):
                for cell, mask in zip(whole(field).cells, found.mask, strict=True):
                    assert mask.any() == (cell.detection.outline is not None)


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["a.png", "a.jpg"], {"a.png.xml", "a.jpg.xml"}),
        (["a.png", "A.tif"], {"a.png.xml", "A.tif.xml"}),
        (["a.png", "a.png.tif"], {"a.xml", "a.png.tif.xml"}),
        (["a", "b.png"], {"a.xml", "b.xml"}),
        ([" a.png", "a .png"], {" a.xml", "a .xml"}),
    ],
)
def test_images_of_one_stem_have_a_file_each(tmp_path, names, files):
    fields = [
        field_of(tmp_path, name=name, split=s)
        for name, s in zip(names, ("val", "test"), strict=True)
    ]
    write_voc(tmp_path, fields, [])
    assert {file.name for file in (tmp_path / "Annotations").iterdir()} == files
    assert_same(read_voc(tmp_path), fields)


def test_a_label_that_is_no_class_is_not_written(tmp_path):
    with pytest.raises(WbcError, match=r"a\.png: the label 'neutrophil' is not among the classes"):
        write_voc(tmp_path, [field_of(tmp_path, cell_of())], ["blast"])
    assert not (tmp_path / "Annotations").exists()


@pytest.mark.parametrize(
    ("file", "place", "split"),
    [
        ("Annotations/a.xml", "JPEGImages", "train"),
        ("Annotations/a.xml", "images", "train"),
        ("a.xml", ".", "train"),
        ("train/a.xml", "train", "train"),
        ("valid/a.xml", "valid", "val"),
        ("test/a.xml", "test", "test"),
    ],
)
def test_sets_of_others_are_read(tmp_path, file, place, split):
    field = field_of(tmp_path, place=place)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(xml(one() + one(xmin=1)))
    (read,) = read_voc(tmp_path)
    assert (read.name, read.path.resolve(), read.split) == ("a.png", field.path.resolve(), split)
    assert [cell.detection.bbox for cell in read.cells] == [BBox(1, 2, 11, 22), BBox(1, 0, 11, 22)]
    assert len({cell.cell_id for cell in read.cells}) == 2


def test_trainval_counts_where_there_is_no_train(tmp_path):
    for name in "ab":
        field_of(tmp_path, name=f"{name}.png")
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"{name}.xml").write_text(xml(name=f"{name}.png"))
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("a\n")
    (lists / "test.txt").write_text("b\n\n")
    assert [field.split for field in read_voc(tmp_path)] == ["train", "test"]
    (lists / "trainval.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("a\n")
    assert [field.split for field in read_voc(tmp_path)] == ["val", "test"]


def test_of_several_polygons_the_box_stands(tmp_path):
    polygon = "<polygon><x1>1</x1><y1>1</y1><x2>9</x2><y2>1</y2><x3>9</x3><y3>9</y3></polygon>"
    field_of(tmp_path, place=".")
    (tmp_path / "a.xml").write_text(
        xml(one(more=polygon) + one(more=polygon * 2) + one(more="<polygon/>"))
    )
    outlines = [cell.detection.outline for cell in read_voc(tmp_path)[0].cells]
    assert outlines == [Outline.from_array([(0, 0), (0, 8), (8, 8)]), None, None]


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + xml(one(name="<name>&b;</name>"))
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + xml(
    one(name="<name>&a;</name>")
)
POLYGON = "<x1>1</x1><y1>1</y1><x2>9</x2><y2>1</y2>"
HOSTILE = {
    "empty": ("", "not readable XML"),
    "broken": (xml(one())[:-5], "not readable XML"),
    "billion laughs": (LAUGHS, "not readable XML"),
    "file of the system": (OUTSIDE, "not readable XML"),
    "DTD": ("<!DOCTYPE annotation>" + xml(one()), "not readable XML"),
    "unknown entity": (xml(one(name="<name>&x;</name>")), "not readable XML"),
    "NUL": (xml(one()) + "\0", "not readable XML"),
    "deep": ("<a>" * 100_000, "not readable XML"),
    "NaN": (xml(one(xmin="nan")), "'nan' is no finite number"),
    "infinite": (xml(one(xmax="1e999")), "'1e999' is no finite number"),
    "word": (xml(one(xmax="x")), "'x' is no finite number"),
    "empty box": (xml(one(xmin=5, xmax=4)), "is empty"),
    "turned": (xml(one(xmin=22, xmax=3)), "is empty"),
    "outside": (xml(one(xmin=62, xmax=70)), "outside the image of 60 x 40"),
    "above": (xml(one(ymin=-9, ymax=0)), "outside the image of 60 x 40"),
    "far out": (xml(one(xmax="1e300")), "outside the image of 60 x 40"),
    "other size": (
        xml(one(), size="<width>40</width><height>60</height>"),
        "its size is 40 x 60",
    ),
    "no name": (xml(one(name="")), "<object> has no name"),
    "empty name": (xml(one(name="<name/>")), "<object> has no name"),
    "name of two lines": (xml(one(name="<name>a\nb</name>")), "no line of text"),
    "no box": (xml("<object><name>WBC</name></object>"), "no bndbox"),
    "no edge": (
        xml("<object><name>WBC</name><bndbox><xmin>1</xmin></bndbox></object>"),
        "has no ymin",
    ),
    "no image named": ("<note/>", "no Pascal VOC but <note>"),
    "polygon of two": (xml(one(more=f"<polygon>{POLYGON}</polygon>")), "3 vertices"),
    "odd polygon": (xml(one(more=f"<polygon>{POLYGON}<x3>1</x3></polygon>")), "odd number"),
    "polygon with a gap": (
        xml(one(more=f"<polygon>{POLYGON}<x4>1</x4><y4>1</y4></polygon>")),
        "no 'y3'",
    ),
    "polygon twice": (xml(one(more=f"<polygon>{POLYGON}{POLYGON}</polygon>")), "coordinate twice"),
    "polygon outside": (
        xml(one(more=f"<polygon>{POLYGON.replace('9', '1e9')}<x3>2</x3><y3>3</y3></polygon>")),
        "outside the image",
    ),
}


@pytest.mark.parametrize(("content", "said"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_by_name(tmp_path, content, said):
    root = tmp_path / "set"
    field = field_of(root)
    shutil.copy(field.path, tmp_path / "a.png")
    (field.path.parent / "link.png").symlink_to(tmp_path / "a.png")
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_bytes(content.encode("utf-8", "surrogateescape"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReadError, match=said) as error:
        read_voc(root)
    assert str(root) in str(error.value)
    assert "root:" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_too_many_objects_and_too_large_a_file_are_refused(tmp_path, monkeypatch):
    field_of(tmp_path, place=".")
    (tmp_path / "a.xml").write_text(xml(one() * 20_001))
    with pytest.raises(ReadError, match=r"a\.xml: 20,001 objects"):
        read_voc(tmp_path)
    monkeypatch.setattr(voc, "MAX_BYTES", 1000)
    with pytest.raises(ReadError, match=r"a\.xml: larger than"):
        read_voc(tmp_path)


def test_lists_that_do_not_fit_and_images_twice_are_refused(tmp_path):
    field_of(tmp_path)
    write_voc(tmp_path, [field_of(tmp_path)], [])
    lists = tmp_path / "ImageSets" / "Main"
    (lists / "val.txt").write_text("../b\n")
    with pytest.raises(ReadError, match=r"val\.txt: '../b' has no XML file"):
        read_voc(tmp_path)
    (lists / "val.txt").write_text("a\n")
    with pytest.raises(ReadError, match=r"val\.txt: 'a' is in another split too"):
        read_voc(tmp_path)
    (lists / "val.txt").write_text("")
    (tmp_path / "Annotations" / "b.xml").write_text(xml())
    with pytest.raises(ReadError, match=r"the image 'a\.png' is in the set twice"):
        read_voc(tmp_path)


def test_a_file_that_is_a_link_out_and_a_folder_without_files_are_refused(tmp_path):
    (tmp_path / "b.xml").write_text(xml())
    root = tmp_path / "set"
    with pytest.raises(ReadError, match="no XML file"):
        read_voc(root)
    field_of(root, place=".")
    (root / "a.xml").symlink_to(tmp_path / "b.xml")
    with pytest.raises(ReadError, match=r"a\.xml: .* by a link"):
        read_voc(root)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        outline = Outline.from_array([(1, 2), (1, 22), (11, 9)])
        write_voc(
            root, [field_of(root, cell_of(outline=outline), cell_of(cell_id="2"))], ["neutrophil"]
        )
        file = root / "Annotations" / "a.xml"
        content = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.write_bytes(content)
        said = str(root)
        try:
            read_voc(root)
        except ReadError as error:
            said = str(error)
        assert str(root) in said


@pytest.mark.real
def test_bccd_is_read(real_data):
    fields = read_voc(real_data / "bccd")
    assert len(fields) == len(list((real_data / "bccd" / "Annotations").glob("*.xml")))
    assert {cell.label for field in fields for cell in field.cells} == {"WBC", "RBC", "Platelets"}
