"""A project against an analyser's table, also a table that is none."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.pipeline.lab_report.reports import ORDINARY, analysis, slide

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy_dict import taxonomy_of_names
from napari_wbc.pipeline.against import against


def table(folder, *rows):
    path = folder / "analyser.csv"
    path.write_text("\n".join(["slide,class,percent", *rows]) + "\n")
    return path


def test_classes_of_both_are_compared(tmp_path):
    ours = analysis(slide(tmp_path, ORDINARY, name="s"))
    path = table(tmp_path, "s,Neutrophils,58", "s,monocyte,20 %", "other,monocyte,3", "s,blast,1")
    result = against(ours, path)
    assert [(pair.label, pair.count, pair.other) for pair in result.pairs] == [
        ("neutrophil", 60, 58),
        ("monocyte", 6, 20),
    ]
    assert [each.within for each in result.methods] == [1, 0]
    assert result.unknown == ("other",)
    assert result.frame["within"].tolist() == [True, False]


def test_bands_and_segmented_neutrophils_are_added_up(tmp_path):
    ours = analysis(slide(tmp_path, ORDINARY, name="s"))
    result = against(ours, table(tmp_path, "s,Segs,50", "s,band neutrophils,9", "s,LYMPH%,30"))
    assert [(pair.label, pair.other) for pair in result.pairs] == [
        ("neutrophil", 59),
        ("lymphocyte", 30),
    ]


def test_classes_that_are_none_of_ours_are_told(tmp_path):
    ours = analysis(slide(tmp_path, ORDINARY, name="s"), slide(tmp_path, ORDINARY, name="t"))
    rows = ("s,MONO%,6", "s,LUC,2", "t,LUC,4", "s,NRBC,1")
    result = against(ours, table(tmp_path, *rows))
    assert result.left_out == {"LUC": 3, "NRBC": 1}
    assert result.unknown == ()
    (row,) = result.classes.to_dict("records")
    assert (row["class"], row["slides"], row["within"]) == ("monocyte", 1, 1)
    assert math.isnan(row["passing_bablok_slope"])


def test_how_many_cells_the_other_method_counted_may_be_said(tmp_path):
    ours = analysis(slide(tmp_path, ORDINARY, name="s"), slide(tmp_path, ORDINARY, name="t"))
    path = tmp_path / "cells.csv"
    path.write_text("slide,class,percent,cells\ns,monocyte,6,8000\ns,lymphocyte,30,\nt,mono,5,\n")
    result = against(ours, path)
    assert [pair.other_total for pair in result.pairs] == [8000, 8000, 0]
    # Known of some slides only is not known.
    ratios = {each.label: each.error_ratio for each in result.methods}
    assert ratios["lymphocyte"] == pytest.approx(80)
    assert math.isnan(ratios["monocyte"])
    path.write_text("slide,class,percent,cells\ns,monocyte,6,none\n")
    with pytest.raises(WbcError, match="how many leukocytes were counted"):
        against(ours, path)


def test_classes_of_an_own_taxonomy_are_met_by_their_names(tmp_path):
    own = taxonomy_of_names("own", ["Segs", "Hairy Cells", "LY-large"])
    ours = replace(slide(tmp_path, {"Segs": 6, "Hairy Cells": 3, "LY-large": 1}), taxonomy=own)
    rows = ("s,SEGS,60", "s,Hairy cell,30", "s,ly large,10")
    result = against(analysis(ours), table(tmp_path, *rows))
    assert [pair.label for pair in result.pairs] == ["Segs", "Hairy Cells", "LY-large"]
    assert [pair.count for pair in result.pairs] == [6, 3, 1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("s,monocyte,many",), "write a percentage"),
        (("s,monocyte,101",), "write a percentage"),
        (("s,monocyte,4", "s,Monocytes,5"), "again"),
        (("t,monocyte,4",), "none of the slides"),
        (("s,segs,60", "s,neutrophils,65"), "add up to 125.0 %"),
    ],
)
def test_a_table_that_is_none_is_refused(rows, message, tmp_path):
    with pytest.raises(WbcError, match=message):
        against(analysis(slide(tmp_path, ORDINARY)), table(tmp_path, *rows))


def test_a_slide_without_a_leukocyte_is_left_out(tmp_path):
    with pytest.raises(WbcError, match="none of the slides"):
        against(analysis(slide(tmp_path, {})), table(tmp_path, "s,monocyte,4"))
