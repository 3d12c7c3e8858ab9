"""Reviewed projects as training sets, and training sets as projects."""

from __future__ import annotations

import shutil
import zipfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_wbc.classify.preset import Preset
from napari_wbc.cli.app import app
from napari_wbc.detect.hsv import one_cell_box
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, FIVE_CLASSES, NOT_CLASSED, UNIDENTIFIED
from napari_wbc.model.training_set import split_of
from napari_wbc.pipeline.import_set import import_set_steps, look_steps, suggested_class
from napari_wbc.pipeline.project import project_analysis
from napari_wbc.pipeline.training_sets import (
    SetSummary,
    export_set_steps,
    move_slide_steps,
    ready_to_learn,
    set_summary,
)
from napari_wbc.session.session import Session
from napari_wbc.storage.formats.manifest import read_manifest
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.storage.sets import FORMATS, read_set
from napari_wbc.storage.workspace import Workspace, create_workspace, open_workspace
from napari_wbc.storage.workspace.images import check_images_steps
from napari_wbc.weights.library import Library
from napari_wbc.weights.store import load_weights, save_weights

SAID = Prediction(EIGHT_CLASSES.names, (0.3, *[0.1] * 7), 0.0, "tiny 1 (0)")
LABELS = {
    "1.png": ["neutrophil", "monocyte", NOT_CLASSED],
    "2.png": ["basophil", None],
    "3.png": [UNIDENTIFIED, "lymphocyte"],
    "4.png": [None],
}


def make_project(folder, name="slide", labels=LABELS, seed=0, copies=None):
    """A project of one slide; cells with their label, or with none where nobody reviewed them."""
    place = folder / name
    place.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for file in labels:
        Image.fromarray(rng.integers(0, 255, (60, 90, 3), np.uint8)).save(place / file)
    for file, source in (copies or {}).items():
        shutil.copy(source, place / file)
    slide = open_slide(place)
    workspace, session = create_workspace(folder / f"{name}.wbc", EIGHT_CLASSES), Session()
    session.open(slide, workspace)
    cells = [
        Cell(
            f"{name}-{file}-{i}",
            f"{name}/{file}",
            Detection(BBox(5, 25 * i, 15.5, 25 * i + 12)),
            SAID,
            Annotation(label, "ann") if label else None,
        )
        for file, some in labels.items()
        for i, label in enumerate(some)
    ]
    session.commit(session.table.with_cells(cells), "draw")
    session.close()
    run(check_images_steps(workspace, slide))
    workspace.close()
    return folder / f"{name}.wbc"


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


def export(projects, out, **options):
    return run(
        export_set_steps([projects] if not isinstance(projects, list) else projects, out, **options)
    )


def labels_in(folder):
    return Counter(c.label for f in read_set(folder).fields for c in f.cells)


def relabel(project, cell_id, label):
    workspace, session = open_workspace(project), Session()
    session.open(workspace.slides()[0], workspace)
    session.commit(
        session.table.with_cells([session.table[cell_id].annotated(Annotation(label))]), "label"
    )
    session.close()
    workspace.close()


