"""Sets as people have them: other systems' names and files, other tools' layouts and encodings."""

from __future__ import annotations

import json
import unicodedata

import pytest
from tests.storage.formats.sets import (
    BOX,
    LINE,
    SQUARE,
    boxes,
    cell,
    coco,
    feature,
    image,
    litter,
    put,
    voc,
)

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.storage.formats.splits import split_named
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.storage.sets import read_set

NAMES = "names: [monocyte]\n"
ODD = ("Screenshot 9.41.05\u202fAM", "Zell\u00a01", "細胞\u30001", "neu\u00adtro", "a\u200db")
"""With a narrow, a fixed and a wide blank, a soft hyphen and a joiner."""
WINDOWS = (
    "images\\a.png",
    "..\\..\\media\\upload\\4\\a.png",
    "D:\\data\\a.png",
    "C:/data/a.png",
    "/home/me/a.png",
    "../../media/upload/4/a.png",
)


def sets_of(root, name):
    """A set of each format that names an image."""
    stem = name.rpartition(".")[0]
    put(root / "coco", "x.json", coco(images=[{"id": 1, "file_name": name}]))
    put(root / "csv", "cells.csv", f"path,label,top,left,bottom,right\n{name},monocyte,1,2,11,22\n")
    put(root / "voc", "x.xml", voc(f"<filename>{name}</filename>"))
    record = {"type": "FeatureCollection", "image": name, "features": [feature(SQUARE)]}
    put(root / "geojson", "x.geojson", json.dumps(record))
    put(root / "yolo", "data.yaml", f"train: train.txt\n{NAMES}")
    put(root / "yolo", "train.txt", name)
    return stem


@pytest.mark.parametrize("kind", ["coco", "csv", "voc", "geojson", "yolo"])
@pytest.mark.parametrize("name", WINDOWS)
def test_a_path_of_another_computer_is_found_by_its_name(tmp_path, kind, name):
    root = tmp_path / kind
    sets_of(tmp_path, name)
    image(root, "images/a.png")
    put(root, "labels/a.txt", LINE) if kind == "yolo" else None
    content = read_set(root)
    assert boxes(content.fields) == [BOX]
    assert content.fields[0].path.resolve() == (root / "images" / "a.png").resolve()


@pytest.mark.parametrize("kind", ["coco", "csv", "voc", "geojson"])
@pytest.mark.parametrize("name", ["..\\a.png", "../a.png"])
def test_it_is_never_found_outside_the_set(tmp_path, kind, name):
    sets_of(tmp_path, name)
    image(tmp_path, "a.png")
    with pytest.raises(WbcError, match=r"leads out of the set"):
        read_set(tmp_path / kind)


def test_a_name_that_two_images_have_is_not_guessed(tmp_path):
    put(tmp_path, "x.json", coco(images=[{"id": 1, "file_name": "D:\\lab 3\\a.png"}]))
    for folder in ("lab 1", "lab 2"):
        image(tmp_path, f"{folder}/a.png")
    with pytest.raises(WbcError, match=r"2 images of the set may be 'D:.*lab 1/a\.png and lab 2/a"):
        read_set(tmp_path)
    image(tmp_path, "lab 3/a.png")
    (field,) = read_set(tmp_path).fields
    assert field.path.parent.name == "lab 3"


@pytest.mark.parametrize("stem", ODD)
@pytest.mark.parametrize("kind", ["coco", "csv", "voc", "geojson"])
def test_names_with_odd_blanks_and_hyphens_are_names(tmp_path, kind, stem):
    sets_of(tmp_path, f"{stem}.png")
    image(tmp_path / kind, f"{stem}.png")
    (field,) = read_set(tmp_path / kind).fields
    assert (field.name, boxes([field])) == (f"{stem}.png", [BOX])


@pytest.mark.parametrize("name", ["a\nb.png", "a\x00.png", "a\x1b[31m.png", "gnp\u202ea.png"])
def test_names_with_control_characters_are_refused(tmp_path, name):
    put(tmp_path, "x.json", coco(images=[{"id": 1, "file_name": name}]))
    with pytest.raises(ReadError, match="no name of a file"):
        read_set(tmp_path)


@pytest.mark.parametrize("kind", ["coco", "csv", "voc", "geojson"])
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_is_found_in_either_composition(tmp_path, kind, forms):
    said, there = (unicodedata.normalize(form, "Zellé Ü.png") for form in forms)
    sets_of(tmp_path, said)
    image(tmp_path / kind, there)
    (field,) = read_set(tmp_path / kind).fields
    assert (field.path.name, boxes([field])) == (there, [BOX])


