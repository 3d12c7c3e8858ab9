"""Where each image of a set goes in a project: slides, ids, splits, boxes and copies."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from tests.pipeline.projects import (
    LABELS,
    export,
    make_project,
)

from napari_wbc.classify.preset import Preset
from napari_wbc.detect.hsv import one_cell_box
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.model.split import split_of
from napari_wbc.pipeline.import_set import import_set_steps
from napari_wbc.pipeline.project import project_analysis
from napari_wbc.storage.formats.manifest import read_manifest


def test_a_zip_leaves_its_images_beside_the_project(project, tmp_path):
    done = export(project, tmp_path / "set", written_as="coco")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        for file in done.folder.rglob("*"):
            packed.write(file, f"mine/{file.relative_to(done.folder)}")
    run(import_set_steps(tmp_path / "set.zip", tmp_path / "new.wbc"))
    fields = [f for s in project_analysis(tmp_path / "new.wbc").slides for f in s.slide.fields]
    assert len(fields) == 3
    assert all(f.path.is_file() and f.path.parent.name == "new-images" for f in fields)


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


def test_two_sets_of_one_name_keep_what_each_is_for(tmp_path):
    for i, side in enumerate(("train", "val", "test")):
        place = tmp_path / side / "data" / side / "monocyte"
        place.mkdir(parents=True)
        Image.new("RGB", (30, 30), (40 * i, 0, 0)).save(place / f"{i}.png")
        run(import_set_steps(tmp_path / side / "data", tmp_path / "new.wbc"))
        done = export(tmp_path / "new.wbc", tmp_path / "set")
        assert done.cells[side, "monocyte"] == 1
    assert sum(done.cells.values()) == 3


def test_splits_of_images_without_slides_become_slides(tmp_path):
    for side, color in (("train", 40), ("test", 90)):
        place = tmp_path / "theirs" / side / "monocyte"
        place.mkdir(parents=True)
        Image.new("RGB", (30, 30), (color, 0, 0)).save(place / "a.png")
    done = run(import_set_steps(tmp_path / "theirs", tmp_path / "new.wbc"))
    assert done.slides == ("theirs (test)", "theirs (train)")
    again = export(tmp_path / "new.wbc", tmp_path / "set")
    assert again.cells == {("train", "monocyte"): 1, ("test", "monocyte"): 1}


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


def test_another_image_of_the_same_name_is_refused_and_nothing_changes(project, tmp_path):
    done = export(project, tmp_path / "set")
    other = make_project(tmp_path / "o", "slide", {"1.png": ["basophil"]}, seed=5)
    before = project_analysis(other)
    with pytest.raises(WbcError, match=r"the project has another image as 'slide/1.png'"):
        run(import_set_steps(done.folder, other))
    assert project_analysis(other).slides[0].table == before.slides[0].table


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