def test_a_project_that_nobody_reviewed_gives_no_set(tmp_path):
    empty = make_project(tmp_path, labels={"1.png": [None, None]})
    with pytest.raises(WbcError, match="No reviewed cell"):
        export(empty, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_reviewed_cells_with_a_class_go_into_the_set(project, tmp_path):
    done = export(project, tmp_path / "set")
    assert labels_in(tmp_path / "set") == Counter(
        neutrophil=1, monocyte=1, basophil=1, lymphocyte=1
    )
    assert sum(done.cells.values()) == done.added == 4
    assert (done.relabelled, done.removed, done.failures) == (0, 0, ())
    assert "1 cell labelled unidentified" in done.left_out
    assert "2 cells that nobody reviewed" in done.left_out


def test_a_field_is_complete_where_every_cell_was_given_a_class_or_put_aside(project, tmp_path):
    done = export(project, tmp_path / "set")
    fields = {f.fov_id: f.complete for f in read_manifest(done.folder).fields}
    assert fields == {"slide/1.png": True, "slide/2.png": False, "slide/3.png": False}


def test_the_models_labels_come_too_where_they_are_asked_for(project, tmp_path):
    export(project, tmp_path / "set", reviewed=False)
    assert sum(labels_in(tmp_path / "set").values()) == 6


def test_the_manifest_tells_who_said_what_of_which_image(project, tmp_path):
    manifest = read_manifest(export(project, tmp_path / "set").folder)
    assert manifest.made["projects"] == ["slide.wbc"]
    assert manifest.made["program"].startswith("napari-wbc")
    cell = next(c for f in manifest.fields for c in f.cells if c.label == "basophil")
    assert (cell.annotation.annotator, cell.prediction) == ("ann", SAID)
    assert all(len(f.sha256) == 64 for f in manifest.fields)


def named(split, start=0):
    """A slide whose name puts it there."""
    return next(f"s{i}" for i in range(start, 999) if split_of(f"s{i}") == split)


def sides_in(folder):
    return {one.name: one.split for one in set_summary(folder).slides}


@pytest.mark.parametrize("side", ["val", "test"])
def test_the_first_slide_is_there_to_learn_from_whatever_its_name_and_stays(side, tmp_path):
    first = make_project(tmp_path, named(side), {"1.png": ["monocyte"]})
    assert set(export(first, tmp_path / "set").cells) == {("train", "monocyte")}
    second = make_project(
        tmp_path, named(side, int(first.stem[1:]) + 1), {"2.png": ["basophil"]}, seed=5
    )
    export([second, first], tmp_path / "set")
    export(second, tmp_path / "set", split="test")
    assert sides_in(tmp_path / "set") == {first.stem: "train", second.stem: side}
    assert set(export(first, tmp_path / "asked", split=side).cells) == {(side, "monocyte")}


def test_of_several_first_slides_all_keep_the_side_of_their_name_where_one_is_learnt(tmp_path):
    names = [named("test"), named("val"), named("train")]
    some = [
        make_project(tmp_path, name, {"1.png": ["monocyte"]}, i) for i, name in enumerate(names)
    ]
    export(some, tmp_path / "three")
    assert sides_in(tmp_path / "three") == dict(zip(names, ("test", "val", "train"), strict=True))
    export(some[:2], tmp_path / "two")
    assert sides_in(tmp_path / "two") == {names[0]: "train", names[1]: "val"}


def test_a_slide_without_labelled_cells_is_none_of_a_set(tmp_path):
    """It would take the place of the one to learn from, and of its own later."""
    empty = make_project(tmp_path, named("train"), {"1.png": [None]})
    other = make_project(tmp_path, named("test"), {"1.png": ["monocyte"]}, seed=3)
    done = export([empty, other], tmp_path / "set")
    assert set(done.cells) == {("train", "monocyte")}
    assert set(read_manifest(done.folder).made["slides"]) == {other.stem}


def test_a_set_that_was_all_held_out_before_learns_from_the_next_slide(tmp_path):
    export(make_project(tmp_path, "old", {"1.png": ["monocyte"]}), tmp_path / "set", split="test")
    fresh = make_project(tmp_path, named("val"), {"1.png": ["basophil"]}, seed=3)
    export(fresh, tmp_path / "set")
    assert sides_in(tmp_path / "set") == {"old": "test", fresh.stem: "train"}


def test_the_side_of_a_slide_stays_whatever_is_asked_later(project, tmp_path):
    export(project, tmp_path / "set", split="val")
    again = export(project, tmp_path / "set", split="test")
    assert {split for split, _ in again.cells} == {"val"}
    fresh = export(project, tmp_path / "fresh", split="test")
    assert {split for split, _ in fresh.cells} == {"test"}


def test_a_second_round_tells_what_changed_and_keeps_what_other_projects_gave(project, tmp_path):
    export(project, tmp_path / "set")
    second = make_project(tmp_path, "two", {"1.png": ["eosinophil"]}, seed=9)
    done = export(second, tmp_path / "set")
    assert (done.added, done.relabelled, done.removed) == (1, 0, 0)
    assert done.folder.name == "round-2"
    relabel(project, "slide-1.png-0", "eosinophil")
    relabel(project, "slide-1.png-1", NOT_CLASSED)
    done = export(project, tmp_path / "set")
    assert (done.added, done.relabelled, done.removed) == (0, 1, 1)
    assert labels_in(tmp_path / "set") == Counter(eosinophil=2, basophil=1, lymphocyte=1)
    assert labels_in(tmp_path / "set" / "round-1")["neutrophil"] == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_a_second_round_of_every_format_keeps_what_other_projects_gave(kind, project, tmp_path):
    export(project, tmp_path / "set", written_as=kind)
    second = make_project(tmp_path, "two", {"1.png": ["eosinophil"]}, seed=9)
    first = read_manifest(tmp_path / "set" / "round-1")
    done = export(second, tmp_path / "set", written_as=kind)
    assert (done.added, done.removed) == (1, 0)
    assert labels_in(tmp_path / "set") == labels_in(tmp_path / "set" / "round-1") + Counter(
        eosinophil=1
    )
    found = read_manifest(done.folder)
    for place, sha256 in first.files.items():
        if place.endswith(".png"):
            assert found.files[place] == sha256


def test_what_another_tool_changed_in_the_round_before_stays(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="voc", split="train")
    for file in (done.folder / "Annotations").iterdir():
        file.write_text(file.read_text().replace(">basophil<", ">eosinophil<"))
    second = make_project(tmp_path, "two", {"1.png": ["monocyte"]}, seed=9)
    again = export(second, tmp_path / "set", split="train")
    assert labels_in(again.folder)["eosinophil"] == 1
    assert {f.slide for f in read_manifest(again.folder).fields} == {"slide", "two"}


def test_an_image_that_was_changed_in_the_round_before_is_not_linked_to(project, tmp_path):
    first = export(project, tmp_path / "set")
    image = next(first.folder.rglob("*1.png"))
    image.chmod(0o600)
    Image.fromarray(np.zeros((60, 90, 3), np.uint8)).save(image)
    again = export(project, tmp_path / "set")
    fields = {f.path.name: f for f in read_manifest(again.folder).fields}
    assert sha256_of(fields[image.name].path) == fields[image.name].sha256
    shutil.rmtree(again.folder)
    second = make_project(tmp_path, "two", {"1.png": ["monocyte"]}, seed=9)
    with pytest.raises(WbcError, match="not the image that was labelled"):
        export(second, tmp_path / "set")  # which has no other copy of it


def test_labels_that_were_taken_back_leave_the_set_with_their_field(project, tmp_path):
    export(project, tmp_path / "set")
    relabel(project, "slide-2.png-0", UNIDENTIFIED)
    done = export(project, tmp_path / "set")
    assert done.removed == 1
    assert labels_in(tmp_path / "set") == Counter(neutrophil=1, monocyte=1, lymphocyte=1)


def test_what_only_a_model_said_is_not_a_persons_label_after_an_import(project, tmp_path):
    export(project, tmp_path / "set", reviewed=False)
    run(import_set_steps(tmp_path / "set", tmp_path / "new.wbc"))
    table = project_analysis(tmp_path / "new.wbc").slides[0].table
    assert table["slide-4.png-0"].annotation is None
    assert table["slide-1.png-0"].annotation is not None


def test_fields_of_one_name_in_two_slides_stay_apart(tmp_path):
    """Letters of another case are the same name for some systems."""
    both = [
        make_project(tmp_path, name, {"A.png": ["basophil"], "a.png": ["monocyte"]}, i)
        for i, name in enumerate("xy")
    ]
    export(both, tmp_path / "set", written_as="yolo")
    assert labels_in(tmp_path / "set") == Counter(basophil=2, monocyte=2)


def test_the_same_image_in_two_projects_is_in_the_set_once(project, tmp_path):
    shutil.copytree(tmp_path / "slide", tmp_path / "elsewhere" / "slide")
    copy = make_project(tmp_path / "else", "again", {"1.png": ["basophil"]})
    shutil.copy(tmp_path / "slide" / "1.png", tmp_path / "else" / "again" / "1.png")
    workspace = open_workspace(copy)
    sha = workspace.image_facts("again")["again/1.png"][2]
    workspace.close()
    done = export([project, copy], tmp_path / "set")
    assert [f.slide for f in read_manifest(done.folder).fields].count("again") == 1
    assert len({f.sha256 for f in read_manifest(done.folder).fields}) == 3
    assert sha
    assert any("comes again" in line for line in done.left_out)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"slides": ["slide", "nine"]}, "No slide nine in these projects; they have: slide"),
        ({"reading": "bea"}, "No reading bea in these projects; they have: none"),
    ],
)
def test_a_slide_or_reading_that_is_none_is_named(options, said, project, tmp_path):
    with pytest.raises(WbcError, match=said):
        export(project, tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()


def test_an_image_that_is_not_the_reviewed_one_is_left_out_and_told(project, tmp_path):
    Image.fromarray(np.zeros((60, 90, 3), np.uint8)).save(tmp_path / "slide" / "1.png")
    (tmp_path / "slide" / "2.png").unlink()
    done = export(project, tmp_path / "set")
    assert sorted(f.path.name for f in done.failures) == ["1.png", "2.png"]
    assert labels_in(tmp_path / "set") == Counter(lymphocyte=1)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_goes_out_and_trains(kind, project, tmp_path):
    export(project, tmp_path / "set", written_as=kind, split="train")
    cells = read_training_set(tmp_path / "set")
    assert Counter(c.label for c in cells) == Counter(
        neutrophil=1, monocyte=1, basophil=1, lymphocyte=1
    )
    assert {(c.source, c.split, c.slide) for c in cells} == {("set", "train", "slide")}
    assert all(c.path.is_file() and c.box is not None for c in cells)


@pytest.mark.parametrize("kind", [k for k in FORMATS if k != "image-folder"])
def test_a_set_becomes_a_project_again(kind, project, tmp_path):
    export(project, tmp_path / "set", written_as=kind)
    done = run(import_set_steps(tmp_path / "set", tmp_path / "new.wbc"))
    assert (done.cells, done.slides, done.left_out) == (4, ("slide",), 0)
    table = project_analysis(tmp_path / "new.wbc").slides[0].table
    old = project_analysis(project).slides[0].table
    for cell in table.values():
        assert cell.annotation.label == old[cell.cell_id].label
        assert cell.detection.bbox.iou(old[cell.cell_id].detection.bbox) > 0.999


def test_a_zip_leaves_its_images_beside_the_project(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="coco")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        for file in done.folder.rglob("*"):
            packed.write(file, f"mine/{file.relative_to(done.folder)}")
    run(import_set_steps(tmp_path / "set.zip", tmp_path / "new.wbc"))
    fields = [f for s in project_analysis(tmp_path / "new.wbc").slides for f in s.slide.fields]
    assert len(fields) == 3
    assert all(f.path.is_file() and f.path.parent.name == "new-images" for f in fields)


def test_a_zip_without_a_folder_has_the_name_of_the_zip(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="coco")
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as packed:
        for file in done.folder.rglob("*"):
            if file.name != "manifest.json":
                packed.write(file, file.relative_to(done.folder))
    assert run(look_steps(tmp_path / "theirs.zip")).content.name == "theirs"


@pytest.mark.parametrize("side", ["train", "val", "test"])
def test_an_import_keeps_the_split_through_the_next_export(side, project, tmp_path):
    done = export(project, tmp_path / "set", split=side)
    run(import_set_steps(done.folder, tmp_path / "new.wbc"))
    for options in ({}, {"split": "train"}):
        again = export(tmp_path / "new.wbc", tmp_path / f"again-{len(options)}", **options)
        assert {split for split, _ in again.cells} == {side}


def test_splits_of_images_without_slides_become_slides(tmp_path):
    for side, color in (("train", 40), ("test", 90)):
        place = tmp_path / "theirs" / side / "monocyte"
        place.mkdir(parents=True)
        Image.new("RGB", (30, 30), (color, 0, 0)).save(place / "a.png")
    done = run(import_set_steps(tmp_path / "theirs", tmp_path / "new.wbc"))
    assert done.slides == ("theirs (test)", "theirs (train)")
    again = export(tmp_path / "new.wbc", tmp_path / "set")
    assert again.cells == {("train", "monocyte"): 1, ("test", "monocyte"): 1}


@pytest.mark.parametrize("side", ["val", "test"])
def test_a_set_that_is_all_held_out_stays_so(side, tmp_path):
    for i in range(4):
        place = tmp_path / f"theirs-{i}" / side / "monocyte"
        place.mkdir(parents=True)
        Image.new("RGB", (30, 30), (40 * i, 0, 0)).save(place / "a.png")
        run(import_set_steps(tmp_path / f"theirs-{i}", tmp_path / "new.wbc"))
    again = export(tmp_path / "new.wbc", tmp_path / "set")
    assert again.cells == {(side, "monocyte"): 4}, (
        "files of one name in several sets are several fields"
    )


def test_an_image_that_keeps_its_side_does_not_take_its_slide_along(project, tmp_path):
    export(project, tmp_path / "set", split="train")
    for labels in (LABELS, LABELS | {"5.png": ["monocyte"]}):
        shutil.rmtree(tmp_path / "else", ignore_errors=True)
        same = {"1.png": tmp_path / "slide" / "1.png"}
        other = make_project(tmp_path / "else", "again", labels, seed=4, copies=same)
        done = export(other, tmp_path / "set", split="test")
        sides = {f.fov_id: f.split for f in read_manifest(done.folder).fields if f.slide == "again"}
        assert sides.pop("again/1.png") == "train"
        assert set(sides.values()) == {"test"}
    told = run(import_set_steps(done.folder, other))
    assert told.slides == ("again", "slide"), "what is there already stays in its slide"


def test_a_slide_and_an_image_that_are_out_of_the_set_for_a_round_keep_their_side(
    project, tmp_path
):
    other = make_project(tmp_path, "other", {"5.png": ["monocyte"]}, seed=7)
    export([project, other], tmp_path / "set", split="test")
    relabel(other, "other-5.png-0", UNIDENTIFIED)
    assert export([project, other], tmp_path / "set").cells["test", "monocyte"] == 1
    relabel(other, "other-5.png-0", "monocyte")
    again = export([project, other], tmp_path / "set", split="train")
    assert again.cells == export([project, other], tmp_path / "fresh", split="test").cells
    relabel(other, "other-5.png-0", UNIDENTIFIED)
    export([project, other], tmp_path / "set")
    same = {"9.png": tmp_path / "other" / "5.png"}
    third = make_project(tmp_path, "third", {"9.png": ["basophil"]}, seed=8, copies=same)
    assert export(third, tmp_path / "set", split="train").cells["test", "basophil"] == 2


def test_a_test_set_over_train_images_makes_their_slide_one_for_testing(project, tmp_path):
    for side in ("train", "test"):
        done = export(project, tmp_path / side, split=side)
        run(import_set_steps(done.folder, tmp_path / "new.wbc"))
    assert {side for side, _ in export(tmp_path / "new.wbc", tmp_path / "set").cells} == {"test"}


def test_a_slide_named_test_stays_so_while_its_only_image_keeps_train(tmp_path):
    name = next(f"s{i}" for i in range(99) if split_of(f"s{i}") == "test")
    export(make_project(tmp_path, "one", {"1.png": ["monocyte"]}), tmp_path / "set", split="train")
    same = {"1.png": tmp_path / "one" / "1.png"}
    for n, labels in enumerate(
        ({"1.png": ["basophil"]}, {"1.png": ["basophil"], "2.png": ["eosinophil"]})
    ):
        second = make_project(tmp_path / str(n), name, labels, seed=3, copies=same)
        done = export(second, tmp_path / "set")
    assert done.cells["test", "eosinophil"] == 1
    assert done.cells["train", "basophil"] == 1


@pytest.mark.parametrize("turned", [False, True])
def test_the_split_that_came_with_a_slide_holds_in_whatever_order_projects_are_named(
    turned, tmp_path
):
    name = next(f"s{i}" for i in range(99) if split_of(f"s{i}") == "train")
    own = make_project(tmp_path, name, {"1.png": ["monocyte"]}, seed=1)
    theirs = make_project(tmp_path / "theirs", name, {"2.png": ["basophil"]}, seed=2)
    done = export(theirs, tmp_path / "theirs" / "set", split="test")
    run(import_set_steps(done.folder, tmp_path / "came.wbc"))
    projects = [tmp_path / "came.wbc", own]
    both = export(projects[::-1] if turned else projects, tmp_path / "set")
    assert both.cells["test", "basophil"] == 1
    assert both.cells["train", "basophil"] == 0


def test_two_sets_of_one_name_keep_what_each_is_for(tmp_path):
    for i, side in enumerate(("train", "val", "test")):
        place = tmp_path / side / "data" / side / "monocyte"
        place.mkdir(parents=True)
        Image.new("RGB", (30, 30), (40 * i, 0, 0)).save(place / f"{i}.png")
        run(import_set_steps(tmp_path / side / "data", tmp_path / "new.wbc"))
        done = export(tmp_path / "new.wbc", tmp_path / "set")
        assert done.cells[side, "monocyte"] == 1
    assert sum(done.cells.values()) == 3


def test_crops_of_one_field_stay_apart(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="image-folder", split=split_of("slide"))
    for target in (tmp_path / "new.wbc", project, project):
        run(import_set_steps(done.folder, target))
    (one,) = project_analysis(tmp_path / "new.wbc").slides
    assert len(one.table) == len(one.slide.fields) == 4
    (own,) = project_analysis(project).slides
    assert len(own.table) == sum(map(len, LABELS.values())) + 4, "none comes twice"
    both = export([project, tmp_path / "new.wbc"], tmp_path / "both")
    export(project, tmp_path / "both")
    ids = [c.cell_id for f in read_manifest(both.folder).fields for c in f.cells]
    assert len(set(ids)) == len(ids) == 8


def test_fields_and_cells_of_one_id_in_two_slides_are_all_imported(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="csv")
    (done.folder / "manifest.json").unlink()
    run(import_set_steps(done.folder, tmp_path / "new.wbc"))
    shutil.copytree(done.folder, tmp_path / "others" / "copies")
    for image in (tmp_path / "others" / "copies").rglob("*.png"):
        Image.open(image).convert("L").convert("RGB").save(image.with_stem(f"copy-{image.stem}"))
        image.unlink()
    for file in (tmp_path / "others" / "copies").rglob("*.csv"):
        file.write_text(
            file.read_text().replace("slide__", "copy-slide__").replace("slide/", "copy/")
        )
    run(import_set_steps(tmp_path / "others" / "copies", tmp_path / "new.wbc"))
    slides = project_analysis(tmp_path / "new.wbc").slides
    assert sum(len(s.table) for s in slides) == 8


def test_an_import_labels_the_cells_of_a_slide_at_once_and_can_be_stopped_at_every_image(
    tmp_path, monkeypatch
):
    """A table made anew for each of 16,000 images takes minutes."""
    for i in range(6):
        place = tmp_path / "theirs" / "train" / "monocyte"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 30), (40 * i, 0, 0)).save(place / f"{i}.png")
    made, with_cells = [], CellTable.with_cells
    monkeypatch.setattr(CellTable, "with_cells", lambda *a: made.append(1) or with_cells(*a))
    steps = import_set_steps(tmp_path / "theirs", tmp_path / "new.wbc")
    assert [step.step for step in steps].count("writing labels") == 6
    assert len(made) == 1
    assert len(project_analysis(tmp_path / "new.wbc").slides[0].table) == 6
    steps = import_set_steps(tmp_path / "theirs", tmp_path / "other.wbc")
    while next(steps).step != "writing labels":
        pass
    steps.close()
    assert not (tmp_path / "other.wbc").exists()


