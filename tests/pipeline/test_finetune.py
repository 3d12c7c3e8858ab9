"""Going on from weights: what is learnt, what is kept, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from napari_wbc.classify.familiarity import parted
from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.pipeline.finetune import finetune_steps, run_folder_steps
from napari_wbc.pipeline.finetune_detector import finetune_detector_steps
from napari_wbc.storage.rounds import write_round_steps
from napari_wbc.storage.sets import read_set
from napari_wbc.weights.card import taxonomy_of, training_images
from napari_wbc.weights.store import load_weights, read_card

SMALL = {"epochs": 2, "draws": 16, "batch_size": 8, "precision": "32-true"}


def cell_set(folder, labels, n=8, splits=("train",), seed=0):
    """A folder of images of one cell each, discs whose size tells the class."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:40, :40] - 19.5
    for split in splits:
        for k, label in enumerate(labels):
            place = folder / split / label.replace(" ", "_")
            place.mkdir(parents=True)
            for i in range(n):
                disc = (np.hypot(rows, cols) < 6 + 5 * k)[..., None]
                image = np.where(disc, (110, 60, 140), (240, 235, 230)) + rng.normal(
                    0, 4, (40, 40, 3)
                )
                Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(
                    place / f"{label}-{i}.png"
                )
    return folder


def as_set(folder, fields, made=None):
    """A set of ours with a field a group of labels; one that ends with None is not complete."""
    folder.mkdir()
    rng = np.random.default_rng(len(fields))
    rows = []
    for i, labels in enumerate(fields):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (40, 400, 3), np.uint8)).save(path)
        cells = tuple(
            Cell(
                f"{folder.name}-{i}-{k}",
                "",
                Detection(BBox(5, 30 * k, 30, 30 * k + 25)),
                None,
                Annotation(label),
            )
            for k, label in enumerate(labels)
            if label
        )
        sha256, whole = sha256_of(path), None not in labels
        rows.append(
            LabelledField(
                path.name, path, 40, 400, "train", cells, f"s{i}", path.name, sha256, whole
            )
        )
    classes = {cell.label: None for row in rows for cell in row.cells}
    made = {"slides": {row.slide: "train" for row in rows}, **(made or {})}
    run(write_round_steps(folder, rows, tuple(classes), written_as="wbc", made=made, pixels=None))
    return folder


@pytest.fixture
def few(tmp_path):
    return cell_set(tmp_path / "few", ["neutrophil", "monocyte"])


def run_folder(*arguments, **options):
    return run(run_folder_steps(*arguments, **options))


def tune(paths, out, weights, **more):
    return run(finetune_steps(paths, out, start=weights, device="cpu", **SMALL | more))


def test_too_few_cells_are_refused_before_anything_is_learnt(tmp_path, weights):
    tiny = cell_set(tmp_path / "tiny", ["neutrophil"], n=3)
    with pytest.raises(WbcError, match="10 labelled cells or more, and there are 3"):
        tune([tiny], tmp_path / "out", weights)
    assert not (tmp_path / "out").exists()


def test_the_new_weights_name_their_parent_and_what_they_saw(few, tmp_path, weights):
    trained = tune([few], tmp_path / "out", weights)
    card, parent = trained.card, read_card(weights)
    assert card.name == "tiny-tuned"
    assert card.classes == EIGHT_CLASSES.names
    told = card.provenance
    assert told["parent"] == {"model_id": parent.model_id, "sha256": parent.sha256}
    assert (told["corrected"], told["replayed"], told["sets"]) == (16, 0, ["few"])
    assert len(told["training_images"]) == 16
    assert load_classifier(trained.weights, device="cpu").card == card


def test_without_a_val_split_one_image_in_six_chooses(few, tmp_path, weights):
    assert tune([few], tmp_path / "out", weights).card.provenance["cells"] == {
        "few train": 13,
        "few val": 3,
    }


