"""Training sets become projects: labels, splits, images, and what is refused."""

from __future__ import annotations

import shutil
import tempfile
import zipfile

import pytest
from PIL import Image
from tests.pipeline.projects import (
    export,
    make_project,
    relabel,
)
from tests.storage.formats import sets
from tests.storage.formats.sets import image

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, FIVE_CLASSES
from napari_wbc.pipeline.import_set import import_set_steps, look_steps, suggested_class
from napari_wbc.pipeline.project import project_analysis
from napari_wbc.session.session import Session
from napari_wbc.storage.formats.manifest import read_manifest
from napari_wbc.storage.formats.registry import FORMATS
from napari_wbc.storage.workspace import Workspace, create_workspace, open_workspace


def test_what_only_a_model_said_is_not_a_persons_label_after_an_import(project, tmp_path):
    export(project, tmp_path / "set", reviewed=False)
    run(import_set_steps(tmp_path / "set", tmp_path / "new.wbc"))
    table = project_analysis(tmp_path / "new.wbc").slides[0].table
    assert table["slide-4.png-0"].annotation is None
    assert table["slide-1.png-0"].annotation is not None


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


def test_a_second_import_into_a_project_is_refused_and_takes_nothing_from_the_first(
    project, tmp_path
):
    export(project, tmp_path / "set")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "set" / "round-1")
    new = tmp_path / "new" / "p.wbc"
    first = import_set_steps(packed, new)
    # As far as its last image that was copied.
    for progress in first:
        if progress.step == "copying images" and progress.done == progress.total:
            break
    with pytest.raises(WbcError, match="another program is importing"):
        run(import_set_steps(packed, new))
    run(first)
    (slide,) = project_analysis(new).slides
    assert all(field.path.is_file() for field in slide.slide.fields)
    assert not list(new.parent.glob(".*import*"))


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


@pytest.mark.parametrize("above", ["", "outer/", "outer/inner/"])
def test_a_set_in_the_folders_of_a_zip_is_found_beside_what_a_mac_adds(tmp_path, above):
    image(tmp_path, "a.png")
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as packed:
        packed.write(tmp_path / "a.png", f"{above}train/monocyte/a.png")
        packed.write(tmp_path / "a.png", f"{above}test/basophil/b.png")
        for name in ("__MACOSX/._theirs", ".DS_Store", f"{above}Thumbs.db", f"{above}Icon\r"):
            packed.writestr(name, b"\0\5\26")
        packed.writestr(f"{above}README.txt", "read me")
    content = run(look_steps(tmp_path / "theirs.zip")).content
    assert content.name == "theirs"
    assert {f.split: [c.label for c in f.cells] for f in content.fields} == {
        "train": ["monocyte"],
        "test": ["basophil"],
    }
    assert content.notes == ()


REFUSED = {
    "upwards": {"../x.txt": b"x"},
    "no set": {"readme.txt": b"x"},
    "damaged": {"train/monocyte/a.png": b"no image"},
    "hostile": {"a.json": b'{"images": [{"id": 1, "file_name": "../x.png"}], "annotations": []}'},
    "unclear": {"train/wombat/a.png": None},
    "full": {"train/monocyte/a.png": None},
}


@pytest.mark.parametrize("files", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_leaves_nothing_behind(tmp_path, monkeypatch, files):
    """No temporary folder, no folder of images, no lock, nor the folders above the project."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    png = image(tmp_path, "a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as packed:
        for name, data in files.items():
            packed.writestr(name, png if data is None else data)
    before = sorted(tmp_path.rglob("*"))

    def failing(*_arguments):
        raise WbcError("the disk is full")

    monkeypatch.setattr(Workspace, "write", failing)
    with pytest.raises(WbcError) as error:
        run(import_set_steps(tmp_path / "theirs.zip", tmp_path / "new" / "folder" / "p.wbc"))
    assert sorted(tmp_path.rglob("*")) == before
    assert str(place) not in str(error.value)


def test_names_of_255_bytes_are_imported(tmp_path):
    name = f"{'ü' * 125}a.png"
    assert len(name.encode()) == 255
    image(tmp_path, f"theirs/train/monocyte/{name}")
    shutil.make_archive(str(tmp_path / "theirs"), "zip", tmp_path / "theirs")
    done = run(import_set_steps(tmp_path / "theirs.zip", tmp_path / "new.wbc"))
    (field,) = project_analysis(done.project).slides[0].slide.fields
    assert field.path.is_file()


def test_failures_of_a_zip_name_the_zip_and_no_temporary_folder(tmp_path):
    image(tmp_path / "theirs", "a.png")
    image(tmp_path / "theirs", "b.png")
    data = (tmp_path / "theirs/b.png").read_bytes()
    (tmp_path / "theirs/b.png").write_bytes(data[: len(data) * 2 // 3])
    both = [{"id": i, "file_name": name} for i, name in enumerate(("a.png", "b.png"), start=1)]
    cells = [sets.cell(1), sets.cell(2, image_id=2)]
    sets.put(tmp_path / "theirs", "a.json", sets.coco(images=both, annotations=cells))
    shutil.make_archive(str(tmp_path / "theirs"), "zip", tmp_path / "theirs")
    steps = import_set_steps(tmp_path / "theirs.zip", tmp_path / "new.wbc")
    notes: list[str] = []
    while True:
        try:
            notes.append(next(steps).note)
        except StopIteration as stop:
            done = stop.value
            break
    (failure,) = done.failures
    assert failure.path == tmp_path / "theirs.zip/b.png"
    assert failure.message.startswith(f"{failure.path}: ")
    assert failure.message in notes
