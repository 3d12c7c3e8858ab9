"""From training sets and a TOML file to a trained detector, and what is refused on the way."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from napari_wbc.classify.predict import load_classifier
from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, load_mask_rcnn
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import TWO_CLASSES
from napari_wbc.pipeline.held_out import learnable_steps
from napari_wbc.pipeline.training import train_detector_steps, train_steps

SMALL = {
    "name": "small",
    "epochs": 1,
    "batch_size": 2,
    "draws": 2,
    "canvas": 64,
    "preset": {"longest": 96},
}


def train(paths, out, **recipe):
    return run(train_detector_steps(paths, out, device="cpu", **SMALL | recipe))


@pytest.mark.parametrize("trained", [train_steps, train_detector_steps])
def test_a_set_without_validation_cells_is_refused_before_its_images_are_read(trained, tmp_path):
    image = tmp_path / "set" / "train" / "monocyte" / "1.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"no image")
    with pytest.raises(WbcError, match="needs cells in the splits train and val"):
        run(trained([tmp_path / "set"], tmp_path / "out", device="cpu"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epoch": 3}, "has no epoch; it has .*epochs"),
        ({"preset": {"longer": 3}}, r"has no preset\.longer; it has preset\.red_cell"),
        ({"augmentation": {"tint": 3}}, r"has no augmentation\.tint"),
        ({"epochs": "3"}, "epochs like 20, not '3'"),
        ({"epochs": 2.5}, "epochs like 20, not 2.5"),
        ({"epochs": True}, "epochs like 20, not True"),
        ({"mosaic": False}, "mosaic like 0.5, not False"),
        ({"pretrained": 1}, "pretrained like False, not 1"),
        ({"preset": {"longest": "96"}}, r"preset\.longest like 512, not '96'"),
        ({"augmentation": {"blur": "much"}}, r"augmentation\.blur like"),
        ({"preset": 5}, "preset"),
        ({"preset": [96]}, "preset"),
        ({"classes": 5}, "classes"),
        ({"classes": "leukocyte"}, "classes"),
        ({"classes": ["leukocyte", 3]}, "classes"),
        ({"batch_size": 8}, "as many draws"),
        ({"precision": "8"}, "precision"),
    ],
    ids=str,
)
def test_a_wrong_recipe_is_refused_before_anything_is_read_or_written(wrong, message, tmp_path):
    with pytest.raises(WbcError, match=message):
        train([tmp_path / "none.csv"], tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_a_whole_number_may_stand_for_a_fraction(field_manifest, tiny_backbone, tmp_path):
    done = train(
        [field_manifest], tmp_path, backbone=tiny_backbone, mosaic=0, augmentation={"blur": 0}
    )
    assert done.card.provenance["recipe"]["mosaic"] == 0
    assert done.card.provenance["recipe"]["augmentation"]["blur"] == 0


def test_without_training_sets_there_is_nothing_to_train_on(tmp_path):
    with pytest.raises(WbcError, match="train and val"):
        train([], tmp_path / "out")


def test_a_missing_training_set_is_said(tmp_path):
    with pytest.raises(WbcError, match=r"none\.csv"):
        train([tmp_path / "none.csv"], tmp_path / "out")


def test_an_unknown_device_is_refused(field_manifest, tmp_path):
    with pytest.raises(WbcError, match="choose auto, cpu or cuda"):
        run(train_detector_steps([field_manifest], tmp_path / "out", device="abacus", **SMALL))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_said_before_the_fields_are_read(field_manifest, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WbcError, match="cannot be a folder"):
        next(train_detector_steps([field_manifest], tmp_path / "file", device="cpu", **SMALL))


def test_a_detector_is_trained_on_several_sets_but_not_on_their_test_split(
    field_manifest, tiny_backbone, tmp_path
):
    shutil.copytree(field_manifest.parent, tmp_path / "more")
    more = tmp_path / "more" / "fields.csv"
    with more.open("a", encoding="utf-8") as file:
        file.write("none.png,neutrophil,test,lab,1,1,9,9,\n")
    steps = train_detector_steps(
        [field_manifest, more],
        tmp_path / "out",
        device="cpu",
        **SMALL | {"backbone": tiny_backbone, "classes": list(BLOOD_CLASSES)},
    )
    first = next(step for step in steps if step.step == "reading fields")
    assert (first.done, first.total) == (1, 10)
    done = run(steps)
    assert done.weights == tmp_path / "out" / "small.safetensors"
    assert done.card.provenance["data"]["lab train fields"] == 8
    assert done.card.provenance["data"]["lab train cells"] == 48
    assert load_mask_rcnn(done.weights, device="cpu").classes == BLOOD_CLASSES


TINY = {"name": "tiny", "epochs": 1, "batch_size": 2, "preset": {"size": 32}}


@pytest.fixture
def cells(tmp_path):
    """A field of cells to learn and to validate, and a platelet; a test image is missing."""
    folder = tmp_path / "cells"
    folder.mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (60, 200, 3), dtype=np.uint8)).save(folder / "f.png")
    lines = ["path,label,split,source,top,left,bottom,right"]
    labels = ("neutrophil", "monocyte", "neutrophil", "lymphocyte", "basophil", "platelet")
    for i, label in enumerate(labels):
        split = "val" if i in (2, 3) else "train"
        lines.append(f"f.png,{label},{split},lab,5,{30 * i + 2},45,{30 * i + 28}")
    lines.append("none.png,neutrophil,test,lab,5,2,45,28")
    path = folder / "cells.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def train_tiny(paths, out, **recipe):
    return run(train_steps(paths, out, device="cpu", **TINY | recipe))


def test_without_training_sets_there_is_nothing_to_classify(tmp_path):
    with pytest.raises(WbcError):
        train_tiny([], tmp_path / "out")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epoch": 3}, "has no epoch; it has .*epochs"),
        ({"classes": ["a"]}, "has no classes"),
        ({"taxonomies": 3}, "has no taxonomies"),
        (
            {"preset": {"white_quantile": 0.9}},
            r"has no preset\.white_quantile; it has preset\.size",
        ),
        ({"augmentation": {"tint": 3}}, r"has no augmentation\.tint"),
        ({"epochs": "3"}, "epochs like 30, not '3'"),
        ({"epochs": True}, "epochs like 30, not True"),
        ({"mixup": "much"}, "mixup like 0.0, not 'much'"),
        ({"preset": {"anchors": "half"}}, r"preset\.anchors like 0.5, not 'half'"),
        ({"preset": {"anchors": 2}}, "anchors = 2 is impossible"),
        ({"preset": {"size": 3}}, "size = 3 is impossible"),
        ({"preset": 5}, "preset as a table"),
        ({"augmentation": [1]}, "augmentation as a table"),
        ({"mode": "three-stage"}, "choose one of: softmax"),
        ({"mode": 3}, "mode like 'softmax', not 3"),
        ({"precision": "8"}, "precision"),
        ({"name": "a/b"}, "plain file name"),
    ],
    ids=str,
)
def test_a_wrong_recipe_of_a_classifier_is_refused_before_anything_is_read(
    wrong, message, tmp_path
):
    with pytest.raises(WbcError, match=message):
        train_tiny([tmp_path / "none.csv"], tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_a_classifier_is_trained_on_the_classes_of_a_taxonomy(cells, tmp_path):
    done = train_tiny([cells], tmp_path / "out", taxonomy=TWO_CLASSES, mode="one-vs-rest")
    assert done.card.classes == TWO_CLASSES.names
    # The platelet is learnt as no class.
    assert done.card.provenance["cells"] == {"lab train": 4, "lab val": 2}
    classifier = load_classifier(done.weights, device="cpu")
    assert (classifier.preset.size, classifier.card.mode) == (32, "one-vs-rest")


def test_an_image_that_any_set_holds_for_testing_is_trained_on_by_none(tmp_path):
    one, two = tmp_path / "one" / "train" / "monocyte", tmp_path / "two" / "test" / "monocyte"
    for place, colors in ((one, (10, 90)), (two, (90,))):
        place.mkdir(parents=True)
        for color in colors:
            Image.new("RGB", (30, 30), (color, 0, 0)).save(
                place / f"{place.parent.name}-{color}.png"
            )
    cells, *_ = run(learnable_steps([tmp_path / "one", tmp_path / "two"]))
    assert [cell.path.name for cell in cells] == ["train-10.png"]


def test_red_cells_teach_a_classifier_that_they_are_no_class(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("monocyte", "lymphocyte", "red cell", "spaceship"):
            folder = tmp_path / "set" / split / label
            folder.mkdir(parents=True)
            for i in range(2):
                pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    recipe = {"name": "small", "epochs": 1, "batch_size": 4, "preset": {"size": 16}}
    steps = train_steps([tmp_path / "set"], tmp_path / "out", device="cpu", **recipe)
    notes = " ".join(step.note for step in steps)
    assert "Left out, no class of the taxonomy: red cell (2), spaceship (4)." in notes
    assert "Learnt as no class: red cell (2)." in notes
    card = load_classifier(tmp_path / "out" / "small.safetensors", device="cpu").card
    assert sorted(card.provenance["cells"].values()) == [4, 6]
