"""A slide moves to another split with all its images, unless a model was trained on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from tests.pipeline.projects import (
    export,
    labels_in,
    make_project,
    relabel,
    sides_in,
)

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import UNIDENTIFIED
from napari_wbc.pipeline.import_set import import_set_steps
from napari_wbc.pipeline.move_slide import move_slide_steps
from napari_wbc.storage.formats.manifest import read_manifest
from napari_wbc.storage.formats.registry import FORMATS
from napari_wbc.storage.sets import read_set
from napari_wbc.weights.library import Library
from napari_wbc.weights.store import load_weights, save_weights


def move(folder, slide, split, models):
    return run(move_slide_steps(folder, slide, split, models=models))


@pytest.fixture
def models(tmp_path):
    return Library(tmp_path / "models")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_slide_moves_with_all_of_its_images_and_stays_there(kind, project, tmp_path, models):
    other = make_project(tmp_path, "other", {"5.png": ["monocyte"]}, seed=7)
    export([project, other], tmp_path / "set", written_as=kind, split="test")
    before = read_set(tmp_path / "set")
    done = move(tmp_path / "set", "slide", "train", models)
    assert done.folder.name == "round-2"
    assert sides_in(tmp_path / "set") == {"slide": "train", "other": "test"}
    assert set(read_set(tmp_path / "set" / "round-1").fields) == set(before.fields), (
        "no round changes"
    )
    after = read_set(tmp_path / "set")
    assert {c.cell_id: (c.label, f.slide) for f in after.fields for c in f.cells} == {
        c.cell_id: (c.label, f.slide) for f in before.fields for c in f.cells
    }
    assert {(f.slide, f.split) for f in after.fields} == {("slide", "train"), ("other", "test")}
    assert all(f.path.is_file() and f.path.is_relative_to(done.folder) for f in after.fields)
    assert done.cells == Counter((f.split, c.label) for f in after.fields for c in f.cells)
    relabel(project, "slide-1.png-0", "eosinophil")
    again = export([project, other], tmp_path / "set", written_as=kind)
    assert again.cells["train", "eosinophil"] == 1
    assert sides_in(tmp_path / "set") == {"slide": "train", "other": "test"}


def test_images_that_a_moved_slide_had_or_will_have_move_along(project, tmp_path, models):
    export(project, tmp_path / "set", split="test")
    relabel(project, "slide-2.png-0", UNIDENTIFIED)
    export(project, tmp_path / "set")
    move(tmp_path / "set", "slide", "val", models)
    relabel(project, "slide-2.png-0", "basophil")
    relabel(project, "slide-4.png-0", "monocyte")
    assert {split for split, _ in export(project, tmp_path / "set").cells} == {"val"}


def test_a_slide_that_came_for_testing_stays_where_a_person_moved_it(project, tmp_path, models):
    done = export(project, tmp_path / "theirs", split="test")
    run(import_set_steps(done.folder, tmp_path / "new.wbc"))
    export(tmp_path / "new.wbc", tmp_path / "set")
    assert sides_in(tmp_path / "set") == {"slide": "test"}
    move(tmp_path / "set", "slide", "train", models)
    assert {split for split, _ in export(tmp_path / "new.wbc", tmp_path / "set").cells} == {"train"}


@pytest.mark.parametrize("image_is_there", [True, False])
def test_a_slide_that_a_model_was_trained_on_does_not_move(
    image_is_there, project, tmp_path, models, weights
):
    done = export(project, tmp_path / "set")
    image = next(f.sha256 for f in read_manifest(done.folder).fields if f.fov_id == "slide/2.png")
    tensors, card = load_weights(weights)
    models.folder.mkdir()
    card = replace(card, name="mine", provenance={"training_images": [image]})
    save_weights(models.folder / "mine.safetensors", tensors, card)
    if not image_is_there:
        relabel(project, "slide-2.png-0", UNIDENTIFIED)
        export(project, tmp_path / "set")
    number = len(list((tmp_path / "set").glob("round-*")))
    with pytest.raises(WbcError, match="slide stays where it is, since mine was trained on it"):
        move(tmp_path / "set", "slide", "test", models)
    assert len(list((tmp_path / "set").glob("round-*"))) == number
    move(tmp_path / "set", "slide", "test", Library(tmp_path / "others"))


@pytest.mark.parametrize(
    ("slide", "split", "told"),
    [
        ("slide", "all", "No split 'all'; choose train, val, test"),
        ("nine", "test", "no slide 'nine' in this set; it has: slide"),
        ("slide", "train", "slide is in train already"),
    ],
)
def test_a_move_to_nowhere_is_refused_and_writes_nothing(
    slide, split, told, project, tmp_path, models
):
    done = export(project, tmp_path / "set")
    with pytest.raises(WbcError, match=told):
        move(tmp_path / "set", slide, split, models)
    assert [one.name for one in (tmp_path / "set").glob("round-*")] == [done.folder.name]
    with pytest.raises(WbcError, match="no training set that napari-wbc wrote"):
        move(tmp_path / "nowhere", slide, "test", models)


def test_what_another_program_changed_is_kept_by_a_move(project, tmp_path, models):
    done = export(project, tmp_path / "set", written_as="voc")
    for file in (done.folder / "Annotations").iterdir():
        file.write_text(file.read_text().replace(">basophil<", ">hairy cell<"))
    move(tmp_path / "set", "slide", "test", models)
    assert labels_in(tmp_path / "set")["hairy cell"] == 1
