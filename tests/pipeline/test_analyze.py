"""The main job: fields in, cells out, and what failed beside them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

import napari_wbc
from napari_wbc.classify.predict import load_classifier
from napari_wbc.detect.base import Located
from napari_wbc.errors import ReadError, WbcError, WeightsError
from napari_wbc.imaging.read import open_slide, read_field
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.slide import Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, FIVE_CLASSES, NOT_CLASSED, UNIDENTIFIED
from napari_wbc.model.taxonomy_dict import taxonomy_from_dict, taxonomy_of_names
from napari_wbc.pipeline.analysis import Analysis
from napari_wbc.pipeline.analyze import (
    _classified,
    analyze_fields_steps,
    analyze_slide_steps,
    analyze_steps,
    classify_table_steps,
)
from napari_wbc.pipeline.held_out import UUID
from napari_wbc.pipeline.report import differential_json, write_results
from napari_wbc.weights.store import read_model, write_model

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
    assert _classified(np.zeros((9, 9, 3), np.uint8), [], classifier) == []


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
    # A candidate, where the cell finders disagree on a drawn cell, stands beside them.
    assert sum(analysis.differential["class"] != "candidate") == 10
    assert set(analysis.cells["slide"]) <= {"slide"}


def test_nothing_to_analyze_is_said():
    with pytest.raises(WbcError, match="No image given"):
        napari_wbc.analyze([])


@pytest.fixture
def other_weights(weights, tmp_path):
    """The weights with other class names, and a taxonomy where one is given."""

    def make(classes, taxonomy=None):
        data, text, _card = read_model(weights)
        card = json.loads(text) | {"classes": list(classes), "taxonomy": taxonomy}
        other = tmp_path / "other.safetensors"
        write_model(other, data, json.dumps(card))
        return other

    return make


def drawn(fov_ids=("slide/f1.png",)):
    return CellTable([Cell.new(fov_id, Detection(BOXES[0], drawn=True)) for fov_id in fov_ids])


def test_cells_of_classes_that_the_project_lacks_stand_beside_its_differential(
    slide, weights, monkeypatch
):
    monkeypatch.setattr(
        "napari_wbc.pipeline.locate.make_detector", lambda *_args, **_kw: TwoCells()
    )
    found = run(analyze_fields_steps(open_slide(slide), weights=weights, taxonomy=FIVE_CLASSES))
    assert found.taxonomy is FIVE_CLASSES
    said = zip(
        found.table.values(),
        ["neutrophil", "erythroblast", "platelet", "band neutrophil"],
        strict=True,
    )
    table = found.table.with_cells([cell.annotated(Annotation(label)) for cell, label in said])
    one = dataclasses.replace(found, table=table)
    counted = one.differential
    assert (counted.total, counted.shares[0].count) == (2, 2)
    assert [(row.name, row.count) for row in counted.beside[2:]] == [
        ("erythroblast", 1),
        ("platelet", 1),
    ]
    assert list(Analysis((one,)).cells.columns)[-8:] == [
        *(f"p_{name}" for name in FIVE_CLASSES.names),
        "p_immature_granulocyte",
        "p_erythroblast",
        "p_platelet",
    ]


def test_a_model_of_a_new_class_is_used_where_the_project_has_it(slide, other_weights):
    nine = taxonomy_of_names("nine", [*EIGHT_CLASSES.names[:-1], "blast", "platelet"])
    some = other_weights([*EIGHT_CLASSES.names[:-1], "blast"])
    found = run(analyze_fields_steps(open_slide(slide), "hsv", weights=some, taxonomy=nine))
    assert (found.taxonomy, found.classified) == (nine, True)
    result = run(classify_table_steps(open_slide(slide), drawn(), weights=some, taxonomy=nine))
    assert result.cells[0].prediction.names[-1] == "blast"


def test_a_model_none_of_whose_classes_counts_is_refused(slide, weights):
    ours = taxonomy_of_names("marrow", ["blast", "hairy cell"])
    for steps in (
        analyze_fields_steps(open_slide(slide), "hsv", weights=weights, taxonomy=ours),
        classify_table_steps(open_slide(slide), drawn(), weights=weights, taxonomy=ours),
    ):
        with pytest.raises(
            WeightsError, match=r"No class of the model \(neutrophil.*'marrow' \(blast, hairy"
        ):
            run(steps)


def test_every_cell_says_what_located_it(slide, classifier):
    one = run(analyze_slide_steps(open_slide(slide), TwoCells(), classifier))
    assert {cell.detection.located_by for cell in one.table.values()} == {LocatedBy("two cells")}
    assert (one.detector, Analysis((one,)).detector) == ("two cells", "two cells")
    assert len({id(cell.detection.located_by) for cell in one.table.values()}) == 1
    empty = run(analyze_slide_steps(Slide("empty", ()), TwoCells(), classifier))
    assert (empty.detector, empty.located_by) == ("two cells", {})


def test_drawn_cells_of_a_field_that_cannot_be_read_are_left_and_the_rest_is_classified(
    slide, weights
):
    def read(field):
        if field.fov_id == "slide/f1.png":
            raise ReadError(f"{field.path}: it is gone")
        return read_field(field)

    table = drawn(("slide/f1.png", "slide/f2.png"))
    told = []

    def noted():
        result = yield from classify_table_steps(
            open_slide(slide), table, weights=weights, read=read
        )
        told.append(result)

    notes = [step.note for step in noted()]
    (result,) = told
    assert [cell.fov_id for cell in result.cells] == ["slide/f2.png"]
    assert result.cells[0].prediction is not None
    assert [failure.path.name for failure in result.failures] == ["f1.png"]
    assert [note for note in notes if note] == [f"{slide / 'f1.png'}: it is gone"]


def test_without_drawn_cells_none_is_classified(slide, weights):
    result = run(classify_table_steps(open_slide(slide), CellTable(), weights=weights))
    assert (result.cells, result.failures) == ((), ())


def test_the_workbench_classifies_with_the_weights_it_names(slide, other_weights):
    some = other_weights(EIGHT_CLASSES.names[::-1])
    found = run(analyze_fields_steps(open_slide(slide), "hsv", weights=some))
    assert found.classified
    assert found.taxonomy is EIGHT_CLASSES
    (cell,) = run(classify_table_steps(open_slide(slide), drawn(), weights=some)).cells
    assert cell.prediction.names == EIGHT_CLASSES.names[::-1]


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
    assert [b.name for b in empty.slides[0].differential.beside] == [
        "debris",
        UNIDENTIFIED,
        NOT_CLASSED,
    ]

    classifier = load_classifier(weights, device="cpu")
    one = run(analyze_slide_steps(open_slide(slide), TwoCells(), classifier, taxonomy=own))
    counted = one.differential
    assert counted.total + counted.beside[0].count == len(one.table) == 4
    analysis = Analysis((one,), "m")
    run(write_results(analysis, tmp_path / "out"))
    (told,) = json.loads((tmp_path / "out" / "differential.json").read_text())
    assert told["taxonomy"] == "ours"
    (fov, _) = json.loads((tmp_path / "out" / "cells.geojson").read_text())
    assert {f["properties"]["classification"]["name"] for f in fov["features"]} <= set(own.names)


def doubtful_steps(detector, image, progress):
    """One cell, and one on which the cell finders disagree."""
    yield progress
    sure, doubtful = detector.detect(image)
    text = "cell finders disagree: 1 against 12" if image.mean() > 100 else ""
    return Located((sure, dataclasses.replace(doubtful, candidate=True)), disagreement=text)


def test_candidates_are_classified_and_a_field_that_is_disagreed_on_is_told(
    slide, classifier, monkeypatch
):
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(slide / "f1.png")
    monkeypatch.setattr("napari_wbc.pipeline.analyze.locate_steps", doubtful_steps)
    notes = []

    def noted():
        notes.append((yield from analyze_slide_steps(open_slide(slide), TwoCells(), classifier)))

    said = [progress.note for progress in noted() if progress.note]
    (one,) = notes
    assert said == ["slide/f2.png: cell finders disagree: 1 against 12"]
    assert one.disagreements == {"slide/f2.png": "cell finders disagree: 1 against 12"}
    assert [cell.candidate for cell in one.table.values()] == [False, True] * 2
    assert all(cell.prediction is not None for cell in one.table.values())
    assert one.differential.total + sum(row.count for row in one.differential.beside) == 4
    assert one.table.label_counts["candidate"] == 2
    fields = Analysis((one,)).fields
    assert fields["candidates"].tolist() == [1, 1]
    assert fields["note"].tolist() == ["", "cell finders disagree: 1 against 12"]


class Foreign:
    """A familiarity to which every cell is unlike."""

    def unlikeness(self, features, _stains):
        return torch.full((len(features),), 3.0)


def test_on_a_stain_that_the_model_does_not_know_it_takes_more_to_be_identified(slide, classifier):
    foreign = dataclasses.replace(classifier, familiarity=Foreign(), foreign_threshold=0.99)
    steps = list(analyze_slide_steps(open_slide(slide), TwoCells(), foreign))
    assert "(by the first 4 cells)" in steps[-1].note
    analysis = run(analyze_slide_steps(open_slide(slide), TwoCells(), foreign))
    assert {cell.prediction.threshold for cell in analysis.table.values()} == {0.99}
    assert {cell.label for cell in analysis.table.values()} == {UNIDENTIFIED}
    written = differential_json(Analysis((analysis,), threshold=0.5))[0]
    assert "first 4 cells" in written["stain_alarm"]
    assert written["threshold"] == 0.99
    # Of one more field, too, and of cells that a person drew.
    one_field = Slide("slide", open_slide(slide).fields[:1])
    again = run(analyze_slide_steps(one_field, TwoCells(), foreign, before=analysis.table.values()))
    assert {cell.prediction.threshold for cell in again.table.values()} == {0.99}
    home = run(analyze_slide_steps(open_slide(slide), TwoCells(), classifier))
    assert not home.stain_alarm
    assert UNIDENTIFIED not in {cell.label for cell in home.table.values()}


def test_cells_of_two_runs_have_the_same_ids_whatever_the_folder_is_called(
    slide, weights, tmp_path, monkeypatch
):
    found = BOXES[0], BOXES[0], BOXES[1]
    cells = tuple(Detection(box, score=0.5) for box in found)

    def locate_steps(*_arguments):
        yield from ()
        return Located(cells, None)

    monkeypatch.setattr("napari_wbc.pipeline.analyze.locate_steps", locate_steps)
    shutil.copy(slide / "f1.png", slide / "f3.png")
    again = shutil.copytree(slide, tmp_path / "again")
    ids = []
    for folder in (slide, again, slide):
        steps = analyze_steps([folder], "hsv", weights=weights, device="cpu")
        ids.append(list(run(steps).slides[0].table))
    assert ids[0] == ids[1] == ids[2]
    # The same box twice, and the same image twice, are cells of their own.
    assert len(set(ids[0])) == 3 * len(found)
    assert all(UUID.fullmatch(cell_id) for cell_id in ids[0])
