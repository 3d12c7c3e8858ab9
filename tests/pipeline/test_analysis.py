"""What an analysis says of its slides, whatever models it comes from."""

from __future__ import annotations

from pathlib import Path

from napari_wbc.model.cell import Cell, Detection, Prediction
from napari_wbc.model.failure import Failure
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.analysis import Analysis, SlideAnalysis, analysis_of

FIELDS = tuple(FieldOfView(f"s/{i}.png", Path(f"{i}.png")) for i in range(3))


def test_an_analysis_of_nothing_has_the_eight_classes():
    assert Analysis(()).taxonomy is EIGHT_CLASSES
    assert Analysis(()).detector == ""
    assert analysis_of([]) == Analysis(())


def test_models_of_reviewed_cells_are_named_and_the_highest_threshold_is_told():
    cells = []
    for i, (model, threshold) in enumerate((("b 1", 0.5), ("a 2", 0.7), ("b 1", 0.5))):
        said = Prediction(("x", "y"), (0.9, 0.1), threshold, model)
        cells.append(Cell(str(i), "s/0.png", Detection(BBox(1, 1, 9, 9)), said))
    analysis = analysis_of([SlideAnalysis(Slide("s", FIELDS), CellTable(cells))])
    assert (analysis.model_id, analysis.threshold) == ("a 2, b 1", 0.7)


def test_fields_that_were_read_or_hold_cells_are_listed_and_lost_ones_last():
    box = Detection(BBox(1, 1, 9, 9))
    cells = [Cell("a", "s/lost.png", box), Cell("b", "s/1.png", box)]
    failures = (Failure(Path("1.png"), "broken"), Failure(Path("2.png"), "broken"))
    slide = SlideAnalysis(Slide("s", FIELDS), CellTable(cells), failures)
    assert [field.fov_id for field in slide.read_fields] == ["s/0.png"]
    assert slide.listed_fields == ("s/0.png", "s/1.png", "s/lost.png")


def test_where_no_finder_disagrees_fields_have_no_note():
    assert list(Analysis(()).fields["note"]) == []
    one = SlideAnalysis(Slide("s", FIELDS[:1]), CellTable())
    assert Analysis((one,)).fields["note"].tolist() == [""]
