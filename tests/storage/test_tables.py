"""CSV tables: their columns are a promise, and no cell of theirs is a formula."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pandas as pd
import pytest

from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.differential import Beside, Differential, Share
from napari_wbc.model.geometry import BBox
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.storage.tables import (
    cells_frame,
    differential_frame,
    fields_frame,
    predictions_frame,
    write_csv,
)

CELL_COLUMNS = [
    "slide",
    "fov",
    "cell_id",
    "top",
    "left",
    "bottom",
    "right",
    "detection_score",
    "label",
    "label_source",
    "prediction",
    "confidence",
    "unlikeness",
    "p_neutrophil",
    "p_eosinophil",
    "p_basophil",
    "p_lymphocyte",
    "p_monocyte",
    "p_immature_granulocyte",
    "p_erythroblast",
    "p_platelet",
]
SURE = Prediction(
    EIGHT_CLASSES.names,
    (0.1, 0.2, 0.7, 0, 0, 0, 0, 0),
    threshold=0.5,
    model_id="m",
    unlikeness=1.25,
)


@pytest.fixture
def cell():
    return Cell("id", "s/a.png", Detection(BBox(1.234, 2, 30, 40.5), score=0.87654))


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_no_cells_still_have_the_columns(tmp_path):
    frame = cells_frame([], EIGHT_CLASSES.names)
    write_csv(tmp_path / "cells.csv", frame)
    assert read(tmp_path / "cells.csv") == [CELL_COLUMNS]
    assert list(cells_frame([("s", CellTable())], EIGHT_CLASSES.names)) == CELL_COLUMNS


def test_no_predictions_and_no_differentials_are_tables():
    assert list(predictions_frame([])) == ["path", "prediction", "confidence", "unlikeness"]
    assert len(differential_frame([])) == 0


def test_a_cell_is_a_row(tmp_path, cell):
    write_csv(
        tmp_path / "c.csv",
        cells_frame([("s", CellTable([cell.predicted(SURE)]))], EIGHT_CLASSES.names),
    )
    header, row = read(tmp_path / "c.csv")
    assert header == CELL_COLUMNS
    assert row[:8] == ["s", "s/a.png", "id", "1.23", "2", "30", "40.5", "0.8765"]
    assert row[8:13] == ["basophil", "prediction", "basophil", "0.7", "1.25"]
    assert [float(p) for p in row[13:]] == [0.1, 0.2, 0.7, 0, 0, 0, 0, 0]


def test_a_cell_without_a_prediction_leaves_its_columns_empty(tmp_path, cell):
    write_csv(tmp_path / "c.csv", cells_frame([("s", CellTable([cell]))], EIGHT_CLASSES.names))
    row = dict(zip(*read(tmp_path / "c.csv"), strict=True))
    assert (row["label"], row["label_source"]) == ("unidentified", "none")
    assert {row[name] for name in CELL_COLUMNS[CELL_COLUMNS.index("prediction") :]} == {""}


def test_annotation_and_prediction_stand_side_by_side(cell):
    said = cell.predicted(SURE).annotated(Annotation("monocyte"))
    (row,) = cells_frame([("s", CellTable([said]))], EIGHT_CLASSES.names).to_dict("records")
    assert (row["label"], row["label_source"], row["prediction"]) == (
        "monocyte",
        "annotation",
        "basophil",
    )


def test_every_class_of_any_prediction_has_a_column_after_those_of_the_taxonomy(cell):
    ours = Prediction(("blast", "neutrophil"), (0.75, 0.25))
    theirs = Prediction(("basophil", "hairy cell"), (0.5, 0.5))
    cells = [Cell(str(i), "a", cell.detection, said) for i, said in enumerate((ours, None, theirs))]
    frame = cells_frame([("s", CellTable(cells))], ("neutrophil", "monocyte"))
    assert list(frame)[-5:] == [
        "p_neutrophil",
        "p_monocyte",
        "p_blast",
        "p_basophil",
        "p_hairy_cell",
    ]
    assert frame["p_blast"].tolist()[0] == 0.75
    assert frame["p_neutrophil"].tolist()[0] == 0.25
    assert frame["p_hairy_cell"].tolist()[2] == 0.5
    assert frame["p_monocyte"].isna().all()


def test_predictions_have_a_column_a_class():
    frame = predictions_frame([(Path("a.png"), SURE), (Path("b.png"), SURE)])
    assert list(frame) == ["path", "prediction", *CELL_COLUMNS[11:]]
    assert frame["path"].tolist() == ["a.png", "b.png"]
    assert frame["p_basophil"].tolist() == [0.7, 0.7]


def test_a_differential_is_a_row_a_class():
    nan = math.nan
    one = Differential(
        "s", (Share("a", 1, 100 / 3, 0.84404, 90.57),), (Beside("e", 2, 200 / 3), Beside("p", 4)), 7
    )
    none = Differential("t", (Share("a", 0, nan, nan, nan),), (Beside("e", 0, nan),), 0)
    frame = differential_frame([one, none])
    assert list(frame) == [
        "slide",
        "class",
        "place",
        "count",
        "percent",
        "low",
        "high",
        "per_100_wbc",
    ]
    assert frame["count"].tolist() == [1, 2, 4, 0, 0]
    assert frame["place"].tolist() == ["leukocyte", "beside", "beside", "leukocyte", "beside"]
    assert frame.loc[0, ["percent", "low", "high"]].tolist() == [33.33, 0.84, 90.57]
    assert frame.loc[1, "per_100_wbc"] == 66.67
    assert frame["percent"].isna().tolist() == [False, True, True, True, True]
    assert frame["per_100_wbc"].isna().tolist() == [True, False, True, True, True]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_formula_is_made_harmless(start, tmp_path, cell):
    evil = f"{start}HYPERLINK('x')"
    harmed = Cell(evil, f"{evil}/a.png", cell.detection, annotation=Annotation(evil))
    write_csv(tmp_path / "c.csv", cells_frame([(evil, CellTable([harmed]))], EIGHT_CLASSES.names))
    row = dict(zip(*read(tmp_path / "c.csv"), strict=True))
    for column in ("slide", "fov", "cell_id", "label"):
        assert row[column].startswith(f"'{start}".replace("\r", "\\r"))


def test_numbers_are_no_formulas(tmp_path):
    frame = pd.DataFrame({"top": [-1.5], "n": [-3], "text": ["a=b"]})
    write_csv(tmp_path / "c.csv", frame)
    assert read(tmp_path / "c.csv")[1] == ["-1.5", "-3", "a=b"]
    assert frame.loc[0, "text"] == "a=b"


def test_names_with_commas_quotes_and_lines_come_back(tmp_path):
    odd = 'a "b", c\nd é'
    write_csv(tmp_path / "c.csv", pd.DataFrame({"slide": [odd]}))
    assert read(tmp_path / "c.csv")[1] == [odd]


def test_no_fields_still_have_the_columns(tmp_path):
    write_csv(tmp_path / "fields.csv", fields_frame([]))
    assert read(tmp_path / "fields.csv") == [
        [
            *("slide", "fov", "cells", "leukocytes", "red_cells", "platelets"),
            *("red_cells_per_leukocyte", "candidates", "note"),
        ]
    ]


def test_a_field_tells_its_blood_cells_where_they_were_counted(tmp_path):
    fields = [
        ("s", "a", 5, 2, {"red cell": 31, "platelet": 4}, 0, ""),
        ("s", "b", 1, 0, {"red cell": 7}, 1, "cell finders disagree: 1 against 12"),
        ("s", "c", 3, 3, None, 0, ""),
    ]
    write_csv(tmp_path / "fields.csv", fields_frame(fields))
    assert read(tmp_path / "fields.csv")[1:] == [
        ["s", "a", "5", "2", "31", "4", "15.5", "0", ""],
        ["s", "b", "1", "0", "7", "0", "", "1", "cell finders disagree: 1 against 12"],
        ["s", "c", "3", "3", "", "", "", "0", ""],
    ]


def test_a_candidate_is_labelled_as_one_and_its_predicted_class_stays_beside():
    said = Prediction(("neutrophil", "basophil"), (0.9, 0.1))
    found = Cell("a", "f", Detection(BBox(0, 0, 9, 9), candidate=True), said)
    (row,) = cells_frame([("s", CellTable([found]))], ()).to_dict("records")
    assert (row["label"], row["label_source"], row["prediction"]) == (
        "candidate",
        "none",
        "neutrophil",
    )
