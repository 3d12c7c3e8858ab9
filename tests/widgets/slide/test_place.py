"""The place in a slide, kept in the project."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Loaded, Session
from napari_wbc.widgets.slide import place
from napari_wbc.widgets.slide.place import PlaceKeeper

SLIDE = Slide("s", (FieldOfView("s/a", Path("a.png")), FieldOfView("s/b", Path("b.png"))))


@pytest.fixture
def session(monkeypatch):
    opened = Session()
    opened.open(SLIDE)
    opened.notes = {}
    monkeypatch.setattr(opened, "note", opened.notes.__setitem__)
    monkeypatch.setattr(place, "camera_place", lambda _viewer: {"zoom": 2})
    return opened


@pytest.fixture
def keeper(session):
    return PlaceKeeper(session, SimpleNamespace(viewer=None, ready=True), ReviewQueue(session))


def test_the_place_is_noted_for_slide_and_reading(keeper, session):
    session.show_field("s/b")
    keeper.keep()
    assert session.notes["place/s/"]["field"] == "s/b"
    assert session.notes["place/s/"]["camera"] == {"zoom": 2}


def test_an_unchanged_place_is_not_written_again(keeper, session):
    keeper.keep()
    session.notes.clear()
    keeper.keep()
    assert session.notes == {}


@pytest.mark.parametrize(("field", "shown"), [("s/b", "s/b"), ("gone", "s/a")])
def test_the_field_comes_back_where_the_slide_still_has_it(keeper, session, field, shown):
    session.show_field("s/a")
    workspace = SimpleNamespace(get={"place/s/": {"field": field, "camera": 1}}.get)
    keeper.restore(Loaded(SLIDE, workspace=workspace))
    assert session.field.fov_id == shown
    assert keeper.camera == (1 if field == shown else None)
