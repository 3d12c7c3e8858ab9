"""Labelled cells of folders and manifests."""

from __future__ import annotations

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.storage.labelled_cells import read_training_set

HEADER = "path,label,split,source,top,left,bottom,right\n"


@pytest.fixture
def manifest(tmp_path):
    def write(rows, header=HEADER):
        path = tmp_path / "cells.csv"
        path.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_an_empty_folder_is_no_training_set(tmp_path):
    with pytest.raises(WbcError, match="no labelled image"):
        read_training_set(tmp_path)


@pytest.mark.parametrize("name", ["none", "none.csv", "cells.txt"])
def test_what_is_neither_folder_nor_manifest_is_refused(tmp_path, name):
    (tmp_path / "cells.txt").touch()
    with pytest.raises(WbcError, match=r"no such file|no training set"):
        read_training_set(tmp_path / name)


def test_a_folder_tells_split_and_class(tmp_path):
    root = tmp_path / "lab"
    for name in ("train/immature_granulocyte/b.png", "train/basophil/a.JPG", "test/basophil/c.tif"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name in ("train/basophil/._a.png", "train/basophil/notes.txt", "other/basophil/d.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    assert read_training_set(str(root)) == (
        LabelledCell(root / "train/basophil/a.JPG", "basophil", "train", "lab"),
        LabelledCell(
            root / "train/immature_granulocyte/b.png", "immature granulocyte", "train", "lab"
        ),
        LabelledCell(root / "test/basophil/c.tif", "basophil", "test", "lab"),
    )


def test_an_empty_manifest_is_no_training_set(manifest):
    with pytest.raises(WbcError, match="no labelled cell"):
        read_training_set(manifest([]))
    with pytest.raises(WbcError, match="not a readable CSV"):
        read_training_set(manifest([], header=""))


def test_a_manifest_tells_everything(manifest, tmp_path):
    cells = read_training_set(
        manifest(["a/1.png,basophil,train,é,1,2,11,22.5", "007,NA,val,None,,,,"])
    )
    assert cells == (
        LabelledCell(tmp_path / "a/1.png", "basophil", "train", "é", BBox(1, 2, 11, 22.5)),
        LabelledCell(tmp_path / "007", "NA", "val", "None", None),
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,basophil,holdout,lab,,,,", "unknown splits"),
        ("a.png,basophil,,lab,,,,", "unknown splits"),
        ("a.png,basophil,train,lab,5,5,5,9", "line 3.*empty"),
        ("a.png,basophil,train,lab,5,5,,9", "line 3.*finite"),
        ("a.png,basophil,train,lab,five,5,7,9", "line 3.*five"),
        ("a.png,basophil,train,lab,5,5,7,9,11,13,15", "not a readable CSV"),
    ],
)
def test_a_wrong_row_is_said_with_its_place(manifest, row, message):
    with pytest.raises(WbcError, match=message):
        read_training_set(manifest(["ok.png,basophil,train,lab,,,,", row]))


@pytest.mark.parametrize("missing", ["path", "split", "right"])
def test_a_missing_column_is_named(manifest, missing):
    header = ",".join(name for name in HEADER.strip().split(",") if name != missing) + "\n"
    with pytest.raises(WbcError, match=f"the column '{missing}' is missing"):
        read_training_set(manifest([], header=header))


OUTLINED = HEADER.strip() + ",outline\n"
RING = Outline.from_array([[1, 2.5], [1, 9], [8, 9]])


@pytest.mark.parametrize("row", ["a.png,NA,val,lab,1,2,11,22,", "a.png,NA,val,lab,1,2,11,22"])
def test_an_outline_may_be_left_out(manifest, row, tmp_path):
    (cell,) = read_training_set(manifest([row], OUTLINED))
    assert cell == LabelledCell(tmp_path / "a.png", "NA", "val", "lab", BBox(1, 2, 11, 22))
    assert cell.outline is None


def test_an_outline_is_read_vertex_by_vertex(manifest, tmp_path):
    rows = [
        'a.png,basophil,train,lab,0,0,11,22.5,"1,2.5 1,9 8,9"',
        'b.png,basophil,train,lab,,,,,"1,2.5 1,9  8,9 "',
    ]
    assert read_training_set(manifest(rows, OUTLINED)) == (
        LabelledCell(tmp_path / "a.png", "basophil", "train", "lab", BBox(0, 0, 11, 22.5), RING),
        LabelledCell(tmp_path / "b.png", "basophil", "train", "lab", RING.bbox, RING),
    )


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        ("1,2 3,4", "line 3.*3 vertices"),
        ("1,2 3,4 5,x", "line 3.*x"),
        ("1,2 3,4 5", "line 3"),
        ("1,2,3 4,5,6 7,8,9", "line 3.*no list of row,col"),
        ("1,2 1,3 1,4", "line 3.*empty"),
        ("1,2 nan,3 5,4", "line 3.*finite"),
        ("NA", "line 3.*NA"),
        ("5", "line 3"),
    ],
)
def test_a_wrong_outline_is_said_with_its_place(manifest, outline, message):
    good, bad = (f'a.png,basophil,train,lab,,,,,"{text}"' for text in ("", outline))
    with pytest.raises(WbcError, match=message):
        read_training_set(manifest([good, bad], OUTLINED))


def test_a_manifest_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "cells.csv").write_bytes(b"\xff\xfe\x00\xdc" * 50)
    with pytest.raises(WbcError, match="not text in UTF-8"):
        read_training_set(tmp_path / "cells.csv")
