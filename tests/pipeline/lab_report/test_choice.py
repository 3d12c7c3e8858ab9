"""What a laboratory chose for a slide, also of a note that makes no sense."""

from __future__ import annotations

from dataclasses import fields

import pytest
from tests.pipeline.lab_report.reports import settings

from napari_wbc.errors import WbcError
from napari_wbc.model.blood_count import WbcCount
from napari_wbc.model.policy import Policy
from napari_wbc.model.reference import Subject
from napari_wbc.model.target import Target
from napari_wbc.pipeline.lab_report.choice import NAMES, Choice, difference, kept_choice
from napari_wbc.pipeline.lab_report.reference import FINDINGS, INTERVALS

WHOLE = Choice(
    "H-1",
    17.4,
    True,
    "female",
    0.5,
    200,
    5.0,
    True,
    True,
    5.0,
    True,
    str(INTERVALS),
    str(FINDINGS),
)


def test_nothing_chosen_is_as_usual():
    assert Choice().settings() == settings()
    assert (Choice().given, Choice().text) == ({}, "")


def test_everything_chosen_is_in_the_settings():
    assert WHOLE.settings(masked=True) == settings(
        INTERVALS,
        FINDINGS,
        policy=Policy(True, True, 5.0, True),
        wbc=WbcCount(17.4, True),
        specimen="H-1",
        subject=Subject("female", 0.5),
        masked=True,
        target=Target(200, 5.0),
    )
    assert NAMES.keys() == {each.name for each in fields(Choice)}
    assert len(WHOLE.text.split(", ")) == len(NAMES)


def test_a_note_gives_back_what_was_chosen():
    assert kept_choice(WHOLE.given) == WHOLE
    assert kept_choice(None) == Choice()


@pytest.mark.parametrize(
    "note",
    [
        5,
        ["wbc"],
        {"wbc": True},
        {"wbc": 0},
        {"wbc": "17"},
        {"age": -1},
        {"target": 1.5},
        {"target": 0},
        {"sex": "x"},
        {"specimen": "two\nlines"},
        {"bands_apart": 1},
        {"within": float("nan")},
        {"other": 1},
    ],
)
def test_what_makes_no_sense_was_not_chosen(note):
    assert kept_choice(note) == Choice()


def test_a_choice_overrides_and_says_so():
    new = Choice(wbc=9.0, bands_apart=False)
    assert new.over(WHOLE).specimen == "H-1"
    assert new.over(WHOLE).bands_apart is False
    assert difference(new, WHOLE) == (
        "WBC 9 x 10^9/L instead of WBC 17.4 x 10^9/L, bands merged instead of bands apart"
    )
    assert difference(WHOLE, WHOLE) == ""
    assert difference(WHOLE, Choice()) == ""


def test_a_table_that_is_gone_is_named():
    with pytest.raises(WbcError, match=r"gone\.csv"):
        Choice(intervals="/nowhere/gone.csv").settings()