def test_a_cancelled_import_leaves_nothing(project, tmp_path):
    done = export(project, tmp_path / "set")
    shutil.make_archive(str(tmp_path / "packed"), "zip", done.folder)
    for kind in (GeneratorExit, KeyboardInterrupt):
        steps = import_set_steps(tmp_path / "packed.zip", tmp_path / "new.wbc")
        while next(steps).step != "copying images":
            pass
        with pytest.raises(kind):
            steps.throw(kind)
        assert not (tmp_path / "new.wbc").exists()
        assert not (tmp_path / "new-images").exists()


def test_a_field_is_partly_labelled_until_its_last_cell_is_labelled(project, tmp_path):
    done = export(project, tmp_path / "set")
    run(import_set_steps(done.folder, project))
    relabel(project, "slide-2.png-1", "monocyte")
    again = export(project, tmp_path / "set")
    whole = {f.fov_id: f.complete for f in read_manifest(again.folder).fields}
    assert whole["slide/2.png"]


def test_a_field_without_cells_in_the_project_is_partly_labelled_by_a_part(project, tmp_path):
    done = export(project, tmp_path / "set")
    workspace = open_workspace(project, read_only=True)
    (slide,) = workspace.slides()
    workspace.close()
    workspace = create_workspace(tmp_path / "empty.wbc", EIGHT_CLASSES)
    workspace.put_slide(slide)
    workspace.close()
    run(import_set_steps(done.folder, tmp_path / "empty.wbc", mapping={"neutrophil": ""}))
    again = export(tmp_path / "empty.wbc", tmp_path / "again")
    assert not {f.fov_id: f.complete for f in read_manifest(again.folder).fields}["slide/1.png"]


