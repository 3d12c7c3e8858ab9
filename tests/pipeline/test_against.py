"""A project against an analyser's table, also a table that is none."""

from __future__ import annotations

import pytest
from tests.pipeline.lab_report.reports import ORDINARY, analysis, slide

from napari_wbc.errors import WbcError
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


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("s,monocyte,many",), "write a percentage"),
        (("s,monocyte,101",), "write a percentage"),
        (("s,monocyte,4", "s,Monocytes,5"), "again"),
        (("t,monocyte,4",), "none of the slides"),
    ],
)
def test_a_table_that_is_none_is_refused(rows, message, tmp_path):
    with pytest.raises(WbcError, match=message):
        against(analysis(slide(tmp_path, ORDINARY)), table(tmp_path, *rows))


def test_a_slide_without_a_leukocyte_is_left_out(tmp_path):
    with pytest.raises(WbcError, match="none of the slides"):
        against(analysis(slide(tmp_path, {})), table(tmp_path, "s,monocyte,4"))