@pytest.mark.parametrize("kind", ["coco", "csv", "voc", "geojson", "yolo", "crops"])
def test_what_lies_beside_a_set_is_no_part_of_it(tmp_path, kind):
    root = tmp_path / kind
    sets_of(tmp_path, "a.png")
    if kind == "crops":
        image(root, "train/monocyte/a.png")
    else:
        image(root, "images/a.png")
    if kind == "yolo":
        put(root, "labels/a.txt", LINE)
        put(root, "data.yaml", NAMES)
        (root / "train.txt").unlink()
    if kind == "geojson":
        put(root, "geojson/a.geojson", (root / "x.geojson").read_bytes())
        (root / "x.geojson").unlink()
    litter(root)
    content = read_set(root)
    assert boxes(content.fields) == [(0, 0, 40, 60) if kind == "crops" else BOX]
    assert content.notes == ()


@pytest.mark.parametrize(
    "size", [{}, {"width": None, "height": None}, {"width": 60.0, "height": 40.0}, {"width": 0}]
)
def test_coco_needs_no_size_of_an_image(tmp_path, size):
    image(tmp_path)
    put(tmp_path, "x.json", coco(images=[{"id": 1, "file_name": "a.png", **size}]))
    assert boxes(read_set(tmp_path).fields) == [BOX]


def test_another_size_is_still_refused(tmp_path):
    image(tmp_path)
    put(tmp_path, "x.json", coco(images=[{"id": 1, "file_name": "a.png", "width": 640.0}]))
    with pytest.raises(ReadError, match="its size is 640 x 40, that of the image is 60 x 40"):
        read_set(tmp_path)


@pytest.mark.parametrize("shape", [None, [], [[]]])
def test_coco_needs_no_polygon_beside_a_box(tmp_path, shape):
    image(tmp_path)
    put(tmp_path, "x.json", coco(annotations=[cell(segmentation=shape)]))
    content = read_set(tmp_path)
    assert (boxes(content.fields), content.notes) == ([BOX], ())


@pytest.mark.parametrize("box", [{}, {"bbox": []}, {"bbox": None}])
def test_coco_needs_no_box_beside_a_polygon(tmp_path, box):
    image(tmp_path)
    outlined = {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[2, 1, 22, 1, 22, 11]]}
    put(tmp_path, "x.json", coco(annotations=[outlined | box]))
    assert boxes(read_set(tmp_path).fields) == [BOX]


def test_the_layout_of_fiftyone_is_read(tmp_path):
    image(tmp_path, "data/a.png")
    image(tmp_path, "elsewhere/a.png")
    put(tmp_path, "labels.json", coco())
    (field,) = read_set(tmp_path).fields
    assert (field.path, boxes([field])) == (tmp_path / "data" / "a.png", [BOX])


@pytest.mark.parametrize(
    ("filename", "size"),
    [
        ("<filename>a.png</filename>", "<size><width>0</width><height>0</height></size>"),
        ("<filename>a.png</filename>", "<size><width>0</width></size>"),
        ("<filename>a</filename>", ""),
        ("<filename>a.jpg</filename>", ""),
        ("<filename>old name.png</filename>", ""),
        ("<filename></filename>", ""),
        ("", ""),
    ],
)
@pytest.mark.parametrize("folders", [("Annotations", "JPEGImages"), ("annotations", "jpegimages")])
def test_voc_is_read_whatever_it_says_of_the_image(tmp_path, filename, size, folders):
    image(tmp_path, f"{folders[1]}/a.png")
    put(tmp_path, f"{folders[0]}/a.xml", voc(filename, size))
    (field,) = read_set(tmp_path).fields
    assert (field.name, boxes([field])) == ("a.png", [BOX])


@pytest.mark.parametrize("name", ["imagesets/main/VAL.txt", "ImageSets/Main/val.txt"])
@pytest.mark.parametrize("line", ["a", "a.png", "JPEGImages/a.png"])
def test_lists_of_voc_in_any_case_tell_the_split(tmp_path, name, line):
    image(tmp_path, "JPEGImages/a.png")
    put(tmp_path, "Annotations/a.xml", voc())
    put(tmp_path, name, f"{line}\n")
    assert [field.split for field in read_set(tmp_path).fields] == ["val"]


