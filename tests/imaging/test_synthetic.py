"""The synthetic smear: what it shows is what it says it shows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from skimage.draw import polygon2mask

from napari_wbc.errors import WbcError
from napari_wbc.imaging.synthetic import (
    FIVE_CLASSES,
    NORMAL_MIX,
    SmearField,
    synthetic_slide,
    synthetic_smear,
)
from napari_wbc.model.geometry import BBox
from napari_wbc.model.taxonomy import EIGHT_CLASSES

EVERY_CLASS = (*FIVE_CLASSES, "immature granulocyte", "erythroblast")


@pytest.fixture(scope="module")
def fields() -> tuple[SmearField, ...]:
    """Fields with every class, at three scales."""
    return tuple(
        synthetic_smear(seed, n_leukocytes=number, classes=EVERY_CLASS, scale=scale)
        for seed, (scale, number) in enumerate([(1, 7), (0.5, 14), (0.3, 28), (1, 7), (1, 7)])
    )


def iou(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_no_leukocytes() -> None:
    field = synthetic_smear(n_leukocytes=0)
    assert field.cells == ()
    assert not field.cell_mask.any()
    assert not field.nucleus_mask.any()
    assert field.image.std() > 5  # red cells are there


def test_no_classes_is_no_leukocytes() -> None:
    assert synthetic_smear(classes=()).cells == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (40, 30), (151, 700)])
def test_small_fields(shape: tuple[int, int]) -> None:
    field = synthetic_smear(shape=shape)
    assert field.image.shape == (*shape, 3)
    assert field.cell_mask.shape == field.nucleus_mask.shape == shape


def test_no_fields() -> None:
    assert synthetic_slide(n_fields=0) == ()


def test_kinds_of_array() -> None:
    field = synthetic_smear()
    assert field.image.dtype == np.uint8
    assert field.cell_mask.dtype == field.nucleus_mask.dtype == np.int32
    assert field.image.shape == (480, 640, 3)
    assert 1 <= len(field.cells) <= 4


def test_same_seed_same_pixels() -> None:
    first, second = synthetic_smear(7), synthetic_smear(7)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.nucleus_mask, second.nucleus_mask)
    assert first.cells == second.cells


def test_other_seed_other_pixels() -> None:
    assert (synthetic_smear(7).image != synthetic_smear(8).image).mean() > 0.5


def test_masks_number_the_cells(fields: tuple[SmearField, ...]) -> None:
    for field in fields:
        expected = list(range(len(field.cells) + 1))
        assert np.unique(field.cell_mask).tolist() == expected
        assert np.unique(field.nucleus_mask).tolist() == expected


def test_nuclei_lie_in_their_cells(fields: tuple[SmearField, ...]) -> None:
    for field in fields:
        nucleus = field.nucleus_mask > 0
        np.testing.assert_array_equal(field.nucleus_mask[nucleus], field.cell_mask[nucleus])
        areas = (
            np.bincount(field.nucleus_mask.ravel())[1:] / np.bincount(field.cell_mask.ravel())[1:]
        )
        assert areas.min() > 0.1
        assert areas.max() < 0.95


def test_outlines_agree_with_masks(fields: tuple[SmearField, ...]) -> None:
    for field in fields:
        for label, cell in enumerate(field.cells, 1):
            # polygon2mask tests the integer point of a pixel; its centre lies half a pixel further.
            drawn = polygon2mask(field.cell_mask.shape, cell.outline.array() - 0.5)
            assert len(cell.outline.vertices) == 32
            assert iou(drawn, field.cell_mask == label) > 0.95


def test_boxes_agree_with_masks(fields: tuple[SmearField, ...]) -> None:
    for field in fields:
        for label, cell in enumerate(field.cells, 1):
            pixels = np.argwhere(field.cell_mask == label)
            tight = BBox.around(np.concatenate([pixels, pixels + 1]))
            assert cell.bbox == cell.outline.bbox
            edges = ("top", "left", "bottom", "right")
            assert max(abs(getattr(cell.bbox, edge) - getattr(tight, edge)) for edge in edges) < 3
            assert cell.bbox.iou(tight) > 0.9


def test_cells_lie_inside_the_field(fields: tuple[SmearField, ...]) -> None:
    for field in fields:
        height, width = field.cell_mask.shape
        for cell in field.cells:
            assert cell.bbox.clipped(height, width) == cell.bbox


def test_sizes_follow_the_class_and_the_scale() -> None:
    def width(name: str, scale: float) -> float:
        fields = (
            synthetic_smear(seed, n_leukocytes=1, classes=[name], scale=scale) for seed in range(5)
        )
        return float(np.mean([field.cells[0].bbox.width for field in fields]))

    assert 70 < width("lymphocyte", 1) < 100 < width("monocyte", 1) < 140
    assert width("monocyte", 0.5) == pytest.approx(width("monocyte", 1) / 2, rel=0.1)


def test_each_class_once_in_a_round(fields: tuple[SmearField, ...]) -> None:
    for field in fields:
        counts = Counter(cell.cell_class for cell in field.cells)
        assert set(counts) == set(EVERY_CLASS) <= set(EIGHT_CLASSES.names)
        assert len(set(counts.values())) == 1


def test_only_the_classes_asked_for() -> None:
    field = synthetic_smear(n_leukocytes=3, classes=["monocyte"])
    assert [cell.cell_class for cell in field.cells] == ["monocyte"] * 3


def test_nuclei_are_the_darkest_and_glass_the_brightest(fields: tuple[SmearField, ...]) -> None:
    for field in fields:
        green = field.image[..., 1].astype(float)
        glass = np.percentile(green, 90)
        cytoplasm = (field.cell_mask > 0) & (field.nucleus_mask == 0)
        assert np.median(green[field.nucleus_mask > 0]) < 0.5 * glass
        assert 0.5 * glass < np.median(green[cytoplasm]) < 0.95 * glass


def test_some_leukocytes_touch() -> None:
    def gaps(field: SmearField) -> list[float]:
        points = [cell.outline.array() for cell in field.cells]
        return [
            float(np.linalg.norm(a[:, None] - b[None], axis=-1).min())
            for index, a in enumerate(points)
            for b in points[:index]
        ]

    nearest = [
        gap
        for field in synthetic_slide(n_fields=15, per_field=(4, 4), scale=0.5)
        for gap in gaps(field)
    ]
    assert any(gap < 5 for gap in nearest)
    assert any(gap > 20 for gap in nearest)


def test_slide_follows_its_mix() -> None:
    def share(mix: dict[str, float], name: str) -> float:
        slide = synthetic_slide(3, 30, mix=mix, per_field=(4, 4), shape=(120, 120), scale=0.2)
        cells = [cell.cell_class for field in slide for cell in field.cells]
        assert len(cells) == 120
        return cells.count(name) / len(cells)

    assert share(dict(NORMAL_MIX), "neutrophil") == pytest.approx(0.6, abs=0.15)
    assert share({"basophil": 1, "neutrophil": 0}, "basophil") == 1


def test_slide_has_one_light_and_other_cells() -> None:
    first, second = synthetic_slide(5, 2)
    light = [np.percentile(field.image, 95, axis=(0, 1)) for field in (first, second)]
    np.testing.assert_allclose(light[0], light[1], atol=8)
    assert first.cells != second.cells
    assert all(1 <= len(field.cells) <= 3 for field in (first, second))
    np.testing.assert_array_equal(first.image, synthetic_slide(5, 2)[0].image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "negative"),
        ({"shape": (0, 640)}, "no pixels"),
        ({"shape": (480, 640, 3)}, "no pixels"),
        ({"scale": 0.0}, "outside 0.2 to 10"),
        ({"scale": float("nan")}, "outside 0.2 to 10"),
        ({"n_leukocytes": -1}, "give 0 or more"),
        ({"n_leukocytes": 1, "classes": ()}, "0 classes"),
        ({"classes": ("platelet",)}, "No leukocyte is called platelet"),
        ({"n_leukocytes": 1, "shape": (50, 50)}, "no room"),
        ({"n_leukocytes": 100_000}, "no room"),
    ],
)
def test_impossible_smears(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(WbcError, match=message):
        synthetic_smear(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_fields": -1}, "Cannot draw -1 fields"),
        ({"per_field": (3, 1)}, "of 3 to 1 leukocytes"),
        ({"mix": {}}, "no mix"),
        ({"mix": {"neutrophil": 0.0}}, "no mix"),
        ({"mix": {"neutrophil": -1.0, "monocyte": 2.0}}, "no mix"),
        ({"mix": {"blast": 1.0}}, "No leukocyte is called blast"),
        ({"per_field": (2, 2), "shape": (50, 50)}, "no room"),
    ],
)
def test_impossible_slides(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(WbcError, match=message):
        synthetic_slide(**arguments)  # type: ignore[arg-type]
