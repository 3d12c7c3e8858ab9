"""Viewer and panels follow one another."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from qtpy.QtCore import QObject

from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.session.order import Order
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Session
from napari_wbc.widgets.slide.follow import Follower

FIELD = FieldOfView("s/a", Path("a.png"))


class View:
    """Notes what it is told to show."""

    viewer = None
    ready = True
    pushing = False

    def __init__(self):
        self.chosen = ()

    def select(self, cell_ids, *, center):
        self.chosen = tuple(cell_ids)

    def selected(self):
        return self.chosen

    def read(self, field):
        raise OSError("no image")


@pytest.fixture
def session():
    opened = Session()
    opened.open(Slide("s", (FIELD,)))
    cells = [Cell(name, "s/a", Detection(BBox(0, 0, 9, 9))) for name in "ab"]
    opened.commit(opened.table.with_cells(cells), "test")
    return opened


@pytest.fixture
def follower(session, qtbot):
    parent = QObject()
    view = View()
    with closing(ReviewQueue(session)) as queue:
        made = Follower(session, view, queue, None, opening=lambda: True, parent=parent)
        made.view = view
        yield made
        made.release()


def test_the_viewer_follows_a_choice_in_the_panels(follower, session, qtbot):
    with qtbot.waitSignal(follower.cell_shown) as signal:
        session.select(["b"])
    assert signal.args == ["b"]
    assert follower.view.chosen == ("b",)


def test_the_panels_follow_a_choice_in_the_viewer(follower, session):
    follower.view.chosen = ("a", "b")
    follower._on_highlight()
    assert set(session.selection) == {"a", "b"}


def test_a_cell_that_is_gone_is_not_chosen(follower, session):
    follower.view.chosen = ("gone",)
    follower._on_highlight()
    assert session.selection == ()


def test_only_a_review_that_ends_now_is_said_to_be_done(follower, session):
    said = []
    follower.said.connect(said.append)
    follower.view.enlarge = lambda _cell_id: None
    queue = follower._queue
    queue.resume({}, ["a", "b"])
    assert queue.done
    assert not said
    queue.start(Order.FIELD_BY_FIELD)
    queue.next()
    queue.next()
    assert said == ["The review is done: no cell is left in it."]


def test_only_fields_of_the_slide_are_found(follower):
    assert follower.field_of("s/a") is FIELD
    assert follower.field_of("other") is None