@pytest.mark.parametrize(
    ("encoding", "declared", "label"),
    [
        ("gb2312", "GB2312", "单核细胞"),
        ("gb18030", "gbk", "单核细胞"),
        ("gb2312", "", "单核细胞"),
        ("latin-1", "ISO-8859-1", "cellule géante"),
        ("latin-1", "", "cellule géante"),
        ("cp1252", "utf-8", "cellule géante"),
        ("utf-16", "UTF-16", "cellule géante"),
        ("utf-16-le", "", "cellule géante"),
        ("utf-8-sig", "utf-8", "单核细胞"),
    ],
)
def test_voc_in_the_encodings_of_other_programs(tmp_path, encoding, declared, label):
    head = f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else ""
    image(tmp_path)
    put(tmp_path, "a.xml", (head + voc().replace("monocyte", label)).encode(encoding))
    assert read_set(tmp_path).classes == (label,)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("TRAIN", "train"),
        ("Training", "train"),
        ("train2017", "train"),
        ("VALID", "val"),
        ("Validation", "val"),
        ("TEST", "test"),
        ("Test-A", "test"),
        ("TestB", "test"),
        ("testing", "test"),
        ("Test set", "test"),
        ("monocyte", ""),
        ("basophil", ""),
    ],
)
def test_folders_in_any_case_are_splits(tmp_path, name, split):
    """For the import and for `train classifier`."""
    assert split_named(name) == split
    image(tmp_path, f"{name}/monocyte/a.png")
    image(tmp_path, "train/blast/b.png")
    found = {field.cells[0].label: field.split for field in read_set(tmp_path).fields}
    listed = {cell.label: cell.split for cell in read_training_set(tmp_path)}
    assert found == listed == ({"monocyte": split} if split else {}) | {"blast": "train"}


ROWS = ("path;label;top;left;bottom;right", "a.png;monocyte;1,0;2,0;11,0;22,0")
TABLES = {
    "semicolons": "path;label;top;left;bottom;right\na.png;monocyte;1;2;11;22\n",
    "decimal comma": "\n".join(ROWS),
    "tabs": "\n".join(ROWS).replace(";", "\t"),
    "quoted decimal comma": (
        'path,label,top,left,bottom,right\na.png,monocyte,"1,0","2,0","11,0","22,0"\n'
    ),
    "mark": b"\xef\xbb\xbf" + "\n".join(ROWS).encode(),
    "UTF-16": "\n".join(ROWS).encode("utf-16"),
    "empty last row": "\n".join((*ROWS, ";;;;;", "")),
    "trailing semicolons": "\n".join(f"{row};;" for row in ROWS),
    "Excel's note": "\n".join(("sep=;", *ROWS)),
    "Windows line ends": "\r\n".join(ROWS),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tables_as_spreadsheets_save_them(tmp_path, table):
    image(tmp_path)
    put(tmp_path, "cells.csv", table)
    assert boxes(read_set(tmp_path).fields) == [BOX]


def test_a_label_is_no_number(tmp_path):
    image(tmp_path)
    put(tmp_path, "cells.csv", 'path;label;top;left;bottom;right\na.png;"1,5";1;2;11;22\n')
    assert read_set(tmp_path).classes == ("1,5",)


def test_a_number_that_may_be_a_thousand_is_not_guessed(tmp_path):
    image(tmp_path)
    put(tmp_path, "cells.csv", 'path,label,top,left,bottom,right\na.png,blast,1,2,11,"1,000"\n')
    with pytest.raises(ReadError, match=r"'1,000' is no finite number"):
        read_set(tmp_path)


def test_a_table_for_training_may_name_its_splits_and_places_in_other_ways(tmp_path):
    image(tmp_path, "images/a.png")
    header = "path;label;split;source;top;left;bottom;right"
    put(tmp_path, "m.csv", f"{header}\nimages\\a.png;blast;TESTING;lab;1,5;2;11;22\n")
    (read,) = read_training_set(tmp_path / "m.csv")
    assert (read.path, read.split, read.box.top) == (tmp_path / "images/a.png", "test", 1.5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"_via_img_metadata": {}}, "the JSON of VGG Image Annotator"),
        ([{"image": "a.png", "annotations": []}], "the JSON of CreateML"),
    ],
)
def test_the_json_of_other_programs_is_named_with_what_to_do(tmp_path, content, said):
    image(tmp_path)
    put(tmp_path, "a.json", json.dumps(content))
    for path in (tmp_path, tmp_path / "a.json"):
        with pytest.raises(ReadError, match=rf"a\.json: this is {said}.*import that"):
            read_set(path)


