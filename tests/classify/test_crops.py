"""Crops cut on the device are those of `cut_crops`, which training crops are cut with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wbc.classify import crops
from napari_wbc.classify.crops import cut
from napari_wbc.imaging.crop import background, cut_crops
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.geometry import BBox

SMEAR = synthetic_smear(3, shape=(180, 260), n_leukocytes=1).image
BOXES = {
    "inside": BBox(60, 80, 100, 125),
    "enlarged": BBox(60.5, 80.2, 71, 92),
    "as large as the crop": BBox(40, 60, 72, 92),
    "over the top left": BBox(-20, -30, 25, 30),
    "over the bottom right": BBox(150.7, 230, 200, 300),
    "tall": BBox(10, 100, 170, 110),
    "wide": BBox(90, 5, 96.5, 250),
    "tiny": BBox(50, 50, 50.1, 50.3),
    "the whole field": BBox(0, 0, 180, 260),
    "huge": BBox(-900, -800, 1100, 1000),
    "outside": BBox(400, 500, 440, 530),
    "before the field": BBox(-400, -500, -340, -430),
}


def edges(boxes):
    return np.array([(b.top, b.left, b.bottom, b.right) for b in boxes], dtype=float).reshape(-1, 4)


def tensor(field):
    return torch.tensor(field).permute(2, 0, 1)


def both(field, boxes, *, size=48, factor=1.5):
    """Crops of `cut` and of `cut_crops`, shape (N, size, size, 3), 0 to 255."""
    found = cut(tensor(field), edges(boxes), size=size, factor=factor, fill=background(field))
    return found.permute(0, 2, 3, 1).numpy() * 255, cut_crops(
        field, boxes, size=size, factor=factor
    )


def test_no_boxes_give_no_crops():
    crops_ = cut(tensor(SMEAR), edges([]), size=32, factor=1.5, fill=(0, 0, 0))
    assert crops_.shape == (0, 3, 32, 32)


@pytest.mark.parametrize("factor", [1, 1.5])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_one_crop_is_that_of_cut_crops(box, factor):
    found, expected = both(SMEAR, [box], size=32, factor=factor)
    np.testing.assert_allclose(found, expected, atol=1.5)  # grey levels, of which cut_crops rounds


def test_many_crops_keep_the_order_of_their_boxes():
    found, expected = both(SMEAR, list(BOXES.values()) * 3)
    np.testing.assert_allclose(found, expected, atol=1.5)


def test_few_pixels_at_once_make_no_difference(monkeypatch):
    whole, _ = both(SMEAR, list(BOXES.values()))
    monkeypatch.setitem(crops._PIXELS, "cpu", 2000)
    np.testing.assert_allclose(both(SMEAR, list(BOXES.values()))[0], whole, atol=1e-2)


def test_a_field_of_floats_gives_the_same_crops():
    arguments = {"size": 32, "factor": 1.5}
    fill = np.array(background(SMEAR))
    of_bytes = cut(tensor(SMEAR), edges(BOXES.values()), fill=fill, **arguments)
    of_floats = cut(
        tensor(SMEAR).float() / 255, edges(BOXES.values()), fill=fill / 255, **arguments
    )
    np.testing.assert_allclose(of_floats, of_bytes, atol=1e-5)


def test_planes_give_the_same_crops_as_pixels_side_by_side():
    arguments = {"size": 32, "factor": 1.5, "fill": (255, 255, 255)}
    planes = cut(tensor(SMEAR).contiguous(), edges(BOXES.values()), **arguments)
    np.testing.assert_array_equal(planes, cut(tensor(SMEAR), edges(BOXES.values()), **arguments))


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (40, 1, 3), (5, 7, 3)])
def test_small_fields(shape):
    field = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found, expected = both(field, [BBox(0, 0, 1, 1), BBox(-3, -3, 6, 6)], size=16)
    np.testing.assert_allclose(found, expected, atol=1.5)


@pytest.mark.real
@pytest.mark.parametrize(
    "name", ["bccd/JPEGImages/BloodImage_00001.jpg", "bccd/JPEGImages/BloodImage_00100.jpg"]
)
def test_real_fields(real_data, name):
    from napari_wbc.imaging.read import read_image

    field = read_image(real_data / name)
    rng = np.random.default_rng(0)
    corner, length = rng.uniform(-40, 600, (40, 2)), rng.uniform(5, 250, (40, 2))
    boxes = [BBox(*low, *(low + of)) for low, of in zip(corner, length, strict=True)]
    found, expected = both(field, boxes, size=80)
    assert np.abs(found - expected).mean(axis=(1, 2, 3)).max() < 0.5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_gives_the_crops_of_the_cpu():
    arguments = {"size": 32, "factor": 1.5, "fill": (255, 255, 255)}
    on_gpu = cut(tensor(SMEAR).cuda(), edges(BOXES.values()), **arguments).cpu()
    np.testing.assert_allclose(
        on_gpu, cut(tensor(SMEAR), edges(BOXES.values()), **arguments), atol=1e-3
    )
