"""Mask R-CNN: by a network that finds purple things for certain, then by untrained weights."""

from __future__ import annotations

from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import shapely
import torch

from napari_wbc.detect import mask_rcnn
from napari_wbc.detect.base import Detector
from napari_wbc.detect.mask_rcnn import (
    BLOOD_CLASSES,
    LEUKOCYTE,
    MIRRORED,
    DetectorPreset,
    MaskRcnnDetector,
    load_mask_rcnn,
)
from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.imaging.stain import white_balanced
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.geometry import BBox
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.container import split_card
from napari_wbc.weights.store import load_weights, save_weights


@pytest.fixture(autouse=True)
def _any_shade(monkeypatch, request):
    """Networks that say what they are told find it on blank fields too."""
    if "shade" not in request.fixturenames:
        monkeypatch.setattr(mask_rcnn, "is_stained", lambda _work, boxes: np.ones(len(boxes), bool))


SLIDE, PURPLE, RED = (240, 235, 230), (110, 60, 140), (215, 160, 155)


class Purple:
    """In place of a network: finds what is purple, cut by the edge or not, the larger the surer."""

    def __init__(self):
        self.shapes = []

    def __call__(self, images):
        (x,) = images
        self.shapes.append(tuple(x.shape))
        image = (x.numpy().transpose(1, 2, 0) * 0.25 + 0.6) * 255
        mask = (image[..., 1] < 140).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes, masks, scores = [], [], []
        for i, (left, top, width, height, area) in enumerate(stats.tolist()):
            if i and area > 9:
                part = (labels[top : top + height, left : left + width] == i).astype(np.float32)
                masks.append(cv2.resize(part, (28, 28), interpolation=cv2.INTER_AREA))
                boxes.append((left, top, left + width, top + height))
                scores.append(0.5 + min(width, height) / 2000)
        return [
            {
                "boxes": torch.tensor(boxes).float().reshape(-1, 4),
                "labels": torch.ones(len(boxes), dtype=torch.int64),
                "scores": torch.tensor(scores).float(),
                "masks": torch.from_numpy(np.array(masks, np.float32).reshape(-1, 1, 28, 28)),
            }
        ]


class Says:
    """In place of a network: says the same of every tile; boxes are (left, top, right, bottom)."""

    def __init__(self, *cells):
        self.cells = cells

    def __call__(self, _images):
        return [
            {
                "boxes": torch.tensor([box for box, _, _ in self.cells]).float().reshape(-1, 4),
                "labels": torch.tensor([label for _, label, _ in self.cells], dtype=torch.int64),
                "scores": torch.tensor([score for _, _, score in self.cells]).float(),
                "masks": torch.ones(len(self.cells), 1, 28, 28),
            }
        ]


def detector(network, classes=(LEUKOCYTE,), longest=512, tile=1280, **options):
    preset = asdict(DetectorPreset(longest=longest, tile=tile))
    card = ModelCard("fake", "2", "mask-rcnn/fake", classes, preset)
    return MaskRcnnDetector(network, card, "cpu", **options)


def slide(height, width, discs=(), color=PURPLE):
    """Discs (row, col, radius) on bright ground."""
    image = np.full((height, width, 3), SLIDE, np.uint8)
    for row, col, radius in discs:
        cv2.circle(image, (col, row), radius, color, -1, cv2.LINE_AA)
    return image


def box_of(row, col, radius):
    return BBox(row - radius, col - radius, row + radius + 1, col + radius + 1)


def same(box, *edges):
    return np.allclose((box.top, box.left, box.bottom, box.right), edges)


def check(cells, shape):
    """What holds of every detection."""
    assert [c.score for c in cells] == sorted((c.score for c in cells), reverse=True)
    for cell in cells:
        assert cell.bbox == cell.outline.bbox
        vertices = cell.outline.array()
        assert len(vertices) == 48
        assert shapely.Polygon(vertices).is_valid
        assert (vertices >= 0).all()
        assert (vertices <= np.array(shape[:2])).all()