@pytest.mark.parametrize("there", [False, True])
def test_an_import_that_fails_midway_leaves_the_project_as_it_was(
    there, project, tmp_path, monkeypatch
):
    other = make_project(tmp_path, "other", {"5.png": ["monocyte"]}, seed=7)
    done = export([project, other], tmp_path / "set")
    shutil.make_archive(str(tmp_path / "packed"), "zip", done.folder)
    target = (
        make_project(tmp_path / "t", "target", {"7.png": ["basophil"]})
        if there
        else tmp_path / "new.wbc"
    )
    before = [(s.slide, s.table) for s in project_analysis(target).slides] if there else None
    write, times = Workspace.write, []

    def failing(self, *arguments):
        times.append(arguments)
        if len(times) > 1:
            raise WbcError("the disk is full")
        write(self, *arguments)

    monkeypatch.setattr(Workspace, "write", failing)
    with pytest.raises(WbcError, match="the disk is full"):
        run(import_set_steps(tmp_path / "packed.zip", target))
    assert len(times) == 2
    assert not target.with_name(f"{target.stem}-images").exists()
    if there:
        assert [(s.slide, s.table) for s in project_analysis(target).slides] == before
    else:
        assert not target.exists()


def test_red_cells_that_are_left_out_leave_a_field_whole(tmp_path):
    Image.new("RGB", (60, 40), (200, 0, 0)).save(tmp_path / "a.png")
    rows = ["image,label,top,left,bottom,right", "a.png,monocyte,2,2,20,20", "a.png,RBC,2,30,20,50"]
    (tmp_path / "cells.csv").write_text("\n".join(rows))
    run(import_set_steps(tmp_path / "cells.csv", tmp_path / "new.wbc", mapping={"RBC": ""}))
    done = export(tmp_path / "new.wbc", tmp_path / "set")
    assert [f.complete for f in read_manifest(done.folder).fields] == [True]