def test_a_val_split_is_left_as_it_is_and_test_cells_are_not_looked_at(tmp_path, weights):
    whole = cell_set(
        tmp_path / "whole", ["neutrophil", "monocyte"], splits=("train", "val", "test")
    )
    card = tune([whole], tmp_path / "out", weights).card
    assert card.provenance["cells"] == {"whole train": 16, "whole val": 16}
    assert len(card.provenance["training_images"]) == 32


def test_few_validation_cells_leave_the_calibration_as_it_was(few, tmp_path, weights):
    card = tune([few], tmp_path / "out", weights).card
    assert (card.temperature, card.threshold) == (1.0, 0)
    assert "too few" in card.provenance["calibration"]


def test_old_cells_are_learnt_again_evenly_over_classes(few, tmp_path, weights):
    old = cell_set(
        tmp_path / "old", ["basophil", "eosinophil"], n=30, splits=("train", "val"), seed=1
    )
    told = tune([few], tmp_path / "out", weights, old=[old], replay=20).card.provenance
    assert told["replayed"] == 20
    assert told["cells"] == {"few train": 13, "few val": 3, "old train": 16, "old val": 4}
    assert told["recipe"]["keep"] == 0
    assert tune([few], tmp_path / "other", weights).card.provenance["recipe"]["keep"] == 0.5


def test_frozen_features_stay_to_the_bit_and_with_them_what_is_known(few, tmp_path, weights):
    trained = tune([few], tmp_path / "out", weights, freeze=True, keep=0.0)
    old, new = (parted(load_weights(path)[0])[0] for path in (weights, trained.weights))
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"head.weight", "head.bias"}


def test_a_new_class_is_added_behind_the_old_ones(tmp_path, weights):
    mine = cell_set(tmp_path / "mine", ["neutrophil", "band neutrophil"])
    card = tune([mine], tmp_path / "out", weights, new_classes=["band neutrophil"]).card
    assert card.classes == (*EIGHT_CLASSES.names, "band neutrophil")
    taxonomy = taxonomy_of(card)
    assert taxonomy.class_of("band neutrophil") == "band neutrophil"
    trained = load_classifier(tmp_path / "out" / "tiny-tuned.safetensors", device="cpu")
    assert trained.network.head.out_features == 9


def test_a_new_class_has_none_of_the_old_weights_in_it(tmp_path, weights):
    """Where all old weights are kept, the old rows are as they were, and the new row is learnt."""
    mine = cell_set(tmp_path / "mine", ["neutrophil", "hairy cell"])
    trained = tune([mine], tmp_path / "out", weights, new_classes=["hairy cell"], keep=1.0)
    old, new = (
        parted(load_weights(path)[0])[0]["head.weight"] for path in (weights, trained.weights)
    )
    assert torch.equal(old, new[:8])
    assert not torch.allclose(new[8], old.mean(0))


def test_old_cells_are_none_of_those_that_are_held_out_or_new(tmp_path, weights):
    mine = cell_set(tmp_path / "mine", ["neutrophil", "monocyte"], splits=("train", "test"))
    old = tmp_path / "old"
    shutil.copytree(mine / "test", old / "train")
    shutil.copytree(mine / "train", old / "val")
    shutil.rmtree(old / "val" / "monocyte")
    for file in (old / "val").rglob("*.png"):
        file.rename(file.with_name(f"copy-{file.name}"))
    cell_set(old, ["basophil"], seed=5)
    card = tune([mine], tmp_path / "out", weights, old=[old]).card
    assert card.provenance["replayed"] == 8
    held_out = {sha256_of(file) for file in (mine / "test").rglob("*.png")}
    assert not held_out & training_images(card)


