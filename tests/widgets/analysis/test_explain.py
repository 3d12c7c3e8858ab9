"""The panel that asks why."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.heat import Heat
from napari_wbc.model.progress import Progress
from napari_wbc.pipeline.explain import Explanation
from napari_wbc.widgets.gallery.tiles import CELL, HEAT, OVERLAY

LAYER = "heatmap: Grad-CAM"


@pytest.fixture
def asked(monkeypatch):
    """What was asked; a question is answered at once."""
    asked = []

    def steps(_slide, cells, question, **_options):
        asked.append((cells, question))
        yield Progress("explaining", 0, len(cells))
        values = np.eye(8, dtype=np.float32)
        return Explanation(
            tuple(
                Heat(c, 4, 4, 20, values, question.method, "monocyte", inside=i / 2)
                for i, c in enumerate(cells)
            )
        )

    monkeypatch.setattr("napari_wbc.widgets.analysis.explain.explain_cells_steps", steps)
    return asked


@pytest.fixture
def filled(bench, slide, qtbot):
    """The workbench with two cells in the first field and one in the second."""
    bench.open_slide(slide)
    qtbot.waitUntil(lambda: not bench.busy, timeout=20_000)
    cells = [
        Cell(f"c{i}", slide.fields[i // 2].fov_id, Detection(BBox(5, 5 + 20 * i, 20, 20 + 20 * i)))
        for i in range(3)
    ]
    bench.session.commit(bench.session.table.with_cells(cells), "fill")
    return bench


def finished(bench, qtbot):
    qtbot.waitUntil(lambda: not bench.busy, timeout=20_000)


def test_heat_that_was_found_before_it_was_cancelled_stays(filled, qtbot, monkeypatch):
    def steps(_slide, cells, question, *, on_heat, **_options):
        values = np.eye(8, dtype=np.float32)
        on_heat([Heat(cells[0], 4, 4, 20, values, question.method, "monocyte", inside=0.9)])
        while True:
            yield Progress("explaining", 1, len(cells))
            time.sleep(0.01)

    monkeypatch.setattr("napari_wbc.widgets.analysis.explain.explain_cells_steps", steps)
    filled.explain.ask_slide()
    qtbot.waitUntil(lambda: bool(filled.explain._finished), timeout=20_000)
    filled.explain.jobs.cancel_button.click()
    finished(filled, qtbot)
    assert len(filled.heats) == 1
    assert "Heat was found for 1 cell" in filled.status.text()


def test_why_it_failed_is_told_beside_what_was_found(filled, qtbot, monkeypatch):
    def steps(_slide, cells, question, *, on_heat, **_options):
        yield Progress("explaining", 0, len(cells))
        values = np.eye(8, dtype=np.float32)
        on_heat([Heat(cells[0], 4, 4, 20, values, question.method, "monocyte", inside=0.9)])
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("napari_wbc.widgets.analysis.explain.explain_cells_steps", steps)
    filled.explain.ask_slide()
    finished(filled, qtbot)
    assert "CUDA out of memory. Heat was found for 1 cell" in filled.status.text()


def test_nothing_to_explain_is_told(bench, asked):
    for ask in (bench.explain.ask_selected, bench.explain.ask_field, bench.explain.ask_slide):
        ask()
        assert "No cell to explain" in bench.status.text()
    assert asked == []


def test_heat_of_the_field_in_view_is_shown_and_follows_it(filled, asked, slide, qtbot):
    filled.explain.slide.click()
    finished(filled, qtbot)
    ((cells, question),) = asked
    assert [cell.cell_id for cell in cells] == ["c0", "c1", "c2"]
    assert (question.method, question.target, question.against) == ("grad-cam", "", "")
    assert "3 cells explained" in filled.status.text()
    assert filled.explain.legend.text == "Grad-CAM, 3 cells"
    assert not filled.explain.legend.isHidden()
    assert "In 1 cell most of it lies outside" in filled.status.text()
    layers = filled.viewer.layers
    assert layers.index(filled.view.image_layer) < layers.index(layers[LAYER])
    assert layers.index(layers[LAYER]) < layers.index(filled.view.binding.layer)
    shown = layers[LAYER].data.copy()
    filled.session.show_field(slide.fields[2].fov_id)
    finished(filled, qtbot)
    assert LAYER not in layers
    filled.session.show_field(slide.fields[0].fov_id)
    finished(filled, qtbot)
    np.testing.assert_array_equal(layers[LAYER].data, shown)
    filled.explain.clear.click()
    assert LAYER not in layers
    assert filled.explain.legend.isHidden()


def test_a_field_that_cannot_be_read_shows_no_heat_of_another(filled, asked, slide, qtbot):
    filled.explain.slide.click()
    finished(filled, qtbot)
    assert LAYER in filled.viewer.layers
    slide.fields[1].path.write_bytes(b"no image")
    filled.session.show_field(slide.fields[1].fov_id)
    finished(filled, qtbot)
    assert LAYER not in filled.viewer.layers


def test_selected_cells_are_asked_as_chosen(filled, asked, qtbot):
    filled.session.select(["c2"])
    panel = filled.explain
    assert panel.samples.native.isHidden()
    panel.method.value = "lime"
    assert not panel.samples.native.isHidden()
    panel.samples.value = 50
    panel.target.value = "eosinophil"
    panel.against.value = "neutrophil"
    panel.selected.click()
    finished(filled, qtbot)
    ((cells, question),) = asked
    assert [cell.cell_id for cell in cells] == ["c2"]
    assert (question.method, question.samples) == ("lime", 50)
    assert (question.target, question.against) == ("eosinophil", "neutrophil")
    panel.against.value = "eosinophil"
    panel.field.click()
    assert "against itself" in filled.status.text()
    assert len(asked) == 1


def test_the_gallery_shows_cell_heat_and_both_side_by_side(filled, asked, qtbot):
    filled.docks.open_gallery()
    panel = filled.docks.gallery
    gallery = panel.gallery
    across = gallery._grid.columns
    panel.parts.setCurrentText("cell, heat, both")
    assert gallery._tiles.parts == (CELL, HEAT, OVERLAY)
    assert gallery._grid.columns < across
    filled.explain.ask_slide()
    finished(filled, qtbot)

    def tile():
        return gallery._tiles.get(filled.session.table["c1"])

    qtbot.waitUntil(lambda: tile() is not None, timeout=20_000)
    picture = tile().toImage()
    side = picture.height()
    assert picture.width() == 3 * side
    middle = [picture.pixelColor(side // 2 + i * side, side // 2).getRgb()[:3] for i in range(3)]
    assert middle[0] != middle[2]
    assert middle[1] != middle[2]
    held = tile()
    assert tile() is held
    filled.heats.clear()
    assert tile() is not held, "without heat it is another picture"


def test_the_cell_under_review_has_its_heat_beside_it(filled, asked, qtbot):
    filled.queue_panel.start()
    filled.explain.ask_slide()
    finished(filled, qtbot)
    assert filled.references.grab().toImage() is not None
    assert filled.heats.get(filled.queue.current) is not None