def test_a_network_that_finds_nothing_gives_nothing():
    assert detector(Says()).detect(slide(60, 80)) == ()
    empty = dict.fromkeys(BLOOD_CLASSES, ())
    assert detector(Says(), BLOOD_CLASSES).survey(slide(60, 80)) == empty
    assert detector(Says(), tile=512, longest=1000).detect(slide(100, 1000)) == ()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 3), np.float32),
        np.zeros((0, 9, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_image_is_refused(image):
    with pytest.raises(WbcError, match="uint8"):
        detector(Purple()).detect(image)


@pytest.mark.parametrize("name", ["score", "overlap"])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_a_parameter_outside_0_to_1_is_refused(name, value):
    with pytest.raises(WbcError, match=f"{name} .* outside 0 to 1"):
        detector(Says(), **{name: value})


def test_it_is_a_detector_named_after_its_weights():
    one = detector(Says())
    assert isinstance(one, Detector)
    assert one.name == "mask-rcnn/fake 2 ()"
    assert detector(Says(), BLOOD_CLASSES).classes == BLOOD_CLASSES


@pytest.mark.parametrize("longest", [200, 400, 800, 1600])
def test_cells_lie_in_pixels_of_the_field_at_whatever_scale(longest):
    discs = [(150, 200, 60), (420, 610, 40), (440, 120, 25)]
    image = slide(600, 800, discs)
    cells = detector(Purple(), longest=longest).detect(image)
    check(cells, image.shape)
    assert len(cells) == 3
    for cell, (row, col, radius) in zip(cells, discs, strict=True):
        edges = np.abs(np.subtract(cell.bbox.corners(), box_of(row, col, radius).corners()))
        assert edges.max() <= 1 + 800 / min(longest, 800)
        whole = shapely.Point(row + 0.5, col + 0.5).buffer(radius + 0.5)
        found = shapely.Polygon(cell.outline.vertices)
        assert whole.intersection(found).area / whole.union(found).area > 0.8


def test_rows_and_columns_are_not_exchanged():
    image = slide(300, 500)
    image[40:80, 350:470] = PURPLE
    (cell,) = detector(Purple()).detect(image)
    assert np.abs(np.subtract(cell.bbox.corners(), BBox(40, 350, 80, 470).corners())).max() <= 1


def test_scores_below_the_least_are_left_out():
    network = Says(((0, 0, 9, 9), 1, 0.25), ((20, 0, 29, 9), 1, 0.5), ((40, 0, 49, 9), 1, 0.75))
    scores = [c.score for c in detector(network, score=0.5).detect(slide(60, 80))]
    assert scores == [0.75, 0.5]
    assert len(detector(network, score=0).detect(slide(60, 80))) == 3


def test_of_two_boxes_of_a_class_that_overlap_the_surer_is_kept():
    network = Says(((0, 0, 20, 20), 1, 0.6), ((0, 5, 20, 25), 1, 0.9))  # an IoU of 0.6
    (cell,) = detector(network).detect(slide(60, 80))
    assert same(cell.bbox, 5, 0, 25, 20)
    assert len(detector(network, overlap=0.7).detect(slide(60, 80))) == 2


def test_classes_do_not_suppress_each_other():
    place = (20, 20, 40, 40)  # in the mirrored field, which begins 10 pixels sooner
    network = Says((place, 1, 0.6), (place, 3, 0.9), ((50, 20, 60, 30), 2, 0.8))
    found = detector(network, BLOOD_CLASSES).survey(slide(60, 80))
    assert {name: len(cells) for name, cells in found.items()} == dict.fromkeys(BLOOD_CLASSES, 1)
    assert same(found[LEUKOCYTE][0].bbox, 10, 10, 30, 30)
    assert same(found["platelet"][0].bbox, 10, 10, 30, 30)
    assert same(found["red cell"][0].bbox, 10, 40, 20, 50)


def test_slivers_are_left_out_and_boxes_cut_at_the_field():
    network = Says(
        ((10, 10, 10.5, 40), 1, 0.9), ((-5, -5, 20, 30), 1, 0.8), ((70, 50, 99, 99), 1, 0.7)
    )
    cells = detector(network).detect(slide(60, 80))
    assert len(cells) == 2
    assert same(cells[0].bbox, 0, 0, 30, 20)
    assert same(cells[1].bbox, 50, 70, 60, 80)


def test_a_large_field_is_looked_at_in_tiles():
    network = Purple()
    image = slide(600, 1100, [(100, 100, 40), (500, 1000, 40), (300, 400, 40)])
    cells = detector(network, longest=1100, tile=512).detect(image)
    assert network.shapes == [(3, 512, 512)] * 6
    assert len(cells) == 3
    truths = [box_of(100, 100, 40), box_of(500, 1000, 40), box_of(300, 400, 40)]
    assert min(max(truth.iou(c.bbox) for c in cells) for truth in truths) > 0.95


@pytest.mark.parametrize("radius", [12, 40, 150])
def test_a_cell_at_the_edge_of_a_tile_is_found_once_and_whole(radius):
    wrong = []  # the tiles end at the columns 192 and 512
    for col in range(160, 545, 16 if radius > 100 else 9):
        cells = detector(Purple(), longest=704, tile=512).detect(
            slide(320, 704, [(160, col, radius)])
        )
        if len(cells) != 1 or cells[0].bbox.iou(box_of(160, col, radius)) < 0.95:
            wrong.append((col, [c.bbox for c in cells]))
    assert wrong == []


def test_a_cell_at_the_edge_of_the_field_is_found_though_it_is_cut():
    discs = [(0, 300, 40), (319, 640, 40), (160, 0, 40), (160, 703, 40)]
    image = slide(320, 704, discs)
    cells = detector(Purple(), longest=704, tile=512).detect(image)
    assert len(cells) == 4
    check(cells, image.shape)


def test_a_red_cell_cut_by_the_edge_is_shown_whole_to_the_network():
    class RedCells(Purple):
        def __call__(self, images):
            (output,) = super().__call__(images)
            return [{**output, "labels": 2 * output["labels"]}]

    network = RedCells()
    image = slide(320, 512, [(0, 300, 15), (160, 0, 15), (319, 200, 15)])
    cells = detector(network, BLOOD_CLASSES).survey(image)["red cell"]
    assert network.shapes == [(3, 320 + 2 * MIRRORED, 512 + 2 * MIRRORED)]
    check(cells, image.shape)
    truths = [BBox(0, 285, 16, 316), BBox(145, 0, 176, 16), BBox(304, 185, 320, 216)]
    for truth in truths:
        assert max(truth.iou(cell.bbox) for cell in cells) > 0.85


def test_less_of_a_red_cell_than_can_be_told_is_left_out():
    mirrored = ((40, 0, 60, 13), 2, 0.9), ((80, 0, 100, 17), 2, 0.8)
    cells = detector(Says(*mirrored), BLOOD_CLASSES).survey(slide(120, 160))["red cell"]
    assert [cell.score for cell in cells] == pytest.approx([0.8])
    assert same(cells[0].bbox, 0, 70, 7, 90)


def test_a_part_of_a_red_cell_is_not_a_second_one():
    whole, part, beside = (20, 20, 50, 50), (20, 34, 34, 50), (60, 20, 74, 36)
    network = Says((whole, 2, 0.9), (part, 2, 0.8), (part, 3, 0.7), (beside, 2, 0.6))
    found = detector(network, BLOOD_CLASSES).survey(slide(120, 160))
    assert [cell.score for cell in found["red cell"]] == pytest.approx([0.9, 0.6])
    assert len(found["platelet"]) == 1


def test_the_field_is_left_alone():
    image = slide(300, 400, [(150, 200, 60)])
    before = image.copy()
    detector(Purple()).detect(image)
    assert (image == before).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (40, 60)])
