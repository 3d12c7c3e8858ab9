"""data.yaml as Ultralytics documents it, obj.data as CVAT exports it; nothing held out in train."""

from __future__ import annotations

import pytest
from tests.storage.formats.sets import BOX, LINE, boxes, image, put

from napari_wbc.errors import WbcError
from napari_wbc.storage.sets import read_set

NAMES = "names: [monocyte, blast]\n"


def splits(root):
    """The split of each image of a set, by its name."""
    return {field.name: field.split for field in read_set(root).fields}


def labelled(root, *places):
    """Images with a label file each, where Ultralytics looks for it."""
    for place in places:
        image(root, f"{place}.png")
        parts = place.split("/")
        if "images" in parts:
            parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
        put(root, f"{'/'.join(parts)}.txt", LINE)


def test_a_split_may_be_a_list_of_folders(tmp_path):
    labelled(tmp_path, "site1/images/a", "site2/images/b", "site3/images/c")
    put(tmp_path, "data.yaml", f"train: [site1/images, site2/images]\nval: [site3/images]\n{NAMES}")
    assert splits(tmp_path) == {"a.png": "train", "b.png": "train", "c.png": "val"}
    assert boxes(read_set(tmp_path).fields) == 3 * [BOX]


@pytest.mark.parametrize("prefix", ["", "./", "/content/drive/set/", "C:\\data\\set\\"])
def test_a_split_may_be_a_text_file_that_lists_images(tmp_path, prefix):
    """The held-out images lie in the same folder as those to train on."""
    labelled(tmp_path, "images/a", "images/b", "images/c")
    put(tmp_path, "data.yaml", f"train: train.txt\nval: val.txt\ntest: test.txt\n{NAMES}")
    for split, stem in (("train", "a"), ("val", "b"), ("test", "c")):
        place = f"{prefix}images/{stem}.png"
        put(tmp_path, f"{split}.txt", place.replace("/", "\\") if "\\" in prefix else place)
    assert splits(tmp_path) == {"a.png": "train", "b.png": "val", "c.png": "test"}


def test_path_is_relative_to_the_yaml(tmp_path):
    labelled(tmp_path, "data/images/train/a", "data/images/val/b", "images/train/other")
    put(tmp_path, "data.yaml", f"path: data\ntrain: images/train\nval: images/val\n{NAMES}")
    assert splits(tmp_path) == {"a.png": "train", "b.png": "val"}
    put(tmp_path, "data.yaml", f"path: /root/data\ntrain: images/train\nval: images/val\n{NAMES}")
    assert splits(tmp_path) == {"other.png": "train"}


def test_folders_are_read_with_those_in_them(tmp_path):
    labelled(tmp_path, "images/train/2024/a", "images/train/2025/b", "images/val/c")
    put(tmp_path, "data.yaml", f"train: images/train\nval: images/val\n{NAMES}")
    assert splits(tmp_path) == {"a.png": "train", "b.png": "train", "c.png": "val"}


@pytest.mark.parametrize(
    "train", ["images", "[images]", "images\nvalidation: images/val", "images\nval: images/val"]
)
def test_no_image_that_is_held_out_is_in_train(tmp_path, train):
    labelled(tmp_path, "images/a", "images/val/b", "images/test/c")
    put(tmp_path, "data.yaml", f"train: {train}\n{NAMES}")
    assert splits(tmp_path) == {"a.png": "train", "b.png": "val", "c.png": "test"}


def test_lists_that_are_not_there_do_not_make_all_images_train(tmp_path):
    labelled(tmp_path, "images/a", "images/b")
    put(tmp_path, "data.yaml", f"train: lists/train.txt\nval: lists/val.txt\n{NAMES}")
    with pytest.raises(WbcError, match=r"which of its images are held out is not known"):
        read_set(tmp_path)
    put(tmp_path, "lists/val.txt", "images/b.png\n")
    content = read_set(tmp_path)
    assert {field.name: field.split for field in content.fields} == {"b.png": "val"}
    assert "train: lists/train.txt is not in this set" in content.notes[0]


def test_images_that_are_train_and_val_alike_are_train(tmp_path):
    labelled(tmp_path, "images/a")
    put(tmp_path, "data.yaml", f"train: images\nval: images\n{NAMES}")
    assert splits(tmp_path) == {"a.png": "train"}


def test_cvats_yolo_is_read_by_its_lists(tmp_path):
    """YOLO 1.1: images and labels side by side, the lists relative to a folder ``data``."""
    for stem in "ab":
        image(tmp_path, f"obj_train_data/{stem}.png")
        put(tmp_path, f"obj_train_data/{stem}.txt", LINE)
    image(tmp_path, "obj_valid_data/c.png")
    put(tmp_path, "obj_valid_data/c.txt", LINE.replace("0 ", "1 ", 1))
    put(
        tmp_path,
        "obj.data",
        "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n"
        "backup = backup/\n",
    )
    put(tmp_path, "obj.names", "monocyte\nblast\n")
    put(tmp_path, "train.txt", "data/obj_train_data/a.png\ndata/obj_train_data/b.png\n")
    put(tmp_path, "valid.txt", "data/obj_valid_data/c.png\n")
    for path in (tmp_path, tmp_path / "obj.data"):
        content = read_set(path)
        assert content.format == "yolo"
        found = {f.name: (f.split, [c.label for c in f.cells]) for f in content.fields}
        assert found == {
            "a.png": ("train", ["monocyte"]),
            "b.png": ("train", ["monocyte"]),
            "c.png": ("val", ["blast"]),
        }
        assert boxes(content.fields) == 3 * [BOX]


@pytest.mark.parametrize("number", ["0", "0.0", "0.000", "0.000e+00"])
def test_the_number_of_a_class_may_have_a_point(tmp_path, number):
    image(tmp_path, "images/a.png")
    put(tmp_path, "labels/a.txt", LINE.replace("0", number, 1))
    put(tmp_path, "data.yaml", NAMES)
    assert read_set(tmp_path).classes == ("monocyte",)
    put(tmp_path, "labels/a.txt", LINE.replace("0", "1.000e+00", 1))
    assert read_set(tmp_path).classes == ("blast",)


def test_a_number_that_is_no_class_refuses_the_set(tmp_path):
    """The list of classes is another set's, so no label can be trusted."""
    labelled(tmp_path, "images/a", "images/b")
    put(tmp_path, "labels/b.txt", f"{LINE}7 0.5 0.5 0.1 0.1\n")
    put(tmp_path, "data.yaml", NAMES)
    with pytest.raises(WbcError, match=r"b\.txt, line 2: '7' is no number of a class, 0 to 1"):
        read_set(tmp_path)