@pytest.mark.parametrize("kind", ["coco", "yolo", "geojson"])
def test_a_change_of_one_label_leaves_all_else_as_it_was_said(kind, project, tmp_path):
    done = export(project, tmp_path / "set", written_as=kind, reviewed=False)
    cells = {c.cell_id: c for f in read_manifest(done.folder).fields for c in f.cells}
    files = [
        f for f in done.folder.rglob("*") if f.suffix in (".json", ".txt", ".geojson", ".yaml")
    ]
    for file in (f for f in files if f.name != "manifest.json"):
        file.write_text(file.read_text() + "\n")
    found = {c.cell_id: c for f in read_set(tmp_path / "set").fields for c in f.cells}
    assert {k: (c.annotation, c.prediction) for k, c in found.items()} == {
        k: (c.annotation, c.prediction) for k, c in cells.items()
    }


def test_an_image_that_was_deleted_from_the_round_before_comes_from_the_project(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="coco")
    next(done.folder.rglob("*.png")).unlink()
    assert (
        len(list(export(project, tmp_path / "set", written_as="coco").folder.rglob("*.png"))) == 3
    )


def test_an_image_never_changes_its_side_whatever_slide_it_turns_up_in(project, tmp_path):
    same = {"1.png": tmp_path / "slide" / "1.png"}
    other = make_project(tmp_path / "else", "again", {"1.png": ["basophil"]}, seed=4, copies=same)
    export(project, tmp_path / "set", split="test")
    done = export(other, tmp_path / "set", split="train")
    assert {split for split, _ in done.cells} == {"test"}
    assert done.cells["test", "basophil"] == 2
    both = export([project, other], tmp_path / "fresh", split="by-slide")
    assert len({f.sha256 for f in read_manifest(both.folder).fields}) == 3