def test_a_small_field_is_balanced_and_not_scaled(shape):
    image = np.random.default_rng(0).integers(120, 250, (*shape, 3), dtype=np.uint8)
    work, scale = DetectorPreset(longest=64).prepare(image)
    assert scale == 1
    np.testing.assert_array_equal(work, white_balanced(image))


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (3, 2000), (2000, 1)])
def test_a_large_field_is_shrunk_to_its_longest_side(shape):
    work, scale = DetectorPreset(longest=100).prepare(np.full((*shape, 3), 200, np.uint8))
    assert max(work.shape[:2]) == 100
    assert scale == 100 / max(shape)
    assert min(work.shape[:2]) == max(1, round(min(shape) * scale))


@pytest.mark.parametrize("size", [0.3, 0.6, 1.0, 2.0])
def test_red_cells_are_as_wide_as_asked_at_every_magnification(size):
    smear = synthetic_smear(0, n_leukocytes=0).image  # with red cells of 67 pixels
    field = cv2.resize(smear, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    work, scale = DetectorPreset(red_cell=30).prepare(field)
    assert work.shape[:2] == tuple(round(n * scale) for n in field.shape[:2])
    assert 22 <= 67 * size * scale <= 40


def test_a_field_is_enlarged_three_times_at_most():
    smear = synthetic_smear(0, n_leukocytes=0, shape=(1200, 1200)).image
    field = cv2.resize(smear, None, fx=0.1, fy=0.1, interpolation=cv2.INTER_AREA)
    assert DetectorPreset().scales(field) == (3.0,)


def test_a_field_of_doubtful_scale_is_enlarged_twice_at_most(monkeypatch):
    monkeypatch.setattr(mask_rcnn, "red_cell_diameters", lambda image: (60.0, 5.0))
    assert DetectorPreset().scales(np.zeros((9, 9, 3), np.uint8)) == (0.5, 2.0)


def test_cells_lie_in_pixels_of_the_field_when_it_is_enlarged():
    field = synthetic_smear(0, shape=(96, 128), n_leukocytes=0, scale=0.2).image
    one = detector(Says(((30, 45, 60, 90), 1, 0.9)), longest=128)
    scale = DetectorPreset.of(one.card).scales(field)[0]
    assert scale > 1.1
    (cell,) = one.detect(field)
    np.testing.assert_allclose(cell.bbox.corners() * scale, BBox(45, 30, 90, 60).corners())


def test_the_scale_of_older_models_is_measured_too():
    preset = {"longest": 512, "finest": 14.0, "largest": 1.5, "tile": 1280}
    card = ModelCard("older", "1", "mask-rcnn/fake", (LEUKOCYTE,), preset)
    assert DetectorPreset.of(card) == DetectorPreset(tile=1280)


def test_the_networks_input_is_about_zero_mean():
    work = np.full((4, 6, 3), 153, np.uint8)
    work[0, 1] = (255, 0, 153)
    x = DetectorPreset.tensor(work)
    assert (x.shape, x.dtype) == ((3, 4, 6), torch.float32)
    torch.testing.assert_close(x[:, 0, 1], torch.tensor([1.6, -2.4, 0.0]))


@pytest.mark.parametrize("wrong", [{"tile": 160}, {"tile": 100}, {"longest": 0}])
def test_an_impossible_preset_is_refused(wrong):
    with pytest.raises(WbcError):
        DetectorPreset(**wrong)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.full((3, 2000, 3), 200, np.uint8),
        np.zeros((80, 60, 3), np.uint8),
        np.full((80, 60, 3), 255, np.uint8),
        slide(90, 96, [(40, 50, 20)]),
    ],
    ids=["one pixel", "a line", "black", "white", "a cell"],
)
def test_whatever_the_image_detections_are_sound(image, detector_weights):
    one = load_mask_rcnn(detector_weights, device="cpu", parameters={"score": 0.0})
    cells = one.detect(image)
    check(cells, image.shape)
    assert cells == one.detect(image)


