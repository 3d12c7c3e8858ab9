"""Pictures of an evaluation: what is drawn is what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from napari_wbc.errors import WbcError
from napari_wbc.measure.metrics import score
from napari_wbc.measure.plots import (
    draw_calibration,
    draw_confusion,
    draw_roc,
    panels,
    write_evaluation,
)

NAMES = ("monocyte", "lymphocyte", "immature granulocyte")
PICTURES = ["calibration.png", "confusion.png", "roc.png"]


def cells(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, n), rng.dirichlet([0.5] * 3, n)


def axis():
    return Figure().subplots()


def test_no_cells_are_refused(tmp_path):
    with pytest.raises(WbcError, match="no cell"):
        write_evaluation(tmp_path, np.zeros(0, int), np.zeros((0, 3)), np.zeros(0, str), NAMES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sources", [1, 2, 5])
def test_each_source_has_a_panel_in_three_pictures(sources, tmp_path):
    truth, probabilities = cells(50)
    names = np.array([f"laboratory {i % sources}" for i in range(50)])
    files = write_evaluation(tmp_path / "new", truth, probabilities, names, NAMES)
    assert sorted(file.name for file in files) == PICTURES
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == PICTURES
    for file in files:
        with Image.open(file) as picture:
            assert picture.size == (450 * min(sources, 3), 450 * (1 + (sources > 3)))


def test_one_class_alone_is_drawn_too(tmp_path):
    truth, probabilities = np.zeros(4, int), cells(4)[1]
    assert len(write_evaluation(tmp_path, truth, probabilities, np.array(["a"] * 4), NAMES)) == 3


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WbcError, match="cannot be written"):
        write_evaluation(tmp_path / "file", *cells(5), np.array(["a"] * 5), NAMES)


def test_panels_beyond_the_last_stay_empty():
    figure, axes = panels(4)
    assert len(axes) == 4
    assert [a.axison for a in figure.axes] == [True] * 4 + [False] * 2


def test_rows_of_the_matrix_are_the_true_classes():
    drawn = axis()
    draw_confusion(drawn, [[5, 2, 0], [0, 0, 0], [0, 1, 1234]], NAMES, title="PBC")
    assert {(t.get_position(), t.get_text()) for t in drawn.texts} == {
        ((0, 0), "5"),
        ((1, 0), "2"),
        ((1, 2), "1"),
        ((2, 2), "1234"),
    }
    assert drawn.get_title() == "PBC, 1,242 cells"
    assert (drawn.get_xlabel(), drawn.get_ylabel()) == ("predicted", "true")
    assert [t.get_text() for t in drawn.get_yticklabels()] == list(NAMES)
    np.testing.assert_allclose(drawn.images[0].get_array()[0], [5 / 7, 2 / 7, 0])


def test_roc_curves_enclose_the_measured_areas():
    truth, probabilities = cells(80)
    drawn = axis()
    draw_roc(drawn, truth, probabilities, NAMES, title="PBC")
    areas = score(truth, probabilities, NAMES).auc
    chance, *curves = drawn.lines
    assert [curve.get_label() for curve in curves] == [f"{k} {v:.3f}" for k, v in areas.items()]
    for curve, area in zip(curves, areas.values(), strict=True):
        assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(area)
    assert np.trapezoid(chance.get_ydata(), chance.get_xdata()) == 0.5


def test_a_class_that_all_cells_have_has_no_curve():
    drawn = axis()
    draw_roc(drawn, np.zeros(4, int), cells(4)[1], NAMES, title="PBC")
    assert len(drawn.lines) == 1
    assert drawn.get_legend() is None


def test_accuracy_stands_over_confidence():
    drawn = axis()
    sure = np.array([[0.9, 0.1, 0], [0.9, 0, 0.1], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3]])
    draw_calibration(drawn, np.array([0, 1, 1, 1]), sure, title="PBC")
    _chance, curve = drawn.lines
    np.testing.assert_allclose(curve.get_xdata(), [0.4, 0.7, 0.9])
    np.testing.assert_allclose(curve.get_ydata(), [0, 1, 0.5])
    assert sum(bar.get_height() for bar in drawn.patches) == pytest.approx(1)
    assert drawn.get_title() == "PBC, calibration error 0.375"
