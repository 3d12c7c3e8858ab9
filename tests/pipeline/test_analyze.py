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
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.slide import Slide
from napari_wbc.pipeline.analyze import (
    analyze_slide_steps,
    classify_cells,
    load_eight_classes,
)

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


def test_weights_with_a_class_that_cannot_be_counted_are_refused(weights, tmp_path):
    card = json.loads(weights.with_suffix(".json").read_text())
    card["classes"][0] = "segmented neutrophil"
    other = tmp_path / "other.safetensors"
    other.write_bytes(weights.read_bytes())
    other.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(WeightsError, match="segmented neutrophil"):
        load_eight_classes(other, device="cpu")