def test_weights_are_loaded_with_their_threshold(detector_weights):
    card = load_weights(detector_weights)[1]
    one = load_mask_rcnn(detector_weights, device="cpu")
    assert (one.card, one.score, one.classes) == (card, card.threshold, (LEUKOCYTE,))
    assert one.name == f"mask-rcnn/{card.model_id}"
    other = load_mask_rcnn(
        str(detector_weights), device="cpu", parameters={"score": 0.9, "overlap": 0.1}
    )
    assert (other.score, other.overlap) == (0.9, 0.1)


def test_the_network_of_a_file_is_read_once_until_the_file_changes(tmp_path, detector_weights):
    tensors, card = load_weights(detector_weights)
    path = tmp_path / "own.safetensors"
    save_weights(path, tensors, card)
    first = load_mask_rcnn(path, device="cpu")
    assert load_mask_rcnn(path, device="cpu", parameters={"score": 0.1}).network is first.network
    save_weights(path, tensors, replace(card, version="2"))
    assert load_mask_rcnn(path, device="cpu").card.version == "2"


@pytest.mark.parametrize(
    "parameters", [{"score": -0.1}, {"overlap": 2}, {"scores": 0.5}, {"device": 1}]
)
def test_an_impossible_parameter_is_refused(parameters, detector_weights):
    with pytest.raises(WbcError):
        load_mask_rcnn(detector_weights, device="cpu", parameters=parameters)


