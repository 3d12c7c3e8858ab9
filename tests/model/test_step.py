"""The time of a step is one that a person and a program can read."""

from __future__ import annotations

from datetime import datetime

from napari_wbc.model.step import now


def test_the_time_has_a_zone_and_milliseconds():
    time = datetime.fromisoformat(now())
    assert time.tzinfo is not None
    assert time.microsecond % 1000 == 0