def test_a_cell_without_a_box_is_located_when_it_is_imported(tmp_path):
    place = tmp_path / "theirs" / "train" / "monocyte"
    place.mkdir(parents=True)
    image = np.full((80, 80, 3), 235, np.uint8)
    image[25:55, 30:60] = (110, 60, 140)
    Image.fromarray(image).save(place / "a.png")
    run(import_set_steps(tmp_path / "theirs", tmp_path / "new.wbc"))
    (cell,) = project_analysis(tmp_path / "new.wbc").slides[0].table.values()
    assert cell.detection.bbox == one_cell_box(image, Preset().factor)
    assert cell.detection.bbox.height < 80


def test_a_refused_import_changes_nothing(project, tmp_path):
    for name, color in (("theirs", 40), ("others", 90)):
        for side in ("train", "test"):
            place = tmp_path / name / side / "monocyte"
            place.mkdir(parents=True)
            Image.new("RGB", (30, 30), (color, 0, len(side))).save(place / "a.png")
    run(import_set_steps(tmp_path / "theirs", project))
    before = [(s.slide.name, s.table) for s in project_analysis(project).slides]
    shutil.move(tmp_path / "others", tmp_path / "moved")
    (tmp_path / "moved" / "theirs").mkdir()
    for side in ("train", "test"):
        shutil.move(tmp_path / "moved" / side, tmp_path / "moved" / "theirs" / side)
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as packed:
        for file in (tmp_path / "moved" / "theirs").rglob("*.png"):
            packed.write(file, file.relative_to(tmp_path / "moved"))
    with pytest.raises(WbcError, match="another image"):
        run(import_set_steps(tmp_path / "theirs.zip", project))
    assert [(s.slide.name, s.table) for s in project_analysis(project).slides] == before
    assert not (tmp_path / "slide-images").exists()


def test_fields_with_cells_missing_stay_marked(project, tmp_path):
    done = export(project, tmp_path / "set")
    complete = {f.fov_id: f.complete for f in read_manifest(done.folder).fields}
    assert set(complete.values()) == {True, False}
    run(import_set_steps(done.folder, tmp_path / "new.wbc", mapping={"neutrophil": ""}))
    again = export(tmp_path / "new.wbc", tmp_path / "again")
    found = {f.fov_id: f.complete for f in read_manifest(again.folder).fields}
    assert found == {fov: whole and not fov.endswith("1.png") for fov, whole in complete.items()}


@pytest.mark.parametrize(("first", "then"), [("image-folder", "wbc"), ("wbc", "image-folder")])
def test_crops_and_fields_follow_each_other_where_they_can(first, then, project, tmp_path):
    export(project, tmp_path / "set", written_as=first)
    second = make_project(tmp_path, "two", {"1.png": ["eosinophil"]}, seed=9)
    if first == "wbc":  # crops can be cut from the fields
        export(second, tmp_path / "set", written_as=then)
        assert labels_in(tmp_path / "set")["eosinophil"] == 1
        assert sum(labels_in(tmp_path / "set").values()) == 5
    else:
        with pytest.raises(WbcError, match="holds crops and no fields"):
            export(second, tmp_path / "set", written_as=then)


