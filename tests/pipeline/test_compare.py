"""Two classifiers on the same cells: none that was trained on, and in one taxonomy."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_wbc.classify.preset import Preset
from napari_wbc.errors import WbcError
from napari_wbc.measure.verdict import Verdict
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import EIGHT_CLASSES, TWO_CLASSES
from napari_wbc.model.taxonomy_dict import taxonomy_of_names
from napari_wbc.pipeline.compare import compare_steps
from napari_wbc.pipeline.evaluate import evaluate_steps
from napari_wbc.pipeline.held_out import trained_on_steps
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.train.dataset import cut_training_crops
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import load_weights, save_weights


def compared(manifest, old, new, **options):
    return run(compare_steps([manifest], old, new, device="cpu", **{"heat": False} | options))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_split_without_cells_is_told(manifest, weights):
    with pytest.raises(WbcError, match="no cell in the split 'val'"):
        compared(manifest, weights, weights, split="val")


def test_both_say_what_each_says_alone(manifest, weights, other):
    new = other(size=48)
    found = compared(manifest, weights, new)
    for answers, file in ((found.old, weights), (found.new, new)):
        alone = run(evaluate_steps([manifest], weights=file, device="cpu"))
        assert answers.model_id == alone.model_id
        np.testing.assert_array_equal(found.truth, alone.truth)
        np.testing.assert_allclose(answers.probabilities, alone.probabilities, atol=1e-6)
    assert found.taxonomy is EIGHT_CLASSES or found.taxonomy == EIGHT_CLASSES
    assert [cell.label for cell in found.cells] == [found.taxonomy.names[k] for k in found.truth]
    assert "Cells left out, no class of the taxonomy: blast (2)." in found.notes


def test_only_crops_of_changed_cells_are_kept(manifest, other):
    found = compared(manifest, other("monocyte"), other("neutrophil"))
    assert [(row.name, row.fixed, row.broken) for row in found.measures.by_class] == [
        ("neutrophil", 4, 0),
        ("lymphocyte", 0, 0),
        ("monocyte", 0, 3),
        ("platelet", 0, 0),
    ]
    assert found.crops.shape == (7, 32, 32, 3)
    for kind, name in (("fixed", "neutrophil"), ("broken", "monocyte")):
        rows = [i for i, cell in enumerate(found.cells) if cell.label == name]
        assert [i for i, _crop in found.changed(kind)] == rows
    everything = run(cut_training_crops(found.cells, found.taxonomy.names, Preset(size=32))).crops
    for i, crop in (*found.changed("fixed"), *found.changed("broken")):
        np.testing.assert_array_equal(crop, everything[i])


def test_crops_are_cut_once_where_presets_cut_alike(manifest, weights, other):
    def cuts(new):
        steps = [p.step for p in compare_steps([manifest], weights, new, device="cpu", heat=False)]
        return steps.count("cutting crops")

    assert cuts(other(size=32)) == 3  # one a field
    assert cuts(other(size=48)) == 6


def test_a_model_against_itself_is_undecided(manifest, weights):
    found = compared(manifest, weights, weights)
    assert (found.measures.verdict, len(found.crops)) == (Verdict.UNDECIDED, 0)
    assert "nothing tells them apart on 11 cells" in found.measures.why


def test_each_model_has_its_own_threshold(manifest, weights, other):
    found = compared(manifest, weights, other(threshold=1.0))
    assert found.old.sure.all()
    assert not found.new.sure.any()
    assert found.measures.overall.new.unidentified == 1


def test_new_classes_are_compared_by_and_what_the_old_cannot_know_is_said(manifest, weights, other):
    more = taxonomy_of_names("nine", [*EIGHT_CLASSES.names, "blast"])
    found = compared(manifest, weights, other(taxonomy=more))
    assert found.taxonomy == more
    assert "The old model does not know blast, so it cannot be right on 2 cells." in found.notes
    assert not found.old.probabilities[:, -1].any()


def test_a_taxonomy_may_be_given(manifest, weights, other):
    found = compared(manifest, weights, other(), taxonomy=TWO_CLASSES)
    assert found.taxonomy is TWO_CLASSES
    assert any(
        "immature granulocyte, erythroblast, platelet are no class here" in n for n in found.notes
    )


def test_cells_of_images_that_were_trained_on_are_left_out(manifest, weights, other):
    images = [sha256(manifest.parent / "0.png"), "0" * 64]
    found = compared(manifest, weights, other(provenance={"training_images": images}))
    assert {cell.path.name for cell in found.cells} == {"1.png", "one.png"}
    assert "Left out, of images the new model was trained on: 6 cells." in found.notes
    assert sum("does not list the images" in note for note in found.notes) == 1


def test_nothing_is_left_where_all_images_were_trained_on(manifest, weights, other):
    known = {"training_images": [sha256(path) for path in manifest.parent.glob("*.png")]}
    with pytest.raises(WbcError, match="Every held-out image"):
        compared(manifest, other(provenance=known), weights)


@pytest.mark.parametrize("listed", [None, [], "abc", 3, [3, None]])
def test_a_card_that_lists_no_images_knows_none(listed, manifest):
    cells = read_training_set(manifest)
    card = ModelCard("m", "1", "cdnn", ("a",), {}, provenance={"training_images": listed})
    assert not run(trained_on_steps(cells, [card])).any()


def test_an_image_that_is_gone_is_told_before_crops_are_cut(manifest, weights, other, tmp_path):
    rows = "path,label,split,source,top,left,bottom,right\ngone.png,monocyte,test,lab,,,,\n"
    (tmp_path / "cells.csv").write_text(rows)
    with pytest.raises(WbcError, match=r"gone\.png"):
        compared(tmp_path / "cells.csv", weights, other(provenance={"training_images": ["a"]}))


def test_unknown_slides_are_told_by_source(manifest, weights):
    notes = compared(manifest, weights, weights).notes
    assert [note.split(":")[0] for note in notes if "slides are not known" in note] == [
        "lab 0",
        "lab 1",
    ]


def test_work_ends_where_it_is_cancelled(manifest, weights):
    steps = compare_steps([manifest], weights, weights, device="cpu")
    assert "loading weights" in (progress.step for progress in steps)
    steps.close()


@pytest.mark.real
def test_a_perturbed_copy_of_the_shipped_weights_is_not_adopted(real_data, tmp_path):
    lines = ["path,label,split,source,top,left,bottom,right"]
    root = real_data / "bccd"
    with (root / "labels.csv").open(encoding="utf-8") as file:
        labels = {int(row["Image"]): row["Category"].lower() for row in csv.DictReader(file)}
    kept = [(n, label) for n, label in labels.items() if label in EIGHT_CLASSES.names][:24]
    for n, label in kept:
        lines.append(f"{root / 'JPEGImages' / f'BloodImage_{n:05}.jpg'},{label},test,bccd,,,,")
    (tmp_path / "cells.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tensors, card = load_weights(find_weights("cdnn"))
    tensors["head.weight"] = torch.roll(tensors["head.weight"], 1, 0)
    worse = tmp_path / "worse.safetensors"
    save_weights(worse, tensors, replace(card, name="worse"))
    found = compared(tmp_path / "cells.csv", "cdnn", worse)
    assert found.measures.verdict is Verdict.KEEP
    assert compared(tmp_path / "cells.csv", worse, "cdnn").measures.verdict is Verdict.ADOPT
