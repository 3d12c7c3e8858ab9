"""Which cells training may look at, and in which split: copies, crops, validation images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.pipeline.test_finetune import cell_set

from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.pipeline.held_out import learnable_steps, sided_steps, with_val
from napari_wbc.storage.labelled_cells import read_training_set


def test_a_copy_of_a_validation_image_is_not_learnt(tmp_path):
    mine = cell_set(tmp_path / "mine", ["neutrophil", "monocyte"])
    other = cell_set(tmp_path / "other", ["neutrophil"], n=2, splits=("val",))
    seen, _known, images = run(learnable_steps([mine, other], []))
    chosen = {images[cell.path] for cell in seen if cell.split == "val"}
    assert len(chosen) == 2
    assert not chosen & {images[cell.path] for cell in seen if cell.split == "train"}


def test_a_crop_of_a_field_that_is_tested_is_tested(tmp_path):
    key = "0b1c2d3e-0000-4000-8000-000000000001"
    files = [tmp_path / f"{name}.png" for name in "ab"]
    for file in files:
        file.write_bytes(file.name.encode())
    crop, field = (
        LabelledCell(f, "monocyte", s, "lab", BBox(0, 0, 9, 9), cell_id=key)
        for f, s in zip(files, ("train", "test"), strict=True)
    )
    for ids, sides in ((key, ["test", "test"]), ("1", ["train", "test"])):
        sets = [[replace(one, cell_id=ids)] for one in (crop, field)]
        sided, _ = run(sided_steps(sets))
        assert [one[0].split for one in sided] == sides, (
            "ids that a person wrote may be another cell's"
        )


def test_what_alone_shows_a_new_class_is_left_to_learn(tmp_path, weights):
    mine = cell_set(tmp_path / "mine", ["neutrophil", "monocyte"])
    (rare,) = cell_set(tmp_path / "rare", ["smudge cell"], n=1).rglob("*.png")
    (mine / "train" / "smudge_cell").mkdir()
    for name in "abcdefgh":  # whatever its name, and so its rank, is
        file = rare.rename(mine / "train" / "smudge_cell" / f"{name}.png")
        cells = with_val(read_training_set(mine))
        assert {cell.split for cell in cells if cell.label == "smudge cell"} == {"train"}
        assert {cell.split for cell in cells} == {"train", "val"}
        rare = file


def test_valid_is_a_name_of_val(tmp_path, weights):
    mine = cell_set(tmp_path / "mine", ["neutrophil", "monocyte"], splits=("train", "valid"))
    assert {cell.split for cell in read_training_set(mine)} == {"train", "val"}


def test_images_of_one_name_in_two_folders_are_two_images():
    cells = []
    for slide in range(10):
        for name in ("f0.png", "f1.png", "f2.png"):
            path = Path("set", f"slide {slide}", name)
            cells += [
                LabelledCell(path, label, "train", "set") for label in ("monocyte", "basophil")
            ]
    splits = {}
    for cell in with_val(cells):
        splits.setdefault(cell.path, set()).add(cell.split)
    assert all(len(of_image) == 1 for of_image in splits.values()), "no image is on two sides"
    assert sum(of_image == {"val"} for of_image in splits.values()) == 5