def test_an_image_that_any_set_holds_for_testing_is_not_learnt(tmp_path, weights):
    one = cell_set(tmp_path / "one", ["neutrophil", "monocyte"], n=12)
    two = cell_set(tmp_path / "two", ["neutrophil"], n=12, splits=("test",))
    known = cell_set(tmp_path / "known", ["monocyte"], n=4, splits=("test",))
    held_out = {sha256_of(file) for file in two.rglob("*.png")}
    assert held_out <= {sha256_of(file) for file in one.rglob("*.png")}
    assert not held_out & training_images(tune([one, two], tmp_path / "a", weights, draws=8).card)
    assert not held_out & training_images(
        tune([one], tmp_path / "b", weights, draws=8, old=[two]).card
    )
    assert (
        tune([one], tmp_path / "c", weights, old=[known]).card.provenance["recipe"]["keep"] == 0.5
    )


def test_new_classes_that_nothing_shows_are_left_out_where_asked(few, tmp_path, weights):
    card = tune([few], tmp_path / "out", weights, new_classes=["blast"], only_seen=True).card
    assert card.classes == EIGHT_CLASSES.names


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        (
            ("test",),
            "No slide of this set is in train: "
            r"all 16 cells are kept for testing\. Move",
        ),
        (("val",), "all 16 cells are kept for validation"),
        (("val", "test"), "16 cells are kept for validation and 16 for testing"),
    ],
)
@pytest.mark.parametrize("tuned", [finetune_steps, finetune_detector_steps])
def test_a_set_with_nothing_to_learn_from_is_refused_before_an_image_is_looked_at(
    tuned, splits, told, tmp_path, monkeypatch, weights, detector_weights
):
    def looked(*_arguments, **_more):
        raise AssertionError("too late")

    mine = cell_set(tmp_path / "mine", ["neutrophil", "monocyte"], splits=splits)
    for name in (
        "finetune.resolve_device",
        "finetune_detector.resolve_device",
        "held_out.sided_steps",
        "finetune.cut_training_crops",
        "finetune_detector.read_fields",
        "finetune.make_folder",
        "finetune_detector.make_folder",
    ):
        monkeypatch.setattr(f"napari_wbc.pipeline.{name}", looked)
    start = weights if tuned is finetune_steps else detector_weights
    with pytest.raises(WbcError, match=told):
        run(tuned([mine], tmp_path / "out", start=start))


def test_what_another_set_keeps_for_testing_is_told_before_crops_are_cut(tmp_path, weights):
    mine = cell_set(tmp_path / "mine", ["neutrophil", "monocyte"])
    shutil.copytree(mine / "train", tmp_path / "old" / "test")
    with pytest.raises(
        WbcError, match="Nothing is left to learn from: all images in train are kept"
    ):
        tune([mine], tmp_path / "out", weights, old=[tmp_path / "old"])
    assert not (tmp_path / "out").exists()


def test_labels_in_train_that_are_no_class_are_told_before_crops_are_cut(tmp_path, weights):
    mine = cell_set(tmp_path / "mine", ["hairy cell", "blast"])
    cell_set(mine, ["neutrophil", "monocyte"], splits=("val",), seed=3)
    with pytest.raises(WbcError, match="No cell in train is labelled with a class of tiny"):
        tune([mine], tmp_path / "out", weights)
    assert not (tmp_path / "out").exists()


def test_a_set_that_is_as_it_was_is_the_same_run_and_one_that_changed_another(tmp_path, weights):
    mine = cell_set(tmp_path / "mine", ["neutrophil", "monocyte"])

    def folder(path=mine, start=weights, old=(), **options):
        return run_folder(tmp_path, [path], start, old, **options)

    first = folder()
    assert folder() == folder(str(mine)) == first
    assert folder(freeze=True) != first
    image = next(mine.rglob("*.png"))
    (mine / "train" / "basophil").mkdir()
    moved = image.rename(mine / "train" / "basophil" / image.name)
    assert folder() != first
    moved.rename(image)
    assert folder() == first
    image.write_bytes(image.read_bytes() + b"\0")
    assert folder() != first


