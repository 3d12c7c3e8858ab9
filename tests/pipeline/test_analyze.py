"""The main job: fields in, cells out, and what failed beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

import napari_wbc
from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.slide import Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, UNIDENTIFIED
from napari_wbc.model.taxonomy_dict import taxonomy_from_dict
from napari_wbc.pipeline.analyze import (
    Analysis,
    analyze_fields_steps,
    analyze_slide_steps,
    analyze_steps,
    classify_cells,
    classify_table_steps,
    load_eight_classes,
)
from napari_wbc.pipeline.report import write_results

BOXES = (BBox(5, 5, 25, 25), BBox(30, 40, 50, 60))


@dataclass(frozen=True)
class TwoCells:
    """A detector that finds two cells everywhere."""

    name: str = "two cells"

    def detect(self, image):
        return tuple(Detection(box, score=0.5) for box in BOXES)


@pytest.fixture(scope="module")
def classifier(weights):
    return load_classifier(weights, device="cpu")


@pytest.fixture
def slide(tmp_path):
    folder = tmp_path / "slide"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("f1.png", "f2.png"):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_a_slide_without_fields_has_no_cells(classifier):
    one = run(analyze_slide_steps(Slide("empty", ()), TwoCells(), classifier))
    assert (len(one.table), one.failures, one.differential.total) == (0, (), 0)


def test_no_cells_are_classified_as_none(classifier):
    assert classify_cells(np.zeros((9, 9, 3), np.uint8), [], classifier) == ()


def test_a_field_that_cannot_be_read_is_a_failure_and_the_rest_goes_on(slide, classifier):
    (slide / "f0.png").write_bytes(b"no image")
    steps = analyze_slide_steps(open_slide(slide), TwoCells(), classifier)
    notes = [(s.done, s.total, "f0.png" in s.note) for s in steps]
    assert notes == [(1, 3, True), (2, 3, False), (3, 3, False)]
    one = run(analyze_slide_steps(open_slide(slide), TwoCells(), classifier))
    assert [f.path.name for f in one.failures] == ["f0.png"]
    assert [c.fov_id for c in one.table.values()] == ["slide/f1.png"] * 2 + ["slide/f2.png"] * 2
    assert all(c.prediction is not None for c in one.table.values())
    assert [c.detection.bbox for c in one.table.of_field("slide/f1.png")] == list(BOXES)


def test_an_analysis_has_tables_of_cells_and_classes(slide, weights):
    analysis = napari_wbc.analyze(str(slide), weights=weights, device="cpu")
    assert analysis.failures == ()
    assert len(analysis.differential) == 10
    assert set(analysis.cells["slide"]) <= {"slide"}


def test_nothing_to_analyze_is_said():
    with pytest.raises(WbcError, match="No image given"):
        napari_wbc.analyze([])


@pytest.fixture
def other_weights(weights, tmp_path):
    """The weights with other class names, and a taxonomy where one is given."""

    def make(classes, taxonomy=None):
        card = json.loads(weights.with_suffix(".json").read_text())
        card |= {"classes": list(classes), "taxonomy": taxonomy}
        other = tmp_path / "other.safetensors"
        other.write_bytes(weights.read_bytes())
        other.with_suffix(".json").write_text(json.dumps(card))
        return other

    return make


def test_the_workbench_refuses_a_class_that_is_none_of_the_eight(other_weights):
    other = other_weights(["segmented neutrophil", *EIGHT_CLASSES.names[1:]])
    with pytest.raises(WeightsError, match="segmented neutrophil"):
        load_eight_classes(other, device="cpu")


def test_the_workbench_classifies_with_the_weights_it_names(slide, other_weights):
    some = other_weights(EIGHT_CLASSES.names[::-1])
    found = run(analyze_fields_steps(open_slide(slide), "hsv", weights=some))
    assert found.classified
    assert found.taxonomy is EIGHT_CLASSES
    drawn = CellTable([Cell.new("slide/f1.png", Detection(BOXES[0]))])
    (cell,) = run(classify_table_steps(open_slide(slide), drawn, weights=some))
    assert cell.prediction.names == EIGHT_CLASSES.names[::-1]
    for steps in (
        analyze_fields_steps(open_slide(slide), "hsv", weights=other_weights([*"abcdefgh"])),
        classify_table_steps(open_slide(slide), drawn, weights=some),
    ):
        with pytest.raises(WeightsError, match="a, b, c"):
            run(steps)


def test_cells_are_counted_by_the_taxonomy_of_the_weights(slide, other_weights, tmp_path):
    own = taxonomy_from_dict(
        {"name": "ours", "classes": ["blast", *"abcdef", {"name": "debris", "place": "beside"}]}
    )
    weights = other_weights(own.names, own.to_dict())
    steps = analyze_steps([slide], detector="hsv", weights=weights, device="cpu")
    empty = run(steps)
    assert empty.taxonomy == empty.slides[0].taxonomy == own
    assert list(empty.cells.columns)[-8:] == [f"p_{name}" for name in own.names]
    assert [s.name for s in empty.slides[0].differential.shares] == list(own.names[:-1])
    assert [b.name for b in empty.slides[0].differential.beside] == ["debris", UNIDENTIFIED, NOT_CLASSED]

    classifier = load_classifier(weights, device="cpu")
    one = run(analyze_slide_steps(open_slide(slide), TwoCells(), classifier, taxonomy=own))
    counted = one.differential
    assert counted.total + counted.beside[0].count == len(one.table) == 4
    analysis = Analysis((one,), "two cells", "m")
    run(write_results(analysis, tmp_path / "out", analysis.taxonomy))
    (told,) = json.loads((tmp_path / "out" / "differential.json").read_text())
    assert told["taxonomy"] == "ours"
    (fov, _) = json.loads((tmp_path / "out" / "cells.geojson").read_text())
    assert {f["properties"]["classification"]["name"] for f in fov["features"]} <= set(own.names)


def test_an_analysis_of_nothing_has_the_eight_classes():
    assert Analysis((), "hsv", "m").taxonomy is EIGHT_CLASSES
