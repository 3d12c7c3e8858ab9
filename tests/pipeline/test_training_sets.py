"""Reviewed projects as training sets, and training sets as projects."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.pipeline.projects import (
    SAID,
    export,
    labels_in,
    make_project,
    named,
    relabel,
    sides_in,
)
from typer.testing import CliRunner

from napari_wbc.cli.app import app
from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.model.split import split_of
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, UNIDENTIFIED
from napari_wbc.pipeline.import_set import import_set_steps
from napari_wbc.session.session import Session
from napari_wbc.storage.formats.manifest import read_manifest
from napari_wbc.storage.formats.registry import FORMATS
from napari_wbc.storage.labelled_cells import read_training_set
from napari_wbc.storage.sets import read_set
from napari_wbc.storage.workspace import open_workspace


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


def test_a_candidate_is_in_no_set_until_a_person_gave_it_a_label(project, tmp_path):
    workspace, session = open_workspace(project), Session()
    session.open(workspace.slides()[0], workspace)
    table = session.table
    place = Detection(BBox(30, 5, 40, 15), candidate=True)
    said = Prediction(EIGHT_CLASSES.names, (0.3, *[0.1] * 7))
    found = [Cell(name, "slide/1.png", place, said) for name in ("a", "b")]
    session.commit(table.with_cells([found[0], found[1].annotated(Annotation("basophil"))]), "x")
    session.close()
    workspace.close()
    done = export(project, tmp_path / "set", reviewed=False)
    assert "1 cell labelled candidate" in done.left_out
    kept = {f.fov_id: f for f in read_manifest(done.folder).fields}["slide/1.png"]
    assert {"a", "b"} & {cell.cell_id for cell in kept.cells} == {"b"}
    # Whether the other is a cell is not known, so the field is not all labelled.
    assert not kept.complete


def test_the_manifest_tells_who_said_what_of_which_image(project, tmp_path):
    manifest = read_manifest(export(project, tmp_path / "set").folder)
    assert manifest.made["projects"] == ["slide.wbc"]
    assert manifest.made["program"].startswith("napari-wbc")
    cell = next(c for f in manifest.fields for c in f.cells if c.label == "basophil")
    # Not the name itself, unless it is asked for.
    code = f"reader-{hashlib.sha256(b'ann').hexdigest()[:6]}"
    assert (cell.annotation.annotator, cell.prediction) == (code, SAID)
    assert all(len(f.sha256) == 64 for f in manifest.fields)
    named = export(project, tmp_path / "named", keep_metadata=True).folder
    said = {c.annotation.annotator for f in read_manifest(named).fields for c in f.cells}
    assert said == {"ann"}


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


def test_labels_that_were_taken_back_leave_the_set_with_their_field(project, tmp_path):
    export(project, tmp_path / "set")
    relabel(project, "slide-2.png-0", UNIDENTIFIED)
    done = export(project, tmp_path / "set")
    assert done.removed == 1
    assert labels_in(tmp_path / "set") == Counter(neutrophil=1, monocyte=1, lymphocyte=1)


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


def test_classes_of_other_projects_stay_classes_of_the_set(project, tmp_path):
    """Else cells of another project would have a label that is no class."""
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


@pytest.mark.parametrize("name", ["9.41\u202fAM", "Zell\u00a01", "neu\u00adtro", "細胞\u30001"])
@pytest.mark.parametrize("kind", FORMATS)
def test_reviewed_work_with_any_blank_in_a_name_is_exported(tmp_path, kind, name):
    """macOS has a narrow blank in the names of its screenshots."""
    project = make_project(tmp_path, name, {f"{name}.png": ["monocyte"]})
    done = export(project, tmp_path / "set", written_as=kind)
    assert labels_in(done.folder) == {"monocyte": 1}
    (field,) = read_manifest(done.folder).fields
    assert field.slide == name


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_yolo_names_no_folder_that_is_not_there(project, tmp_path, split):
    done = export(project, tmp_path / "set", written_as="yolo", split=split)
    head = yaml.safe_load((done.folder / "data.yaml").read_text())
    folders = {key: head[key] for key in ("train", "val", "test") if key in head}
    assert all((done.folder / folder).is_dir() for folder in folders.values())
    # Ultralytics needs both; what is held out is never named as train.
    expected = {"train": {"train": "images/train", "val": "images/train"}}
    assert folders == expected.get(split, {split: f"images/{split}"})
    (done.folder / "manifest.json").unlink()
    assert {field.split for field in read_set(done.folder).fields} == {split}


def test_voc_has_whole_pixels(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="voc")
    values = []
    for file in (done.folder / "Annotations").glob("*.xml"):
        tree = ET.parse(file)
        values += [edge.text for box in tree.iter("bndbox") for edge in box]
    assert values
    assert all(value == str(int(value)) for value in values)


def test_an_export_that_is_refused_leaves_no_folder(project, tmp_path, monkeypatch):
    def failing(*_arguments, **_options):
        raise WbcError("the disk is full")

    monkeypatch.setattr("napari_wbc.storage.rounds._take_image", failing)
    with pytest.raises(WbcError, match="the disk is full"):
        export(project, tmp_path / "new" / "set")
    assert not (tmp_path / "new").exists()
