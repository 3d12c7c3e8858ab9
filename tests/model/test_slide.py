"""A slide is a value: a name and its fields in order."""

from __future__ import annotations

from pathlib import Path

from napari_wbc.model.slide import FieldOfView, Slide


def test_a_slide_may_have_no_fields():
    assert Slide("s", ()).fields == ()


def test_slides_of_the_same_fields_are_equal():
    def slide():
        return Slide("s", (FieldOfView("s/a.png", Path("s/a.png")),))

    assert slide() == slide()
    assert len({slide(), slide()}) == 1
