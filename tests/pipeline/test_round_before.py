"""What the round before keeps: other tools' changes, and the splits of all that was ever there."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from tests.pipeline.projects import (
    LABELS,
    export,
    labels_in,
    make_project,
    relabel,
)

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import UNIDENTIFIED
from napari_wbc.pipeline.import_set import import_set_steps
from napari_wbc.storage.formats.manifest import read_manifest


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