def test_cells_of_coco_that_have_one_id_are_two(tmp_path):
    image(tmp_path)
    cells = [cell(1, cell_id="x"), cell(2, cell_id="x", bbox=[30, 1, 20, 10])]
    put(tmp_path, "a.json", coco(annotations=cells))
    (field,) = read_set(tmp_path).fields
    assert len({cell.cell_id for cell in field.cells} - {"x"}) == 2


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("suffix", [".txt", ".TXT"])
def test_labels_of_yolo_and_lists_of_voc_are_found_in_either_composition(tmp_path, forms, suffix):
    said, there = (unicodedata.normalize(form, "Zellé") for form in forms)
    image(tmp_path, f"yolo/images/{there}.png")
    put(tmp_path, f"yolo/labels/{said}{suffix}", LINE)
    put(tmp_path, "yolo/data.yaml", NAMES)
    content = read_set(tmp_path / "yolo")
    assert (boxes(content.fields), content.notes) == ([BOX], ())
    image(tmp_path, f"voc/JPEGImages/{there}.png")
    put(tmp_path, f"voc/Annotations/{there}.xml", voc(f"<filename>{said}.png</filename>"))
    put(tmp_path, "voc/ImageSets/Main/test.txt", f"{said}\n")
    assert [field.split for field in read_set(tmp_path / "voc").fields] == ["test"]


@pytest.mark.parametrize("folder", ["labels", "xmls", "Annotation"])
def test_voc_and_coco_in_folders_of_other_names_are_read(tmp_path, folder):
    for kind, name, text in (("voc", "a.xml", voc()), ("coco", "a.json", coco())):
        image(tmp_path, f"{kind}/images/a.png")
        put(tmp_path, f"{kind}/{folder}/{name}", text)
        assert boxes(read_set(tmp_path / kind).fields) == [BOX]


def test_a_yaml_in_a_folder_of_its_own_leads_to_the_images(tmp_path):
    image(tmp_path, "data/images/train/a.png")
    image(tmp_path, "data/images/val/b.png")
    for place in ("train/a", "val/b"):
        put(tmp_path, f"data/labels/{place}.txt", LINE)
    text = f"path: ../data\ntrain: images/train\nval: images/val\n{NAMES}"
    yaml = put(tmp_path, "config/set.yaml", text)
    found = {field.name: field.split for field in read_set(tmp_path).fields}
    assert found == {"a.png": "train", "b.png": "val"}
    with pytest.raises(WbcError, match=r"are not in this set.*choose the folder that holds them"):
        read_set(yaml)


@pytest.mark.parametrize("bad", [None, 3, "x", []])
def test_what_is_no_object_among_others_is_left_out(tmp_path, bad):
    for kind in ("coco", "geojson"):
        image(tmp_path / kind)
    put(tmp_path, "coco/a.json", coco(annotations=[bad, cell()]))
    features = {"type": "FeatureCollection", "features": [bad, feature(SQUARE)]}
    put(tmp_path, "geojson/a.geojson", json.dumps(features))
    for kind in ("coco", "geojson"):
        content = read_set(tmp_path / kind)
        assert boxes(content.fields) == [BOX]
        assert "is no object" in content.notes[0]


def test_a_table_for_training_finds_a_path_of_windows_by_its_name(tmp_path):
    image(tmp_path, "images/a.png")
    header = "path,label,split,source,top,left,bottom,right"
    put(tmp_path, "m.csv", f"{header}\nD:\\data\\a.png,blast,train,lab,,,,\n")
    (read,) = read_training_set(tmp_path / "m.csv")
    assert read.path == tmp_path / "images" / "a.png"


def test_suffixes_in_capitals_are_those_of_sets(tmp_path):
    texts = {
        "coco/A.JSON": coco(),
        "voc/A.XML": voc(),
        "geojson/A.GEOJSON": json.dumps([feature(SQUARE)]),
    }
    rows = "path,label,top,left,bottom,right\na.png,monocyte,1,2,11,22\n"
    for place, text in (texts | {"csv/A.CSV": rows}).items():
        put(tmp_path, place, text)
        kind = place.partition("/")[0]
        image(tmp_path, f"{kind}/a.png")
        content = read_set(tmp_path / kind)
        assert (content.format, boxes(content.fields)) == (kind, [BOX])


def test_a_class_on_a_line_of_its_own_in_xml_is_read(tmp_path):
    image(tmp_path)
    put(tmp_path, "a.xml", voc().replace("monocyte", "\n    monocyte\n  "))
    assert read_set(tmp_path).classes == ("monocyte",)
