"""Fields in, adapted weights out; what cannot be read is left out and told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import numpy as np
import pytest
from PIL import Image

from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import AlreadySure, WbcError
from napari_wbc.imaging.read import open_slide, read_field, read_image
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import FIVE_CLASSES
from napari_wbc.model.taxonomy_dict import taxonomy_of_names
from napari_wbc.pipeline import adapt
from napari_wbc.pipeline.adapt import (
    adapt_slide_steps,
    adapt_steps,
    adapted_name,
)
from napari_wbc.train.adapt import Adaptation
from napari_wbc.weights.store import read_card

BOXES = [BBox(row, col, row + 14, col + 14) for row in (2, 22, 42) for col in (2, 22, 42, 62)]


@dataclass(frozen=True)
class TwelveCells:
    """A detector that finds the same twelve cells everywhere."""

    name: str = "twelve cells"

    def detect(self, image):
        return tuple(Detection(box, score=0.5) for box in BOXES)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    plan = partial(Adaptation, epochs=1, draws=32, batch_size=16)
    monkeypatch.setattr("napari_wbc.train.adapt.Adaptation", plan)
    monkeypatch.setattr(
        "napari_wbc.pipeline.locate.make_detector", lambda *_args, **_kw: TwelveCells()
    )


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "slide"
    path.mkdir()
    rng = np.random.default_rng(0)
    for name in ("f1.png", "f2.png"):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path / name)
    return path


@pytest.fixture
def slide(folder):
    return open_slide(folder)


def located(slide):
    return CellTable(
        Cell.new(field.fov_id, Detection(box)) for field in slide.fields for box in BOXES
    )


def adapt_located(cells, out, weights, device, read=read_field):
    """Adaptation to cells that are located already, as that to a slide ends with it."""
    preset = load_classifier(weights, device=device).preset
    out.mkdir(exist_ok=True)
    return adapt._learn_steps(cells, preset, read, out, weights, name="adapted", device=device)


def test_no_path_is_refused(weights, tmp_path):
    with pytest.raises(WbcError, match="No image given"):
        run(adapt_steps([], tmp_path, weights=weights))


@pytest.mark.parametrize("cells", [(), (Cell.new("slide/f1.png", Detection(BOXES[0])),)])
def test_too_few_cells_are_refused(cells, slide, weights, tmp_path):
    with pytest.raises(WbcError, match=f"at least 20 cells, and there are {len(cells)}"):
        run(
            adapt_located(
                [(slide, CellTable(cells))], tmp_path / "out", weights=weights, device="cpu"
            )
        )
    assert not any((tmp_path / "out").iterdir())


def test_fields_become_weights_that_classify(folder, weights, tmp_path):
    steps = adapt_steps([folder], tmp_path / "new", weights=weights, name="mine", device="cpu")
    adapted = run(steps)
    assert adapted == adapt.Adapted(tmp_path / "new" / "mine.safetensors", 24)
    card = read_card(adapted.weights)
    assert card.provenance["adapted"][0]["from"] == read_card(weights).model_id
    image = read_image(folder / "f1.png")
    assert len(load_classifier(adapted.weights, device="cpu").classify(image, BOXES)) == 12


def test_unreadable_files_are_left_out_and_told(folder, weights, tmp_path):
    (folder / "f0.png").touch()
    told = []

    def noted():
        steps = adapt_steps([folder], tmp_path / "new", weights=weights, device="cpu")
        while True:
            try:
                told.append(next(steps))
            except StopIteration as end:
                return end.value

    adapted = noted()
    assert [failure.path.name for failure in adapted.failures] == ["f0.png"]
    assert adapted.cells == 24
    assert ["f0.png" in p.note for p in told if p.note] == [True]
    assert {p.step for p in told} >= {"slide", "cutting crops", "adapting"}


def test_a_field_that_is_gone_since_it_was_located_is_told(folder, slide, weights, tmp_path):
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(folder / "f3.png")
    slide = open_slide(folder)
    table = located(slide)
    (folder / "f3.png").unlink()
    adapted = run(adapt_located([(slide, table)], tmp_path, weights=weights, device="cpu"))
    assert [failure.path.name for failure in adapted.failures] == ["f3.png"]
    assert adapted.cells == 24


def test_what_people_called_the_cells_changes_nothing(slide, weights, tmp_path):
    table = located(slide)
    said = CellTable(cell.annotated(Annotation("basophil", "me")) for cell in table.values())
    parts = [
        run(adapt_located([(slide, one)], tmp_path / name, weights=weights, device="cpu")).weights
        for name, one in (("none", table), ("labelled", said))
    ]
    assert parts[0].read_bytes() == parts[1].read_bytes()


def test_nothing_is_learnt_of_candidates(slide, weights, tmp_path):
    table = located(slide)
    first, *_others = table.values()
    doubtful = replace(first, detection=replace(first.detection, candidate=True))
    steps = adapt_located(
        [(slide, table.with_cells([doubtful]))], tmp_path, weights=weights, device="cpu"
    )
    assert run(steps).cells == len(table) - 1


def test_of_very_many_cells_some_are_taken_evenly(slide, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(adapt, "MAX_CELLS", 21)
    read = []

    def seen(field):
        read.append(field.fov_id)
        return read_image(field.path)

    steps = adapt_located(
        [(slide, located(slide))], tmp_path, weights=weights, device="cpu", read=seen
    )
    assert run(steps).cells == 21
    assert read == ["slide/f1.png", "slide/f2.png"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "abacus"}, "choose auto, cpu or cuda"),
        ({"weights": "none"}, "No weights 'none'"),
        ({"name": "a/b"}, "cannot name weights"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_located(
    options, said, folder, weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(TwelveCells, "detect", lambda *_: pytest.fail("located"))
    with pytest.raises(WbcError, match=said):
        run(adapt_steps([folder], tmp_path, **{"weights": weights, "device": "cpu", **options}))


def test_the_weights_to_start_from_are_never_overwritten(folder, weights):
    before = weights.read_bytes()
    with pytest.raises(WbcError, match="the weights to start from"):
        run(adapt_steps([folder], weights.parent, weights=weights, name=weights.stem, device="cpu"))
    assert weights.read_bytes() == before


@pytest.mark.parametrize("step", ["slide", "cutting crops", "adapting"])
def test_cancelling_leaves_no_file(step, folder, weights, tmp_path):
    steps = adapt_steps([folder], tmp_path / "new", weights=weights, device="cpu")
    assert any(progress.step == step for progress in steps)
    steps.close()
    assert not any((tmp_path / "new").iterdir())


def test_a_slide_with_cells_is_not_analyzed_again(slide, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(TwelveCells, "detect", lambda *_: pytest.fail("located"))
    found, adapted = run(adapt_slide_steps(slide, located(slide), tmp_path, weights=weights))
    assert found is None
    assert adapted.cells == 24


def test_a_slide_without_cells_is_analyzed_first(slide, weights, tmp_path):
    found, adapted = run(adapt_slide_steps(slide, CellTable(), tmp_path, weights=weights))
    assert len(found.table) == adapted.cells == 24
    assert {cell.prediction.model_id for cell in found.table.values()} == {
        read_card(weights).model_id
    }


def test_a_slide_is_counted_by_the_classes_of_the_project(slide, weights, tmp_path):
    found, _ = run(
        adapt_slide_steps(slide, CellTable(), tmp_path, weights=weights, taxonomy=FIVE_CLASSES)
    )
    assert found.taxonomy is FIVE_CLASSES


def test_a_model_none_of_whose_classes_counts_is_told_before_anything_is_located(
    slide, weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(TwelveCells, "detect", lambda *_: pytest.fail("located"))
    ours = taxonomy_of_names("marrow", ["blast"])
    for table in (CellTable(), located(slide)):
        with pytest.raises(WbcError, match="No class of the model"):
            run(adapt_slide_steps(slide, table, tmp_path / "new", weights=weights, taxonomy=ours))
    assert not list((tmp_path / "new").iterdir())


def test_weights_that_are_sure_of_a_slide_leave_its_analysis(
    slide, folder, weights, tmp_path, monkeypatch
):
    plan = partial(Adaptation, epochs=1, draws=32, batch_size=16, enough=0.01)
    monkeypatch.setattr("napari_wbc.train.adapt.Adaptation", plan)
    found, why = run(adapt_slide_steps(slide, CellTable(), tmp_path / "a", weights=weights))
    assert len(found.table) == 24
    assert "sure of these cells already" in str(why)
    with pytest.raises(AlreadySure):
        run(adapt_steps([folder], tmp_path / "a", weights=weights, device="cpu"))
    assert not list((tmp_path / "a").iterdir())
    assert (
        run(adapt_steps([folder], tmp_path / "b", weights=weights, anyway=True, device="cpu")).cells
        == 24
    )


@pytest.mark.parametrize("slide_name", ["", "..", "a/b\\c", "slide: 3*?", "é" * 300])
def test_any_slide_gives_a_file_name(slide_name, tmp_path):
    name = adapted_name(slide_name, datetime(2026, 11, 24, 9, 5, 7))
    Adaptation(name=name)
    assert name.endswith("_2026-11-24_090507")
    assert not set(name) & set('/\\:*?"<>| ')
    (tmp_path / f"{name}.safetensors").touch()
