"""Average precision against COCO's rules written anew."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_wbc.measure.average_precision import AveragePrecision, Truth, average_precision
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, Outline

BOXES = st.builds(
    lambda row, col, height, width: BBox(row, col, row + height, col + width),
    *(st.floats(0, 30),) * 2,
    *(st.floats(8, 20),) * 2,
)
SHIFTS = st.floats(-4, 4)
SHAPE = (60, 60)


@st.composite
def fields(draw):
    """Fields whose detections lie about their cells, or anywhere; no score comes twice."""
    pairs, n = [], 0
    for _ in range(draw(st.integers(1, 3))):
        truths = draw(st.lists(BOXES, max_size=4))
        near = [
            BBox(t.top + draw(SHIFTS), t.left + draw(SHIFTS), t.bottom + 4, t.right + 4)
            for t in truths
            if draw(st.booleans())
        ]
        found = near + draw(st.lists(BOXES, max_size=3))
        pairs.append((truths, found))
        n += len(found)
    scores = iter(draw(st.permutations([(i + 1) / (n + 1) for i in range(n)])))
    return [
        (Truth(SHAPE, tuple(truths)), [Detection(box, score=next(scores)) for box in found])
        for truths, found in pairs
    ]


def reference(pairs, threshold):
    """COCO's average precision at one IoU: greedy by score, 101 recalls, precision never rising."""
    cells = sum(len(truth.boxes) for truth, _ in pairs)
    hits = []
    for truth, found in pairs:
        free = list(truth.boxes)
        for detection in sorted(found, key=lambda d: -d.score):
            best = max(free, key=detection.bbox.iou, default=None)
            hit = best is not None and detection.bbox.iou(best) >= threshold
            if hit:
                free.remove(best)
            hits.append((detection.score, hit))
    right = np.cumsum([hit for _, hit in sorted(hits, reverse=True)])
    precision, recall = right / np.arange(1, len(right) + 1), right / cells
    at = [precision[recall >= r - 1e-12].max(initial=0) for r in np.linspace(0, 1, 101)]
    return float(np.mean(at))


def square(box):
    return Outline.from_array(box.corners())


@pytest.mark.parametrize(
    "pairs", [[], [(Truth(SHAPE, ()), [])], [(Truth(SHAPE, ()), [Detection(BBox(0, 0, 9, 9))])]]
)
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_without_cells_there_is_no_average_precision(pairs, kind):
    precision = average_precision(pairs, kind=kind)
    assert all(math.isnan(v) for v in (precision.mean, precision.at_50, precision.at_75))


def test_where_nothing_is_found_the_average_precision_is_0():
    assert average_precision([(Truth(SHAPE, (BBox(0, 0, 9, 9),)), [])]) == AveragePrecision(0, 0, 0)


def test_where_all_is_wrong_the_average_precision_is_0():
    pairs = [(Truth(SHAPE, (BBox(0, 0, 9, 9),)), [Detection(BBox(30, 30, 39, 39))])]
    assert average_precision(pairs) == AveragePrecision(0, 0, 0)


@given(fields())
def test_average_precision_is_that_of_cocos_rules(pairs):
    if not any(truth.boxes for truth, _ in pairs):
        return
    # Which of two cells that overlap a detection alike is taken, and what lies on a threshold, no
    # rule says.
    overlaps = [[d.bbox.iou(box) for box in truth.boxes] for truth, found in pairs for d in found]
    assume(
        all(
            np.diff(sorted(some)).min(initial=1) > 1e-6
            for some in overlaps
            if max(some, default=0) >= 0.5
        )
    )
    assume(
        all(
            abs(iou - t) > 1e-6
            for some in overlaps
            for iou in some
            for t in np.arange(0.5, 1, 0.05)
        )
    )
    precision = average_precision(pairs)
    expected = {t: reference(pairs, t) for t in np.linspace(0.5, 0.95, 10).round(2)}
    assert precision.at_50 == pytest.approx(expected[0.5], abs=1e-6)
    assert precision.at_75 == pytest.approx(expected[0.75], abs=1e-6)
    assert precision.mean == pytest.approx(np.mean(list(expected.values())), abs=1e-6)


def test_a_second_find_of_a_cell_is_wrong():
    box = BBox(0, 0, 20, 20)
    once, twice = (
        [Detection(box, score=0.5)],
        [Detection(box, score=0.5), Detection(box, score=0.9)],
    )
    other = Detection(BBox(30, 30, 50, 50), score=0.7)
    truth = Truth(SHAPE, (box, other.bbox))
    assert average_precision([(truth, [*once, other])]).mean == pytest.approx(1)
    assert average_precision([(truth, [*twice, other])]).mean == pytest.approx(
        1
    )  # the second comes last
    later = [Detection(box, score=0.9), Detection(box, score=0.8), other]
    assert average_precision([(truth, later)]).mean == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_outlines_are_compared_as_areas():
    box = BBox(0, 0, 40, 40)
    half = Outline.from_array([[0, 0], [40, 0], [40, 40]])
    truth = Truth(SHAPE, (box,), (square(box),))
    for outline, at_50 in ((square(box), 1), (half, 0)):
        found = [(truth, [Detection(box, outline)])]
        assert average_precision(found).mean == pytest.approx(1)
        assert average_precision(found, kind="segm").at_75 == pytest.approx(at_50)


def test_rows_and_columns_of_outlines_are_not_exchanged():
    box = BBox(5, 20, 15, 55)
    pairs = [(Truth((30, 60), (box,), (square(box),)), [Detection(box, square(box))])]
    assert average_precision(pairs, kind="segm").mean == pytest.approx(1)