@pytest.mark.parametrize("kind", ["coco", "voc", "yolo", "geojson", "csv"])
def test_labels_that_another_program_changed_are_another_run(kind, tmp_path, weights):
    made = as_set(tmp_path / "mine", [["monocyte"] * 3, ["basophil"] * 3])
    fields = read_set(made).fields
    folder = tmp_path / "theirs"
    done = run(
        write_round_steps(
            folder, fields, ("monocyte", "basophil"), written_as=kind, made={}, pixels=None
        )
    )
    (done / "manifest.json").unlink()
    theirs = done.rename(tmp_path / "set")
    first = run_folder(tmp_path, [theirs], weights, [made])
    assert run_folder(tmp_path, [theirs], weights, [made]) == first
    files = [file for file in theirs.rglob("*") if file.is_file() and file.suffix != ".png"]
    assert files
    for file in files:
        before = file.read_bytes()
        file.write_bytes(before + b"\n")
        assert run_folder(tmp_path, [theirs], weights, [made]) != first, file
        file.write_bytes(before)
    assert run_folder(tmp_path, [theirs], weights, [made]) == first
    write = made / "round-1" / "manifest.json"
    write.write_text(write.read_text() + "\n")
    assert run_folder(tmp_path, [theirs], weights, [made]) != first


def test_a_table_tells_which_images_are_of_a_run(tmp_path, weights):
    (tmp_path / "images").mkdir()
    for name in "ab":
        Image.new("RGB", (30, 30)).save(tmp_path / "images" / f"{name}.png")
    table = tmp_path / "cells.csv"
    table.write_text(
        "path,label,split,source,top,left,bottom,right\nimages/a.png,monocyte,train,s,1,1,9,9\n"
    )
    first = run_folder(tmp_path, [table], weights, [])
    Image.new("RGB", (31, 30)).save(tmp_path / "images" / "b.png")
    assert run_folder(tmp_path, [table], weights, []) == first
    Image.new("RGB", (31, 30)).save(tmp_path / "images" / "a.png")
    assert run_folder(tmp_path, [table], weights, []) != first


def test_a_new_class_without_a_cell_is_refused(few, tmp_path, weights):
    with pytest.raises(WbcError, match="labelled blast"):
        tune([few], tmp_path / "out", weights, new_classes=["blast"])


def test_labels_that_are_no_class_are_left_out_and_told(tmp_path, weights):
    mine = cell_set(tmp_path / "mine", ["neutrophil", "monocyte", "hairy cell"])
    notes = [
        s.note
        for s in finetune_steps([mine], tmp_path / "out", start=weights, device="cpu", **SMALL)
    ]
    assert any("hairy cell (8)" in note for note in notes)


def test_a_class_that_is_there_is_no_new_one(few, tmp_path, weights):
    with pytest.raises(WbcError, match="monocyte is a class of"):
        tune([few], tmp_path / "out", weights, new_classes=["monocyte"])


def test_an_interrupted_run_goes_on_to_the_same_weights(few, tmp_path, weights):
    straight = tune([few], tmp_path / "straight", weights)
    steps = finetune_steps([few], tmp_path / "out", start=weights, device="cpu", **SMALL)
    for progress in steps:
        if progress.values:
            break
    steps.close()
    resumed = tune([few], tmp_path / "out", weights)
    assert resumed.card == straight.card
    assert resumed.history == straight.history


def test_a_run_ends_early_where_nothing_gets_better(few, tmp_path, weights):
    trained = tune(
        [few],
        tmp_path / "out",
        weights,
        epochs=30,
        patience=1,
        learning_rate=1e-9,
        matrix_rate=1e-9,
    )
    assert len(trained.history) < 30


def test_a_detector_is_no_classifier_and_the_other_way_round(
    few, tmp_path, weights, detector_weights
):
    with pytest.raises(WbcError, match="weights of a detector; choose those of a classifier"):
        tune([few], tmp_path / "out", detector_weights)
    with pytest.raises(WbcError, match="weights of a classifier; choose those of a detector"):
        run(finetune_detector_steps([few], tmp_path / "out", start=weights, device="cpu"))