def test_what_only_a_model_said_is_counted_apart(project, tmp_path):
    done = export(project, tmp_path / "set", reviewed=False)
    told = run(import_set_steps(done.folder, tmp_path / "new.wbc"))
    assert told.cells == 4
    assert told.unreviewed == sum(done.cells.values()) - 4 > 0


def test_a_failed_import_leaves_no_project(project, tmp_path):
    done = export(project, tmp_path / "set")
    with pytest.raises(WbcError, match="no class wombat"):
        run(import_set_steps(done.folder, tmp_path / "new.wbc", mapping={"basophil": "wombat"}))
    assert not (tmp_path / "new.wbc").exists()


def test_other_classes_than_the_projects_are_refused(project, tmp_path):
    done = export(project, tmp_path / "set")
    with pytest.raises(WbcError, match="its classes are neutrophil, eosinophil"):
        run(import_set_steps(done.folder, project, taxonomy=FIVE_CLASSES))


def test_what_an_import_says_can_be_undone(project, tmp_path):
    export(project, tmp_path / "set")
    relabel(project, "slide-1.png-0", "eosinophil")
    run(import_set_steps(tmp_path / "set", project))
    workspace, session = open_workspace(project), Session()
    session.open(workspace.slides()[0], workspace)
    assert session.table["slide-1.png-0"].label == "neutrophil"
    session.undo()
    assert session.table["slide-1.png-0"].label == "eosinophil"
    session.close()
    workspace.close()


def test_a_box_that_is_there_already_is_the_same_cell(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="coco")
    (done.folder / "manifest.json").unlink()
    file = done.folder / "annotations" / "train.json"
    file.write_text(file.read_text().replace('"cell_id"', '"other"'))
    before = len(project_analysis(project).slides[0].table)
    run(import_set_steps(done.folder, tmp_path / "new.wbc"))
    again = run(import_set_steps(done.folder, tmp_path / "new.wbc"))
    assert again.cells == 4
    assert len(project_analysis(tmp_path / "new.wbc").slides[0].table) == 4 < before


def test_labels_that_are_unclear_have_to_be_mapped(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="voc")
    (done.folder / "manifest.json").unlink()
    for file in (done.folder / "Annotations").iterdir():
        file.write_text(
            file.read_text().replace(">basophil<", ">WBC<").replace(">monocyte<", ">Monocytes<")
        )
    incoming = run(look_steps(done.folder))
    assert incoming.suggested == {
        "neutrophil": "neutrophil",
        "Monocytes": "monocyte",
        "WBC": None,
        "lymphocyte": "lymphocyte",
    }
    with pytest.raises(WbcError, match=r"say which class these labels are.*WBC"):
        run(import_set_steps(done.folder, tmp_path / "new.wbc"))
    assert run(import_set_steps(done.folder, tmp_path / "a.wbc", mapping={"WBC": ""})).left_out == 1
    assert (
        run(import_set_steps(done.folder, tmp_path / "b.wbc", mapping={"WBC": "basophil"})).cells
        == 4
    )
    for wrong in ({"WBC": "wombat"}, {"Nobody": "basophil"}):
        with pytest.raises(WbcError, match=r"no class wombat|no label Nobody"):
            run(import_set_steps(done.folder, tmp_path / "c.wbc", mapping=wrong))


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("NEUTROPHIL", "neutrophil"),
        ("immature_granulocytes", "immature granulocyte"),
        ("ig", "immature granulocyte"),
        ("band neutrophil", "neutrophil"),
        ("", None),
        ("cell", None),
    ],
)
def test_spellings_are_understood_where_they_are_clear(label, name):
    assert suggested_class(label, EIGHT_CLASSES) == name


def test_another_image_of_the_same_name_is_refused_and_nothing_changes(project, tmp_path):
    done = export(project, tmp_path / "set")
    other = make_project(tmp_path / "o", "slide", {"1.png": ["basophil"]}, seed=5)
    before = project_analysis(other)
    with pytest.raises(WbcError, match=r"the project has another image as 'slide/1.png'"):
        run(import_set_steps(done.folder, other))
    assert project_analysis(other).slides[0].table == before.slides[0].table


def test_there_is_nothing_to_tell_of_a_set_that_is_not_there_or_is_another_programs(tmp_path):
    (tmp_path / "theirs" / "train" / "monocyte").mkdir(parents=True)
    (tmp_path / "theirs" / "manifest.json").write_text("{}")
    (tmp_path / "copied" / "round-1").mkdir(parents=True)
    for folder in (tmp_path / "nowhere", tmp_path, tmp_path / "theirs", tmp_path / "copied"):
        assert set_summary(folder) == SetSummary()
    assert SetSummary().line == "0 cells of 0 slides: 0 to learn, 0 to check, 0 to test"


def test_a_summary_tells_each_slide_and_looks_at_no_image(project, tmp_path, monkeypatch):
    other = make_project(tmp_path, "other", {"5.png": ["monocyte"]}, seed=7)
    export(other, tmp_path / "set", split="test")
    done = export(project, tmp_path / "set", split="train")
    for image in done.folder.rglob("*.png"):
        image.unlink()
    summary = set_summary(str(tmp_path / "set"))
    assert summary.folder == done.folder
    assert [(one.name, one.split, one.cells) for one in summary.slides] == [
        ("other", "test", 1),
        ("slide", "train", 4),
    ]
    assert summary.cells == {"train": 4, "val": 0, "test": 1}
    assert summary.line == "5 cells of 2 slides: 4 to learn, 0 to check, 1 to test"
    (done.folder / "manifest.json").write_text("{")
    with pytest.raises(WbcError, match="not readable JSON"):
        set_summary(tmp_path / "set")


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