@pytest.mark.parametrize("name", ["cdnn", "tiny"])
def test_weights_of_a_classifier_are_refused(name, weights):
    with pytest.raises(WeightsError, match="weights of 'cdnn', not of a Mask R-CNN"):
        load_mask_rcnn(name if name == "cdnn" else weights, device="cpu")


@pytest.mark.parametrize("lost", ["file", "card"])
def test_what_is_missing_is_said(lost, tmp_path, detector_weights):
    path = tmp_path / "own.safetensors"
    save_weights(path, *load_weights(detector_weights))
    if lost == "card":
        path.write_bytes(split_card(path.read_bytes())[0])
    else:
        path.unlink()
    with pytest.raises(WeightsError, match="own"):
        load_mask_rcnn(path, device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": BLOOD_CLASSES}, "do not fit"),
        ({"preset": {"longest": 96, "later": 1}}, "do not fit"),
        ({"architecture": "mask-rcnn/vgg19"}, "No backbone 'vgg19'"),
        ({"architecture": "mask-rcnn"}, "No backbone ''"),
        ({"classes": ("nucleus",)}, LEUKOCYTE),
    ],
    ids=["classes", "preset", "backbone", "no backbone", "no leukocytes"],
)
def test_weights_that_do_not_fit_their_card_are_refused(
    change, message, tmp_path, detector_weights
):
    tensors, card = load_weights(detector_weights)
    path = tmp_path / "own.safetensors"
    save_weights(path, tensors, replace(card, **change))
    with pytest.raises(WbcError, match=message):
        load_mask_rcnn(path, device="cpu")


def test_a_tensor_too_few_is_refused(tmp_path, detector_weights):
    tensors, card = load_weights(detector_weights)
    tensors.pop("roi_heads.box_predictor.cls_score.weight")
    save_weights(tmp_path / "own.safetensors", tensors, card)
    with pytest.raises(WeightsError, match="do not fit"):
        load_mask_rcnn(tmp_path / "own.safetensors", device="cpu")


def test_an_unknown_device_is_refused(detector_weights):
    with pytest.raises(WbcError, match="choose auto, cpu or cuda"):
        load_mask_rcnn(detector_weights, device="abacus")


@pytest.fixture
def shade():
    """Cells are told from glass by their shade, as always but in the other tests here."""


@pytest.mark.usefixtures("shade")
def test_glass_is_no_leukocyte_and_may_be_a_platelet():
    field = np.full((96, 128, 3), SLIDE, np.uint8)
    field[10:30, 10:30] = PURPLE
    purple = (20, 20, 40, 40)  # in the mirrored field, which begins 10 pixels sooner
    glass = (70, 60, 100, 90)
    boxes = ((purple, 1, 0.9), (glass, 1, 0.9), (glass, 3, 0.9))
    found = detector(Says(*boxes), classes=BLOOD_CLASSES).survey(field)
    assert {name: len(cells) for name, cells in found.items()} == {
        LEUKOCYTE: 1,
        "red cell": 0,
        "platelet": 1,
    }
