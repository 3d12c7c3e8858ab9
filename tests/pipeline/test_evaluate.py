"""Evaluation: labels and probabilities meet in one taxonomy; what is no class is counted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.measure.metrics import measure
from napari_wbc.model.mapping import mapped
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import EIGHT_CLASSES, TWO_CLASSES, Taxonomy
from napari_wbc.model.taxonomy_dict import taxonomy_of_names
from napari_wbc.pipeline.evaluate import Evaluation, evaluate_steps, write_evaluation
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.train.dataset import cut_training_crops
from napari_wbc.weights.store import load_weights, save_weights

LABELS = ("neutrophil", "band neutrophil", "monocyte", "platelet", "blast", "blast")


@pytest.fixture
def manifest(tmp_path):
    """A field with a cell a label, of two sources; one more cell is of the split val."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (60, 240, 3), dtype=np.uint8)).save(tmp_path / "f.png")
    lines = ["path,label,split,source,top,left,bottom,right"]
    for i, label in enumerate(LABELS):
        lines.append(f"f.png,{label},test,lab {i % 2},5,{40 * i + 2},45,{40 * i + 38}")
    lines.append("f.png,blast,val,lab 0,5,2,45,38")
    path = tmp_path / "cells.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def evaluate(manifest, weights, **options):
    return run(evaluate_steps([manifest], weights=weights, device="cpu", **options))


def test_an_evaluation_of_no_cells_has_no_metrics():
    none = np.empty(0, np.int64)
    empty = Evaluation(EIGHT_CLASSES, none, np.empty((0, 8)), np.empty(0, np.str_))
    assert (empty.metrics, empty.scores, len(empty.predicted), empty.left_out) == ({}, {}, 0, {})


def test_an_evaluation_of_no_cells_is_not_written(tmp_path):
    empty = Evaluation(EIGHT_CLASSES, np.empty(0, np.int64), np.empty((0, 8)), np.empty(0, np.str_))
    with pytest.raises(WbcError, match="no cell to draw"):
        write_evaluation(empty, tmp_path / "out")


def test_cells_that_the_model_knows_are_told(manifest, weights, tmp_path):
    assert evaluate(manifest, weights).known == 0
    tensors, card = load_weights(weights)
    told = {"training_images": [sha256_of(tmp_path / "f.png")]}
    save_weights(tmp_path / "knows.safetensors", tensors, replace(card, provenance=told))
    result = evaluate(manifest, tmp_path / "knows.safetensors", heat=False)
    assert "of these cells are of images that the model was trained" in result.warning


def test_a_split_without_cells_is_told(manifest, weights):
    with pytest.raises(WbcError, match="no cell in the split 'train'"):
        evaluate(manifest, weights, split="train")


def test_the_models_own_taxonomy_is_the_default(manifest, weights):
    result = evaluate(manifest, weights)
    assert result.taxonomy is EIGHT_CLASSES
    assert [result.classes[i] for i in result.truth] == [
        "neutrophil",
        "neutrophil",
        "monocyte",
        "platelet",
    ]
    assert result.left_out == {"blast": 2}
    assert result.model_id.startswith("tiny 1")
    assert result.sources.tolist() == ["lab 0", "lab 1", "lab 0", "lab 1"]


def test_probabilities_are_the_classifiers_mapped(manifest, weights):
    result = evaluate(manifest, weights, taxonomy=TWO_CLASSES)
    assert [result.classes[i] for i in result.truth] == [
        "polynuclear",
        "polynuclear",
        "mononuclear",
    ]
    assert result.left_out == {"platelet": 1, "blast": 2}
    classifier = load_classifier(weights, device="cpu")
    cells = [cell for cell in read_training_set(manifest) if cell.split == "test"][:3]
    data = run(cut_training_crops(cells, LABELS, classifier.preset))
    own = [p.probabilities for p in classifier.predict(data.crops, data.red)]
    expected = mapped(own, EIGHT_CLASSES.names, TWO_CLASSES)
    np.testing.assert_allclose(result.probabilities, expected)
    np.testing.assert_allclose(result.probabilities.sum(1), 1)


def test_metrics_are_those_of_each_source(manifest, weights):
    result = evaluate(manifest, weights)
    assert list(result.metrics) == ["lab 0", "lab 1"]
    here = result.sources == "lab 1"
    assert result.metrics["lab 1"] == measure(
        result.truth[here], result.predicted[here], result.classes
    )
    assert result.metrics["lab 0"].n == 2


@pytest.mark.parametrize(
    ("taxonomy", "message"),
    [
        (taxonomy_of_names("myeloid", ["blast", "hairy cell"]), "No class of the model"),
        (taxonomy_of_names("other", ["lymphocyte"]), "No label of the training sets"),
        (Taxonomy("empty", ()), "No class of the model"),
    ],
    ids=["finer", "other", "empty"],
)
def test_a_taxonomy_that_does_not_fit_is_told_before_crops_are_cut(
    manifest, weights, taxonomy, message
):
    (manifest.parent / "f.png").unlink()
    with pytest.raises(WbcError, match=message):
        evaluate(manifest, weights, taxonomy=taxonomy)


def test_steps_go_on_to_the_last_cell(manifest, weights):
    steps = list(evaluate_steps([manifest], weights=weights, device="cpu"))
    assert [(s.step, s.done, s.total) for s in steps] == [
        ("reading labels", 0, 0),
        ("loading weights", 0, 6),
        ("cutting crops", 4, 4),
        ("classifying", 4, 4),
    ]


def test_every_measure_is_written_by_source_beside_the_pictures(manifest, weights, tmp_path):
    result = evaluate(manifest, weights, taxonomy=TWO_CLASSES)
    write_evaluation(result, str(tmp_path / "new" / "out"))
    out = tmp_path / "new" / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "calibration.png",
        "confusion.png",
        "roc.png",
        "scores.json",
    ]
    written = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert written["model"] == result.model_id
    assert written["classes"] == list(TWO_CLASSES.names)
    assert written["left_out"] == {"platelet": 1, "blast": 2}
    assert list(written["sources"]) == ["lab 0", "lab 1"]
    for source, scores in result.scores.items():
        assert written["sources"][source]["n"] == scores.n
        assert written["sources"][source]["accuracy"] == scores.accuracy
        assert written["sources"][source]["recall"] == scores.recall


def test_where_the_model_looks_is_measured_on_cells_that_it_has_right(manifest, weights, tmp_path):
    result = evaluate(manifest, weights)
    right = result.predicted == result.truth
    assert set(result.heat) == set(result.sources[right].tolist())
    assert all(((shares >= 0) & (shares <= 1)).all() for shares in result.heat.values())
    assert evaluate(manifest, weights, heat=False).heat == {}


@pytest.mark.parametrize(
    ("elsewhere", "told"), [(2, ""), (3, "lab: of 20 cells rightly classified, 3")]
)
def test_a_model_that_looks_elsewhere_too_often_is_warned_of(elsewhere, told):
    shares = np.array([0.3] * elsewhere + [0.9] * (20 - elsewhere))
    none = np.empty(0, np.int64)
    result = Evaluation(
        EIGHT_CLASSES, none, np.empty((0, 8)), np.empty(0, np.str_), heat={"lab": shares}
    )
    assert result.warning.startswith(told)
    assert bool(result.warning) == bool(told)
    few = replace(result, heat={"lab": np.array([0.3])})
    assert not few.warning, "one cell is no share"
