"""Stacks, pyramids and labels: each is answered with a way forward."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QInputDialog, QMessageBox


@pytest.fixture
def choose(monkeypatch):
    """Answers the question for a plane by a part of its name; gives what was offered."""
    offered = []

    def answer(part):
        def ask(_parent, _title, _question, names, *_more):
            offered.extend(names)
            return next(name for name in names if part in name), True

        monkeypatch.setattr(QInputDialog, "getItem", ask)
        return offered

    return answer


@pytest.fixture
def agree(monkeypatch):
    asked = []

    def yes(_parent, _title, question):
        asked.append(question)
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", yes)
    return asked


def planes():
    return np.stack([np.full((48, 64, 3), 60 * (i + 1), np.uint8) for i in range(3)])


def test_a_plane_of_a_stack_becomes_the_field(bench, viewer, wait, choose):
    stack = viewer.add_image(planes(), name="stack", rgb=True, scale=(1, 2, 2))
    viewer.dims.set_current_step(0, 1)
    offered = choose("plane 3")
    bench._use_image.click()
    wait(bench)
    assert offered[0] == "plane 2 of 3"
    image = bench.view.image_layer
    assert image.name == "stack plane 3 of 3"
    assert (image.data == 180).all()
    assert tuple(image.scale) == (2, 2)
    assert stack in viewer.layers
    bench.analysis.run.click()
    wait(bench)
    assert len(bench.session.table) == 2


def test_a_level_of_a_pyramid_becomes_the_field_and_lies_where_it_lay(bench, viewer, wait, choose):
    fine = np.full((96, 128, 3), 90, np.uint8)
    viewer.add_image([fine, fine[::2, ::2]], name="scan", rgb=True, multiscale=True)
    choose("level 1: 64 x 48 pixels")
    bench._use_image.click()
    wait(bench)
    image = bench.view.image_layer
    assert image.data.shape == (48, 64, 3)
    assert tuple(image.scale) == (2, 2)


def test_who_chooses_no_plane_is_told_how_to(bench, viewer):
    viewer.add_image(planes(), name="stack", rgb=True)
    bench._use_image.click()
    assert "choose a plane or level" in bench.status.text()


def test_regions_of_labels_become_cells_and_undo_takes_them_away(bench, viewer, slide, wait, agree):
    bench.open_slide(slide)
    wait(bench)
    mask = np.zeros((48, 64), int)
    mask[5:25, 5:25] = 1
    mask[30:45, 40:60] = 4
    mask[0:2, 60:62] = 9
    viewer.add_labels(mask, name="cellpose")
    bench._use_image.click()
    assert "2 regions" in agree[0]
    boxes = [cell.detection.bbox for cell in bench.session.table.values()]
    assert [(round(b.top), round(b.right)) for b in boxes] == [(5, 25), (30, 60)]
    assert all(cell.detection.outline for cell in bench.session.table.values())
    bench.actions.undo()
    assert len(bench.session.table) == 0


@pytest.mark.parametrize("opened", [True, False])
def test_labels_that_cannot_be_cells_say_why(bench, viewer, slide, wait, opened):
    if opened:
        bench.open_slide(slide)
        wait(bench)
    viewer.add_labels(np.ones((20, 20), int), name="mask")
    bench._use_image.click()
    wanted = "another size than this field" if opened else "Open its image as a slide first"
    assert wanted in bench.status.text()
    assert len(bench.session.table) == 0
