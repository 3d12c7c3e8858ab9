"""Training sets: folders and manifests, and the crops that are cut from them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc.classify.preset import Preset
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.balance import balanced
from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import run
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.train import dataset
from napari_wbc.train.dataset import cut_training_crops, read_training_set

HEADER = "path,label,split,source,top,left,bottom,right\n"


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


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
        picture(root / name)
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
        ("a.png,basophil,training,lab,,,,", "unknown splits"),
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
    with pytest.raises(WbcError, match=f"lacks the columns {missing}"):
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
        ("1,2,3 4,5,6 7,8,9", "line 3.*shape"),
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
    (tmp_path / "cells.csv").write_bytes(b"\xff\xfe\x00\x01" * 50)
    with pytest.raises(WbcError, match="not a readable CSV"):
        read_training_set(tmp_path / "cells.csv")


def test_no_cells_give_no_crops():
    data = run(cut_training_crops([], ("a",), Preset(size=16)))
    assert data.crops.shape == (0, 16, 16, 3)
    assert data.red.shape == (0, 3)
    assert len(data.labels) == len(data.sources) == len(data.splits) == 0


@pytest.mark.parametrize("anchors", [1, 0.5, 0])
def test_crops_are_cut_as_for_inference(anchors, tmp_path):
    boxes = [BBox(5, 5, 20, 20), BBox(10, 20, 30, 35)]
    field = picture(tmp_path / "f.png")
    cells = [
        LabelledCell(tmp_path / "f.png", label, split, "lab", box)
        for box, label, split in zip(boxes, ("b", "a"), ("train", "val"), strict=True)
    ]
    preset = Preset(size=16, anchors=anchors)
    steps = list(cut_training_crops(cells, ("a", "b"), preset))
    assert [(s.done, s.total) for s in steps] == [(2, 2)]
    data = run(cut_training_crops(cells, ("a", "b"), preset))
    light = preset.field(field).image
    np.testing.assert_array_equal(
        data.crops, cut_crops(light, boxes, size=16, factor=preset.factor)
    )
    assert np.array_equal(light, field) is not bool(anchors)
    assert data.labels.tolist() == [1, 0]
    assert data.splits.tolist() == ["train", "val"]
    assert data.where(data.splits == "val").labels.tolist() == [0]


def test_cells_in_any_order_give_the_same_crops_and_each_image_is_read_once(monkeypatch, tmp_path):
    cells = []
    for i in range(3):
        picture(tmp_path / f"{i}.png", seed=i)
        boxes = (BBox(2 + 3 * k, 4 * k, 14 + 3 * k, 4 * k + 13) for k in range(4))
        cells += [
            LabelledCell(tmp_path / f"{i}.png", "ab"[k % 2], "val", "lab", b)
            for k, b in enumerate(boxes)
        ]
    read, reader = [], dataset.read_image
    monkeypatch.setattr(dataset, "read_image", lambda path: read.append(path.name) or reader(path))
    sorted_data = run(cut_training_crops(cells, ("a", "b"), Preset(size=16)))
    order = [k * 4 + i for i in range(4) for k in (2, 0, 1)]
    read.clear()
    data = run(cut_training_crops([cells[i] for i in order], ("a", "b"), Preset(size=16)))
    assert read == ["2.png", "0.png", "1.png"]
    np.testing.assert_array_equal(data.crops, sorted_data.crops[order])
    np.testing.assert_array_equal(data.red, sorted_data.red[order])
    assert data.labels.tolist() == sorted_data.labels[order].tolist()


def test_each_crop_has_the_red_cells_of_its_field(tmp_path):
    smears = [synthetic_smear(seed, shape=(200, 260), n_leukocytes=2) for seed in (3, 4)]
    cells = []
    for i, smear in enumerate(smears):
        Image.fromarray(smear.image).save(tmp_path / f"{i}.png")
        cells += [
            LabelledCell(tmp_path / f"{i}.png", "a", "val", "lab", one.bbox) for one in smear.cells
        ]
    picture(tmp_path / "none.png")
    cells.append(LabelledCell(tmp_path / "none.png", "a", "train", "lab", BBox(5, 5, 20, 20)))
    data = run(cut_training_crops(cells, ("a",), Preset(size=16)))
    expected = [balanced(smear.image).red for smear in smears]
    assert data.red.dtype == np.float32
    np.testing.assert_array_equal(data.red[:4], np.repeat(expected, 2, axis=0))
    np.testing.assert_array_equal(data.where(data.splits == "val").red, data.red[:4])
    plain = run(cut_training_crops(cells, ("a",), Preset(size=16, anchors=0)))
    assert np.isnan(plain.red).all()


def test_room_adds_a_margin_at_the_same_scale(tmp_path):
    picture(tmp_path / "f.png")
    cells = [LabelledCell(tmp_path / "f.png", "a", "train", "lab", BBox(10, 15, 26, 31))]
    preset = Preset(size=16, factor=1)
    tight = run(cut_training_crops(cells, ("a",), preset)).crops
    wide = run(cut_training_crops(cells, ("a",), preset, room=1.5)).crops
    np.testing.assert_array_equal(wide[:, 4:20, 4:20], tight)


def test_an_unknown_label_is_refused_before_any_pixel_is_read(tmp_path):
    cells = [LabelledCell(tmp_path / "none.png", "zebra", "train", "lab")]
    with pytest.raises(WbcError, match="zebra"):
        run(cut_training_crops(cells, ("a",), Preset()))


def test_a_missing_image_is_said(tmp_path):
    cells = [LabelledCell(tmp_path / "none.png", "a", "train", "lab")]
    with pytest.raises(ReadError, match=r"none\.png"):
        run(cut_training_crops(cells, ("a",), Preset()))


def test_the_hash_tells_data_apart(tmp_path):
    def sha256(label="a", split="train", seed=0, source="lab", right=20):
        picture(tmp_path / "f.png", seed)
        cells = [LabelledCell(tmp_path / "f.png", label, split, source, BBox(5, 5, 20, right))]
        return run(cut_training_crops(cells, ("a", "b"), Preset(size=16))).sha256

    assert sha256() == sha256()
    others = [
        sha256(label="b"),
        sha256(split="val"),
        sha256(seed=1),
        sha256(source="other"),
        sha256(right=30),
    ]
    assert len({sha256(), *others}) == 6
