"""Cards of the models of a report, and heat of its cells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.pipeline.lab_report.reports import analysis, settings, slide
from tests.pipeline.lab_report.test_write import of, read

from napari_wbc.model.progress import run
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.lab_report.models import MISSING, used_models
from napari_wbc.pipeline.lab_report.write import report_steps
from napari_wbc.weights.library import Library


@pytest.fixture(scope="module")
def card():
    return Library().find("cdnn").card


def said_by(one, name, sha256):
    """A slide whose cells a model named."""
    cells = [
        replace(cell, prediction=replace(cell.prediction, model_id=name, weights=sha256))
        for cell in one.table.values()
    ]
    return replace(one, table=CellTable(cells))


def written(folder, one, **options):
    (each,) = run(report_steps(analysis(one), folder / "out", settings(), **options))
    return of(each.folder)


def test_without_a_model_there_is_no_card(tmp_path):
    assert used_models([]) == ()
    _, page, _ = written(tmp_path, slide(tmp_path, {}))
    assert "Model card" not in page.words


def test_the_card_of_the_model_is_in_the_report(card, tmp_path):
    one = said_by(slide(tmp_path, {"neutrophil": 3}, reviewed=False), card.model_id, card.sha256)
    _, page, _ = written(tmp_path, one)
    for text in ("Model card", ", ".join(card.classes), "pbc (train 10,918", "Known limits"):
        assert text in page.words
    # Earlier versions noted no hash of the weights.
    (used,) = used_models([(card.model_id, "")])
    assert used.weights == "cdnn"


def test_a_model_that_is_not_here_is_named(tmp_path):
    one = said_by(slide(tmp_path, {"neutrophil": 3}, reviewed=False), "gone <b> 1 (0)", "0" * 64)
    steps = report_steps(analysis(one), tmp_path / "out", settings(), heat=True)
    notes = [progress.note for progress in steps if progress.note]
    assert notes == ["gone <b> 1 (0): not on this computer, so its cells have no heat."]
    page = read((tmp_path / "out" / "report.html").read_text())
    assert MISSING in page.words
    assert "Grad-CAM" not in page.words


def test_heat_is_shown_where_it_is_asked_for(card, tmp_path):
    one = said_by(slide(tmp_path, {"neutrophil": 2, "monocyte": 1}), card.model_id, card.sha256)
    _, page, _ = written(tmp_path, one)
    assert page.names.count("img") == 3
    _, page, text = written(tmp_path, one, heat=True)
    assert page.names.count("img") == 6
    assert "Grad-CAM" in page.words
    assert text.count('alt="heat of ') == 3
