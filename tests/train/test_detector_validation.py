"""Which boxes count for a cell finder, and the score from which its detections do."""

from __future__ import annotations

import numpy as np

from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, LEUKOCYTE
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.train.detector_validation import leukocyte_boxes, score_threshold
from napari_wbc.train.fields import TrainingField

SQUARE = np.array([(10.0, 10.0), (10.0, 30.0), (30.0, 30.0), (30.0, 10.0)])


def field(*labels, scale=1.0):
    rings = tuple(SQUARE + 40 * i for i in range(len(labels)))
    return TrainingField(
        np.zeros((9, 9, 3), np.uint8), scale, (200, 200), rings, labels, "val", "lab"
    )


def threshold(fields, detections):
    by_class = [{LEUKOCYTE: cells} for cells in detections]
    return score_threshold(fields, by_class, (LEUKOCYTE,), LEUKOCYTE)


def test_no_field_and_no_detection_have_a_threshold():
    assert threshold([], []) == 0.5
    assert threshold([field(1)], [()]) == 0.5
    wrong = Detection(BBox(100, 10, 130, 30), score=0.9)
    assert threshold([field()], [(wrong,)]) == 0.5


def test_a_few_clean_fields_are_no_reason_to_take_what_is_unsure():
    right = Detection(BBox(10, 10, 30, 30), score=0.99)
    assert threshold([field(1)], [(right,)]) == 0.5
    unsure = Detection(BBox(10, 10, 30, 30), score=0.3)
    assert threshold([field(1)], [(unsure,)]) < 0.3


def test_only_leukocytes_count_in_pixels_of_the_file():
    leukocyte = BLOOD_CLASSES.index(LEUKOCYTE) + 1
    others = [label for label in range(1, len(BLOOD_CLASSES) + 1) if label != leukocyte]
    one = field(leukocyte, *others, scale=0.5)
    assert leukocyte_boxes(one, BLOOD_CLASSES) == (BBox(20, 20, 60, 60),)


def test_a_cell_counts_for_one_detection():
    right = Detection(BBox(10, 10, 30, 30), score=0.92)
    twice = Detection(BBox(10, 11, 30, 31), score=0.62)
    assert 0.62 < threshold([field(1)], [(right, twice)]) <= 0.92


def test_scores_that_crowd_near_one_are_told_apart():
    right = Detection(BBox(10, 10, 30, 30), score=0.998)
    wrong = [Detection(BBox(100 + i, 10, 130, 30), score=0.98) for i in range(9)]
    assert 0.98 < threshold([field(1)], [(right, *wrong)]) <= 0.998
