"""Which slide this is: always said, and nothing is analyzed that is not seen."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.layers import Image
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor

from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.table import CellTable
from napari_wbc.widgets.slide import project
from napari_wbc.widgets.slide.project import STATES


def shown(viewer):
    return [layer.name for layer in viewer.layers if layer.visible]


def test_slide_and_field_are_said(bench, slide, wait):
    assert bench.header.name.text() == "No slide is open"
    bench.open_slide(slide)
    wait(bench)
    assert bench.header.name.text() == "slide  ·  field-0.png  (1 of 3)"
    bench.session.show_field(slide.fields[2].fov_id)
    assert bench.header.name.text() == "slide  ·  field-2.png  (3 of 3)"


def test_a_blind_reader_is_named(bench, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    bench.project.read_as("B. Second")
    wait(bench)
    assert bench.header.name.text().endswith("blind reading: B. Second")
    bench.project.read_as("")
    wait(bench)
    assert "reading" not in bench.header.name.text()


def test_a_second_slide_takes_name_and_picture_of_the_first_away(
    bench, viewer, slide, folder, wait, monkeypatch
):
    # A new project, not that of the folder's old name.
    monkeypatch.setattr(project, "confirmed", lambda *_question: False)
    bench.open_slide(slide)
    wait(bench)
    other = folder.parent / "other"
    folder.rename(other)
    bench.open_slide(open_slide(other))
    wait(bench)
    assert [layer.name for layer in viewer.layers] == ["other", "cells"]
    assert "other" in bench.header.name.text()


def test_an_image_that_was_dropped_is_hidden_by_the_next_slide(bench, viewer, slide, wait):
    viewer.add_image(np.full((48, 64, 3), 99, np.uint8), name="one")
    bench._use_image.click()
    wait(bench)
    bench.open_slide(slide)
    wait(bench)
    assert shown(viewer) == ["slide", "cells"]
    viewer.layers.selection.active = viewer.layers["one"]
    viewer.layers["one"].visible = True
    bench._use_image.click()
    wait(bench)
    assert shown(viewer) == ["one", "cells"]
    assert "slide" not in viewer.layers


def test_what_is_hidden_by_another_image_is_not_analyzed(bench, viewer, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    stack = viewer.add_image(np.zeros((3, 48, 64)), name="stack")
    assert bench.header.warning.text() == "The image 'stack' hides this slide."
    bench.analysis.run.click()
    wait(bench)
    assert len(bench.session.table) == 0
    assert "'stack' hides this slide" in bench.status.text()
    bench._use_image.click()  # refused: it is no field
    assert "not one field" in bench.status.text()
    assert bench.session.slide.name == "slide"
    stack.visible = False
    bench.header.refresh()
    assert bench.header.warning.text() == ""
    bench.analysis.run.click()
    wait(bench)
    assert len(bench.session.table) == 6


def test_a_refused_action_does_not_come_later_by_itself(bench, viewer, slide, wait):
    viewer.add_image(np.zeros((3, 48, 64)), name="stack")
    bench.analysis.run.click()
    assert "not one field" in bench.status.text()
    bench.open_slide(slide)
    wait(bench)
    assert len(bench.session.table) == 0


def test_a_refused_image_leaves_the_analysis_alone(bench, viewer, slide, wait, detector, qtbot):
    bench.open_slide(slide)
    wait(bench)
    gate = threading.Event()
    detector.before = lambda _image: gate.wait(20)
    bench.analysis.run.click()
    viewer.add_image(np.zeros((3, 48, 64)), name="stack")
    bench._use_image.click()
    assert "not one field" in bench.status.text()
    gate.set()
    wait(bench)
    assert len(bench.session.table) == 6


def test_cells_of_an_image_that_is_no_file_outlive_another_slide(bench, viewer, slide, wait):
    image = viewer.add_image(np.full((48, 64, 3), 99, np.uint8), name="one")
    bench.analysis.run.click()
    wait(bench)
    before = dict(bench.session.table)
    assert len(before) == 2
    viewer.layers.selection.active = image
    bench._use_image.click()
    wait(bench)
    assert dict(bench.session.table) == before
    assert bench.session.undoable == "analyze"
    bench.open_slide(slide)
    wait(bench)
    assert len(bench.session.table) == 0
    viewer.layers.selection.active = image
    image.visible = True
    bench._use_image.click()
    wait(bench)
    assert dict(bench.session.table) == before


def test_an_overlay_hides_nothing_and_under_a_cover_no_cell_is_judged(bench, viewer, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    viewer.add_image(np.ones((48, 64)), name="overlay", opacity=0.2)
    viewer.add_image(np.ones((48, 64)), name="glow", blending="additive")
    bench.analysis.run.click()
    wait(bench)
    assert len(bench.session.table) == 6
    cover = viewer.add_image(np.ones((48, 64)), name="cover")
    bench.session.select([next(iter(bench.session.table))])
    bench.follower.keys["3"]()
    assert "'cover' hides" in bench.status.text()
    assert not any(cell.annotation for cell in bench.session.table.values())
    cover.visible = False
    bench.follower.keys["3"]()
    assert any(cell.annotation for cell in bench.session.table.values())


def test_a_slide_whose_image_is_hidden_or_removed_is_not_judged(bench, viewer, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    viewer.layers["slide"].visible = False
    bench.header.refresh()
    assert bench.header.warning.text() == "The image of this slide is hidden."
    bench.analysis.run.click()
    wait(bench)
    assert "Show it in the layer list" in bench.status.text()
    viewer.layers.remove("slide")
    assert bench.header.warning.text() == "The image of this slide was removed."
    bench.analysis.run.click()
    wait(bench)
    assert len(bench.session.table) == 0
    assert "It is shown again" in bench.status.text()
    assert shown(viewer)[-2:] == ["slide", "cells"]
    bench.analysis.run.click()
    wait(bench)
    assert len(bench.session.table) == 6


def test_a_hidden_image_that_is_used_is_shown(bench, viewer, wait):
    hidden = viewer.add_image(np.full((48, 64, 3), 99, np.uint8), name="one", visible=False)
    viewer.layers.selection.active = hidden
    bench._use_image.click()
    wait(bench)
    assert shown(viewer) == ["one", "cells"]


def test_the_slide_that_is_open_is_opened_again_without_a_question(
    bench, viewer, wait, monkeypatch
):
    monkeypatch.setattr("qtpy.QtWidgets.QMessageBox.question", lambda *_args: 1 / 0)
    viewer.add_image(np.full((48, 64, 3), 99, np.uint8), name="one")
    bench.analysis.run.click()
    wait(bench)
    bench.actions.label("monocyte", list(bench.session.table)[:1])
    before = dict(bench.session.table)
    viewer.layers["one"].visible = False
    bench._use_image.click()
    wait(bench)
    assert dict(bench.session.table) == before
    assert shown(viewer) == ["one", "dark outlines", "cells"]


def test_cells_stay_on_theirs_under_the_transform_tool(bench, viewer, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    viewer.layers["cells"].affine = np.array([[1, 0, 19], [0, 1, 58], [0, 0, 1.0]])
    viewer.layers["cells"].scale = (2, 2)
    assert np.array_equal(viewer.layers["cells"].affine.affine_matrix, np.eye(3))
    assert tuple(viewer.layers["cells"].scale) == (1, 1)


def test_a_sample_is_the_slide_as_soon_as_it_is_there(bench, viewer, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    viewer.open_sample("napari-wbc", "synthetic_smear")
    wait(bench)
    assert bench.session.slide.name == "synthetic smear"
    assert shown(viewer) == ["synthetic smear", "cells"]


def test_analyze_on_a_dropped_file_opens_it_first_and_analyzes_it(bench, viewer, folder, wait):
    viewer.open(str(folder / "field-0.png"))
    bench.analysis.run.click()
    wait(bench)
    assert bench.session.slide.name == "field-0"
    assert len(bench.session.table) == 2
    assert bench.project.path is not None


def test_a_file_keeps_its_project_whatever_napari_calls_its_layer(bench, viewer, folder, wait):
    viewer.add_layer(Image(np.zeros((8, 8)), name="field-0"))
    viewer.open(str(folder / "field-0.png"))
    assert viewer.layers[-1].name != "field-0"
    bench._use_image.click()
    wait(bench)
    assert bench.session.slide.name == "field-0"


def test_a_stain_that_the_model_does_not_know_is_said(bench, slide, wait):
    bench.open_slide(slide)
    wait(bench)
    assert bench.header.stain.isHidden()
    prediction = Prediction(("monocyte",), (1.0,), unlikeness=3.0)
    cells = []
    for column in range(3):
        detection = Detection(BBox(5, 15 * column, 15, 15 * column + 10))
        cells.append(Cell.new(slide.fields[0].fov_id, detection).predicted(prediction))
    bench.session.commit(CellTable(cells), "analyze", "model")
    assert "(by the first 3 cells)" in bench.header.stain.text()
    assert not bench.header.stain.isHidden()


def test_a_label_does_not_ask_the_stain_again(bench, slide, wait, monkeypatch):
    from napari_wbc.model.cell import Annotation
    from napari_wbc.widgets.slide import header

    bench.open_slide(slide)
    wait(bench)
    asked = []
    monkeypatch.setattr(header, "stain_alarm", lambda cells: asked.append(1) or "")
    session = bench.session
    cell = Cell.new(slide.fields[0].fov_id, Detection(BBox(1, 1, 9, 9)))
    session.commit(session.table.with_cells([cell]), "draw")
    assert len(asked) == 1
    session.commit(session.table.with_cells([cell.annotated(Annotation("monocyte"))]), "label")
    assert len(asked) == 1
    session.undo()
    session.undo()
    assert len(asked) == 2


def contrast(first, second):
    """Of two colours, as WCAG 2 has it."""
    light = []
    for color in (first, second):
        parts = [color.redF(), color.greenF(), color.blueF()]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_warnings_can_be_read_in_both_themes(bench, viewer, qtbot, theme):
    window = bench.window()
    window.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    viewer.theme = theme
    window.show()
    qtbot.wait(50)
    warning = bench.header.warning
    background = QColor(get_theme(theme).background.as_hex())
    color = QColor(warning.styleSheet().removeprefix("color: "))
    assert contrast(color, background) > 4.5


def test_nothing_is_called_saved_before_a_slide_is_open(bench, slide, wait, qtbot):
    state = bench.project.state
    assert state.isHidden()
    bench.open_slide(slide)
    wait(bench)
    qtbot.waitUntil(lambda: not state.isHidden())
    for _text, color in STATES.values():
        assert contrast(QColor("white"), QColor(color)) > 4.5
