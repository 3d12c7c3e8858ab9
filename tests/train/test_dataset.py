"""Crops that are cut from the images of labelled cells."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc.classify.preset import Preset
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.light import balanced
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.train import dataset
from napari_wbc.train.dataset import cut_training_crops


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


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
    assert data.where(data.splits == "val").detections[0].bbox == boxes[1]


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
    assert [detection.bbox for detection in data.detections] == [cells[i].box for i in order]


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


def test_a_file_name_that_is_no_text_is_data_too(tmp_path):
    path = tmp_path / "zelle\udcff.png"
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(tmp_path / "a.png")
    try:
        (tmp_path / "a.png").rename(path)
    except OSError:
        pytest.skip("this disk takes only names that are valid text")
    cell = LabelledCell(path, "monocyte", "train", "set", BBox(10, 10, 50, 50))
    assert run(cut_training_crops([cell], ["monocyte"], Preset())).sha256
