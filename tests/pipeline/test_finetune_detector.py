"""Going on from a detector's weights: which fields teach it, and what is background."""

from __future__ import annotations

import pytest
from tests.pipeline.test_finetune import as_set, cell_set

from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, load_mask_rcnn
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.pipeline.finetune_detector import _labelling_steps, finetune_detector_steps
from napari_wbc.pipeline.held_out import with_val
from napari_wbc.weights.card import training_images
from napari_wbc.weights.store import read_card


def test_a_detector_learns_no_image_that_another_set_holds_for_testing(monkeypatch, tmp_path):
    learnt = []

    def read_fields(cells, *_plan):
        learnt.extend(cells)
        yield from ()

    monkeypatch.setattr("napari_wbc.pipeline.finetune_detector.read_fields", read_fields)
    monkeypatch.setattr(
        "napari_wbc.pipeline.finetune_detector.train_detector", lambda *_a, **_k: iter(())
    )
    one = cell_set(tmp_path / "one", ["neutrophil", "monocyte"])
    two = cell_set(tmp_path / "two", ["neutrophil"], splits=("test",))
    run(finetune_detector_steps([one], tmp_path / "out", old=[two], device="cpu"))
    assert {cell.label for cell in learnt} == {"monocyte"}


def test_few_fields_leave_one_whole_to_choose_by(tmp_path, monkeypatch, detector_weights):
    cells = [
        LabelledCell(
            tmp_path / f"{i}.png", "monocyte", "train", "lab", BBox(0, 9 * k, 9, 9 * k + 9)
        )
        for i in range(3)
        for k in range(4)
    ]
    sides = [
        {c.split for c in with_val(cells, by_image=True) if c.path.name == f"{i}.png"}
        for i in range(3)
    ]
    assert sorted(map(sorted, sides)) == [["train"], ["train"], ["val"]]
    one = cell_set(tmp_path / "one", ["neutrophil"], n=1)
    with pytest.raises(WbcError, match="review two or more"):
        run(finetune_detector_steps([one], tmp_path / "out", start=detector_weights, device="cpu"))
    assert not (tmp_path / "out").exists()


def test_sets_without_red_cells_teach_a_detector_of_red_cells_nothing(tmp_path):
    whole = [LabelledCell(tmp_path / "a.png", label, "train", "lab") for label in BLOOD_CLASSES]
    other = LabelledCell(tmp_path / "b.png", "monocyte", "train", "other")
    cells = [*whole, other]
    notes = [step.note for step in _labelling_steps(cells, BLOOD_CLASSES, "blood")]
    assert notes == ["Left out, without labels of red cell and platelet: other."]
    assert run(_labelling_steps(cells, BLOOD_CLASSES, "blood")) == whole


def test_a_detector_of_red_cells_is_not_made_to_unlearn_them(tmp_path):
    one = cell_set(tmp_path / "one", ["neutrophil", "monocyte"])
    with pytest.raises(WbcError, match="red cell and platelet too, of which these sets label none"):
        run(finetune_detector_steps([one], tmp_path / "out", start="blood_cells", device="cpu"))


@pytest.fixture
def taught(monkeypatch):
    """The cells that a detector would be trained with, and what the card would be told."""
    cells, told = [], {}

    def read_fields(some, *_plan):
        cells.extend(some)
        yield from ()

    def train_detector(*_data, **more):
        told.update(more["provenance"])
        yield from ()

    monkeypatch.setattr("napari_wbc.pipeline.finetune_detector.read_fields", read_fields)
    monkeypatch.setattr("napari_wbc.pipeline.finetune_detector.train_detector", train_detector)
    return cells, told


def detected(paths, out, **more):
    """What fine-tuning a detector tells on its way."""
    steps = finetune_detector_steps(paths, out, device="cpu", **more)
    return [step.note for step in steps if step.note]


def test_a_detector_takes_a_class_of_ones_own_for_leukocytes_and_only_whole_fields(
    taught, tmp_path
):
    mine = as_set(tmp_path / "mine", [["monocyte"] * 6, ["hairy cell"] * 6, ["basophil", None]])
    notes = detected([mine], tmp_path / "out", old=[mine])
    cells, told = taught
    assert [cell.label for cell in cells] == ["monocyte"] * 6 + ["leukocyte"] * 6, "and none twice"
    assert "Taken for leukocytes: hairy cell (6)." in notes
    assert "Left out, with cells that nobody reviewed: 1 field." in notes
    learnt = {sha256_of(cell.path) for cell in cells}
    assert set(told["training_images"]) == learnt, "so that no slide of theirs is tested on later"


def test_what_is_no_leukocyte_is_background_to_a_detector(taught, tmp_path):
    labels = [
        "Artefacts",
        "smudge cell",
        "Debris",
        "giant platelet",
        "RBC",
        "NRBC",
        "WBC",
        "neutrophil",
    ]
    mine = as_set(tmp_path / "mine", [labels, ["monocyte"] * 4, ["artefact"]])
    notes = detected([mine], tmp_path / "out")
    by_image = {
        name: [c.label for c in taught[0] if c.path.name.endswith(name)]
        for name in ("0.png", "2.png")
    }
    assert by_image["0.png"] == [
        "",
        "",
        "",
        "platelet",
        "red cell",
        "erythroblast",
        "leukocyte",
        "neutrophil",
    ]
    assert by_image["2.png"] == [""], "a field that shows none teaches too"
    assert {c.split for c in taught[0] if c.path.name.endswith("2.png")} == {"train"}
    assert (
        "Left out, no leukocytes: Artefacts (1), smudge cell (1), Debris (1), artefact (1)."
        in notes
    )
    assert "Taken for leukocytes: WBC (1)." in notes


def test_a_class_that_its_set_has_beside_the_leukocytes_is_none(taught, tmp_path):
    made = {"places": {"ghost of a cell": "per 100 WBC", "erythroblast": "per 100 WBC"}}
    labels = ["ghost of a cell", "erythroblast", "neutrophil"]
    detected([as_set(tmp_path / "mine", [labels * 3, ["monocyte"] * 4], made)], tmp_path / "out")
    assert [cell.label for cell in taught[0]][:3] == ["", "erythroblast", "neutrophil"]
    taught[0].clear()
    detected([as_set(tmp_path / "other", [labels * 3, ["monocyte"] * 4])], tmp_path / "out")
    assert taught[0][0].label == "leukocyte", "where nothing is told it may be one"


def test_fields_of_artefacts_alone_teach_no_detector(taught, tmp_path):
    mine = as_set(tmp_path / "mine", [["artefact"] * 6, ["debris"] * 6])
    with pytest.raises(WbcError, match="review two or more"):
        detected([mine], tmp_path / "out")


def test_a_detector_goes_on_from_its_weights(field_manifest, tmp_path, detector_weights):
    trained = run(
        finetune_detector_steps(
            [field_manifest],
            tmp_path,
            start=detector_weights,
            device="cpu",
            epochs=1,
            batch_size=2,
            draws=2,
            canvas=64,
        )
    )
    assert trained.card.name == "tiny_detector-tuned"
    assert trained.card.provenance["parent"]["sha256"] == read_card(detector_weights).sha256
    images = {sha256_of(file) for file in field_manifest.parent.glob("*.png")}
    assert training_images(trained.card) == images
    load_mask_rcnn(trained.weights, device="cpu")
