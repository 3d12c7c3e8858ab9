"""A set that comes again: its cells are those that the project has, or a note says the doubt."""

from __future__ import annotations

import shutil
import unicodedata

import pytest
from tests.storage.formats.sets import cell, coco, image, put

from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy_dict import taxonomy_of_names
from napari_wbc.pipeline.import_set import import_set_steps
from napari_wbc.pipeline.project import project_analysis


@pytest.fixture
def come(tmp_path):
    """Import a set of one image with these cells; return what came, and the boxes then."""

    def imported(*cells):
        image(tmp_path / "set", "a.png")
        categories = [{"id": 3, "name": "monocyte"}, {"id": 4, "name": "basophil"}]
        annotations = [one | {"id": number} for number, one in enumerate(cells, start=1)]
        put(tmp_path / "set", "x.json", coco(annotations=annotations, categories=categories))
        steps = import_set_steps(tmp_path / "set", tmp_path / "p.wbc")
        notes = []
        try:
            while True:
                notes += filter(None, [next(steps).note])
        except StopIteration as end:
            done = end.value
        assert list(done.notes) == notes
        table = project_analysis(tmp_path / "p.wbc").slides[0].table
        return done, {c.detection.bbox.edges: (c.cell_id, c.label) for c in table.values()}

    return imported


def box(left, top, width=20, height=20, category=3):
    return cell(bbox=[left, top, width, height], category_id=category)


def test_the_same_set_again_changes_nothing(come):
    _, first = come(box(2, 2), box(30, 2))
    done, again = come(box(2, 2), box(30, 2))
    assert again == first
    assert done.notes == ()


def test_a_box_that_was_moved_is_the_cell_that_is_there(come):
    """By 10 px, as a person does who corrects it: the cell keeps its id."""
    _, first = come(box(2, 2, 30, 30))
    done, then = come(box(12, 2, 30, 30, category=4))
    assert done.cells == 1
    assert then == {(2, 12, 32, 42): (first[2, 2, 32, 32][0], "basophil")}
    assert done.notes == ()


def test_a_box_that_was_moved_far_is_taken_for_it_and_said(come):
    _, first = come(box(2, 2))
    done, then = come(box(9, 6))
    ((edges, (cell_id, _label)),) = then.items()
    assert (edges, cell_id) == ((6, 9, 26, 29), first[2, 2, 22, 22][0])
    (note,) = done.notes
    assert note.startswith("1 cell overlaps one of the project by less than half")
    assert "monocyte at (6, 9, 26, 29) of set/a.png was taken for that one" in note


def test_a_box_that_overlaps_little_is_added_and_said(come):
    come(box(2, 2))
    done, then = come(box(15, 5))
    assert len(then) == 2
    assert "was added" in done.notes[0]


def test_a_cell_beside_is_added_without_a_word(come):
    come(box(2, 2))
    done, then = come(box(2, 2), box(30, 2))
    assert (len(then), done.notes) == (2, ())


def test_of_two_that_touch_each_keeps_its_own(come):
    """The nearest first: the one that was moved must not take its neighbour's place."""
    _, first = come(box(0, 2), box(16, 2))
    done, then = come(box(12, 2), box(2, 2))
    assert {edges: cell_id for edges, (cell_id, _) in then.items()} == {
        (2, 12, 22, 32): first[2, 16, 22, 36][0],
        (2, 2, 22, 22): first[2, 0, 22, 20][0],
    }
    assert done.notes == ()


def test_what_was_left_out_is_told_after_an_import(come):
    done, then = come(box(2, 2), box(30, 2, 0, 9), box(2, 2))
    assert len(then) == 1
    assert done.notes[0].startswith("1 item left out; the first: ")
    assert done.notes[1] == "1 cell left out that stood there twice"


def test_moved_boxes_of_a_zip_name_the_zip(tmp_path):
    image(tmp_path / "set", "a.png")
    put(tmp_path / "set", "x.json", coco(annotations=[box(2, 2), box(30, 2, 0, 9)]))
    shutil.make_archive(str(tmp_path / "theirs"), "zip", tmp_path / "set")
    done = run(import_set_steps(tmp_path / "theirs.zip", tmp_path / "p.wbc"))
    assert f"{tmp_path}/theirs.zip/x.json, annotation 2" in done.notes[0]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_set_that_comes_again_from_a_mac_brings_no_second_field(tmp_path, forms):
    """Its file system takes the letters of names apart; so do the folders of classes there."""
    classes = taxonomy_of_names("mine", ("géante", "blast"))
    for form in forms:
        name = unicodedata.normalize(form, "Zellé")
        image(tmp_path / form / name, f"{unicodedata.normalize(form, 'é')}.png")
        images = [{"id": 1, "file_name": unicodedata.normalize(form, "é.png")}]
        categories = [{"id": 3, "name": unicodedata.normalize(form, "géante")}]
        text = coco(images, annotations=[box(2, 2)], categories=categories)
        put(tmp_path / form / name, "x.json", text)
        steps = import_set_steps(tmp_path / form / name, tmp_path / "p.wbc", taxonomy=classes)
        run(steps)
    (slide,) = project_analysis(tmp_path / "p.wbc").slides
    assert (len(slide.slide.fields), len(slide.table)) == (1, 1)
    assert [one.label for one in slide.table.values()] == ["géante"]