def test_classes_of_other_projects_stay_classes_of_the_set(project, tmp_path):
    """Cells of another project would have a label that is no class, and nothing could be written."""
    export(project, tmp_path / "set", written_as="coco")
    (done,) = (tmp_path / "set").glob("round-1")
    file = done / "annotations" / "train.json"
    file.write_text(file.read_text().replace('"basophil"', '"hairy cell"'))
    other = make_project(tmp_path, "other", {"5.png": ["monocyte"]}, seed=7)
    export(other, tmp_path / "set", written_as="coco")
    assert labels_in(tmp_path / "set")["hairy cell"] == 1


def test_a_set_tells_which_of_its_classes_are_not_among_the_leukocytes(project, tmp_path):
    export(project, tmp_path / "set")
    made = read_set(tmp_path / "set").made
    assert made["places"] == {"erythroblast": "per 100 WBC", "platelet": "beside"}
    assert {cell.place for cell in read_training_set(tmp_path / "set")} == {""}


def test_a_set_is_ready_where_there_is_enough_to_learn_from(tmp_path, monkeypatch):
    labels = {"1.png": ["monocyte"] * 3, "2.png": ["basophil"] * 3, "3.png": ["lymphocyte"] * 3}
    nine = make_project(tmp_path, "nine", labels)
    more = make_project(tmp_path, "more", {"4.png": ["monocyte", "basophil", None]}, seed=4)
    empty = make_project(tmp_path, "empty", {"5.png": ["monocyte"]}, seed=5)
    for project, folder, side in (
        (nine, "nine", "train"),
        (more, "more", "val"),
        (empty, "one", "test"),
    ):
        export(project, tmp_path / folder, split=side)

    def read(*_anything):
        raise AssertionError("an image was read")

    monkeypatch.setattr("napari_wbc.storage.formats.manifest.sha256_of", read)
    monkeypatch.setattr("napari_wbc.storage.formats.manifest.image_size", read)
    assert ready_to_learn([tmp_path / "nine", tmp_path / "more"]) == ""
    assert ready_to_learn([tmp_path / "nine", tmp_path / "more"], detector=True) == ""
    assert ready_to_learn([tmp_path / "nine"]) == (
        "Fine-tuning needs 10 labelled cells or more, and there are 9; label more."
    )
    assert ready_to_learn([tmp_path / "nine", tmp_path / "one"]) == (
        "Fine-tuning needs 10 labelled cells or more, and there are 9 beside 1 that are kept for testing; "
        "label more."
    )
    assert ready_to_learn([tmp_path / "one"]) == (
        "No slide of this set is there to learn from: its only cell is kept for testing. "
        "Move a slide to train."
    )
    assert "2 cells are kept for validation and 1 for testing" in ready_to_learn(
        [tmp_path / "more", tmp_path / "one"]
    )
    assert "no such file or folder" in ready_to_learn([tmp_path / "nowhere"])


def test_a_detector_is_ready_where_fields_are_reviewed_as_a_whole(tmp_path):
    partly = make_project(tmp_path, "partly", {"1.png": [*["monocyte"] * 12, None]})
    whole = make_project(
        tmp_path, "whole", {f"{i}.png": ["monocyte"] * 3 for i in range(2, 5)}, seed=4
    )
    export(partly, tmp_path / "set", split="train")
    assert ready_to_learn([tmp_path / "set"]) == ""
    assert "of which every cell was reviewed; review two" in ready_to_learn(
        [tmp_path / "set"], detector=True
    )
    export(whole, tmp_path / "set", split="val")
    told = ready_to_learn([tmp_path / "set"], detector=True)
    assert told.startswith("No field to learn from is reviewed as a whole in this set")
    assert ready_to_learn([tmp_path / "set"]) == ""


def test_other_programs_sets_are_ready_too(tmp_path):
    for i in range(12):
        place = tmp_path / "theirs" / "train" / "monocyte"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 30), (i, 0, 0)).save(place / f"{i}.png")
    assert ready_to_learn([tmp_path / "theirs"]) == ""
    (tmp_path / "theirs" / "train").rename(tmp_path / "theirs" / "test")
    assert "all 12 cells are kept for testing" in ready_to_learn([tmp_path / "theirs"])


def test_the_shell_exports_shows_and_imports(project, tmp_path):
    def called(*arguments):
        result = CliRunner().invoke(app, ["set", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "4 cells of 3 fields written" in called(
        "export", project, "--out", tmp_path / "set", "--format", "yolo"
    )
    called("export", project, "--out", tmp_path / "one")
    assert "basophil" in called("show", tmp_path / "set")
    told = called(
        "import", tmp_path / "set", "--project", tmp_path / "new.wbc", "--map", "basophil="
    )
    assert "3 cells of 1 slide imported" in told
    assert "; 1 left out" in told
    assert "slide moved to test in" in called("move", tmp_path / "set", "slide", "test")
    assert "0 to learn, 0 to check, 4 to test" in called("move", tmp_path / "one", "slide", "test")
    with pytest.raises(WbcError, match="write LABEL=CLASS"):
        called("import", tmp_path / "set", "--project", tmp_path / "x.wbc", "--map", "basophil")
