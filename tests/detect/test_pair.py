"""Two cell finders that judge each other: what counts, what is a candidate, when they disagree."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wbc.detect.finders import located_by, make_detector
from napari_wbc.detect.pair import PairDetector, alone, disagreement, judged
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run

THRESHOLD = 0.5


def cell(place, score):
    return Detection(BBox(place, place, place + 40, place + 40), None, score)


def test_where_nothing_is_seen_nothing_is_located():
    assert judged([], [], THRESHOLD) == ()
    located = make_detector(device="cpu").detect(np.full((60, 80, 3), 230, np.uint8))
    assert located == ()


@pytest.mark.parametrize(
    ("network", "colour", "candidate"),
    [
        ([0.6], [], []),  # the network alone believes in it
        ([0.92], [], [True]),  # the network alone is fairly sure
        ([0.98], [], [False]),  # the network alone is very sure
        ([0.6], [0.3], [False]),  # colour sees it too
        ([0.3], [0.7], [False]),  # both believe in it
        ([0.4], [0.3], [True]),  # both see it, and neither is sure
        ([0.4], [], []),
        ([0.3], [], []),
        ([0.05], [0.7], []),  # colour is not sure enough alone
        ([], [0.9], [True]),  # colour is sure of what the network denies
        ([0.6], [0.9], [False]),
    ],
)
def test_what_only_one_believes_in_is_a_candidate(network, colour, candidate):
    seen = [cell(100, score) for score in network]
    nuclei = [cell(104, score) for score in colour]
    assert [c.candidate for c in judged(seen, nuclei, THRESHOLD)] == candidate


def test_two_cells_that_colour_takes_for_one_stay_two():
    both = BBox(100, 100, 140, 180)
    seen = [cell(100, 0.9), Detection(BBox(100, 140, 140, 180), None, 0.8)]
    seen.append(Detection(both, None, 0.4))
    assert judged(seen, [Detection(both, None, 1.0)], THRESHOLD) == tuple(seen[:2])


def test_the_surest_stand_first():
    cells = judged([cell(0, 0.97), cell(100, 0.99)], [cell(200, 0.98)], THRESHOLD)
    assert [c.score for c in cells] == [0.99, 0.98, 0.97]


@pytest.mark.parametrize(
    ("network", "colour", "said"),
    [(0, 0, False), (0, 2, False), (0, 3, True), (1, 12, True), (12, 1, True), (5, 9, False)],
)
def test_more_than_the_usual_difference_is_said(network, colour, said):
    assert disagreement(network, colour) == (
        f"cell finders disagree: {network} against {colour}" if said else ""
    )


def test_cells_and_settings_are_those_of_both():
    detector = make_detector(device="cpu")
    field = synthetic_smear(1, n_leukocytes=3).image
    cells = [c for c in detector.detect(field) if not c.candidate]
    assert len(cells) == 3
    assert located_by(detector).detector == detector.name
    assert dict(located_by(detector).parameters) == {
        "score": detector.network.score,
        "overlap": detector.network.overlap,
    }


def test_the_order_of_images_changes_nothing():
    field = synthetic_smear(2, n_leukocytes=2).image
    images = [np.full((40, 40, 3), 230, np.uint8), field[:30], field, field[:, :33]]
    first = make_detector(device="cpu")
    forwards = [first.detect(image) for image in images]
    backwards = [first.detect(image) for image in reversed(images)]
    assert forwards == backwards[::-1]


def test_what_one_finder_alone_found_is_told_by_name():
    seen = [cell(100, 0.3), cell(300, 0.99)]
    nuclei = [cell(104, 0.7), cell(500, 0.9)]
    single = alone(judged(seen, nuclei, THRESHOLD), seen, nuclei)
    places = {name: [c.bbox.top for c in cells] for name, cells in single.items()}
    assert places == {"Mask R-CNN": [300], "colour": [500]}
    assert alone([], [], []) == {"Mask R-CNN": (), "colour": ()}


@pytest.mark.parametrize(
    ("threshold", "score", "candidate"),
    [
        (0.95, 0.96, []),  # weights of an earlier version, whose scores are all near 1
        (0.95, 0.996, [True]),
        (0.95, 0.999, [False]),
        (0.05, 0.4, [True]),  # the slider moved to either end
        (0.05, 0.7, [False]),
        (1.0, 0.99, []),
        (0.0, 0.02, [True]),
    ],
)
def test_how_sure_is_sure_follows_the_threshold(threshold, score, candidate):
    assert [c.candidate for c in judged([cell(100, score)], [], threshold)] == candidate


def test_red_cells_are_counted_from_the_same_score_as_by_the_network_alone():
    network = make_detector("mask-rcnn", "blood_cells", device="cpu")
    field = synthetic_smear(1).image
    counts = run(network.locate_steps(field)).counts
    assert counts is not None
    assert run(PairDetector(network).locate_steps(field)).counts == counts
