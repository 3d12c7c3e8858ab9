"""Flags against reference intervals, and critical findings."""

from __future__ import annotations

import math

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.differential import differential
from napari_wbc.model.geometry import BBox
from napari_wbc.model.limits import UNDEFINED, Estimate
from napari_wbc.model.reference import (
    Finding,
    Flag,
    Interval,
    Subject,
    critical_findings,
    flag_of,
    interval_of,
)
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES

MONOCYTES = Interval("monocyte", "%", 4, 9)


def cells(**counts):
    box = Detection(BBox(0, 0, 9, 9))
    made = []
    for name, n in counts.items():
        made += [Cell(f"{name} {i}", "f", box, annotation=Annotation(name)) for i in range(n)]
    return CellTable(made)


@pytest.mark.parametrize(
    ("estimate", "flag"),
    [
        ((9, 4.2, 16.4), Flag.NONE),
        ((9.1, 4.2, 16.4), Flag.ABOVE),
        ((20, 9, 29), Flag.ABOVE),
        ((20, 9.1, 29), Flag.ABOVE_SURELY),
        ((3, 1, 8), Flag.BELOW),
        ((1, 0, 3.9), Flag.BELOW_SURELY),
        (UNDEFINED, Flag.NONE),
    ],
)
def test_a_flag_is_sure_where_the_limits_leave_the_interval(estimate, flag):
    assert flag_of(Estimate(*estimate), MONOCYTES) is flag


def test_without_an_interval_there_is_no_flag():
    assert flag_of(Estimate(99, 98, 100), None) is Flag.NONE


def test_the_interval_of_the_own_sex_and_age_comes_first():
    both = Interval("WBC", "10*9/L", 4, 11, age_from=18)
    women = Interval("WBC", "10*9/L", 3.9, 11.1, "female", age_from=18)
    child = Interval("WBC", "10*9/L", 5, 15, age_to=18)
    every = (both, women, child)

    def chosen(subject):
        return interval_of(every, "WBC", "10*9/L", subject)

    assert chosen(Subject()) is both
    assert chosen(Subject("female")) is women
    assert chosen(Subject("male", 40)) is both
    assert chosen(Subject("female", 3)) is child
    assert interval_of(every, "WBC", "%", Subject()) is None
    assert interval_of((), "WBC", "%", Subject()) is None


@pytest.mark.parametrize("options", [{"sex": "x"}, {"age": -1}, {"age": math.nan}, {"age": 200}])
def test_a_person_who_is_none_is_refused(options):
    with pytest.raises(WbcError, match="give"):
        Subject(**options)


def test_any_blast_is_critical_and_immature_granulocytes_from_a_share_on():
    findings = (
        Finding("Blasts", ("blast",), "cells", 1),
        Finding("Immature", ("immature granulocyte", "myelocyte"), "%", 2),
    )
    table = cells(neutrophil=98, myelocyte=1, Blasts=1)
    (blasts,) = critical_findings(findings, table, differential("s", table, EIGHT_CLASSES))
    assert (blasts.finding.name, blasts.count) == ("Blasts", 1)
    table = cells(neutrophil=98, myelocyte=2)
    (immature,) = critical_findings(findings, table, differential("s", table, EIGHT_CLASSES))
    assert (immature.count, immature.number) == (2, 2.0)
    assert (
        critical_findings(findings, CellTable(), differential("s", CellTable(), EIGHT_CLASSES))
        == ()
    )
