"""The colour detector: drawn scenes first, then real fields."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from napari_wbc.detect.base import Detector
from napari_wbc.detect.hsv import (
    PRESETS,
    HsvDetector,
    NucleusParameters,
    YoussefParameters,
    locate_one,
)
from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, iou_matrix

Image = npt.NDArray[np.uint8]
SLIDE, RED, CYTOPLASM, NUCLEUS = (222, 222, 212), (205, 165, 158), (190, 170, 205), (110, 80, 180)


def scene(height: int = 360, width: int = 480, red: int = 40) -> Image:
    """Red cells of ``red`` pixels on a grid, pale in their middle, none in the central part."""
    image = np.full((height, width, 3), SLIDE, np.uint8)
    for row in range(red, height, round(1.6 * red)):
        for col in range(red, width, round(1.6 * red)):
            if max(abs(row - height / 2) / height, abs(col - width / 2) / width) > 0.3:
                cv2.circle(image, (col, row), red // 2, RED, -1)
                cv2.circle(image, (col, row), red // 6, (214, 195, 188), -1)
    return image


def draw_cell(image: Image, row: float, col: float, radius: float, *, lobes: int = 1) -> BBox:
    """Draw a white cell, and return the box of the whole of it, inside the image or not."""
    cv2.circle(image, (round(col), round(row)), round(radius), CYTOPLASM, -1)
    for k in range(lobes):
        angle, away = 2 * np.pi * k / lobes, 0.0 if lobes == 1 else 0.5 * radius
        place = round(col + away * np.cos(angle)), round(row + away * np.sin(angle))
        cv2.circle(image, place, round(radius * (0.65 if lobes == 1 else 0.3)), NUCLEUS, -1)
    box = BBox(row - radius, col - radius, row + radius + 1, col + radius + 1)
    return box.clipped(*image.shape[:2])


def found(image: Image, **settings: float) -> tuple[Detection, ...]:
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    return HsvDetector(parameters=NucleusParameters(**settings)).detect(soft)


def crosses(vertices: npt.NDArray[np.float64]) -> bool:
    """Whether a closed polygon crosses itself, by brute force."""
    a, b = vertices, np.roll(vertices, -1, axis=0)

    def side(
        p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], r: npt.NDArray[np.float64]
    ) -> float:
        return float(np.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])))

    return any(
        side(a[i], b[i], a[j]) * side(a[i], b[i], b[j]) < 0
        and side(a[j], b[j], a[i]) * side(a[j], b[j], b[i]) < 0
        for i in range(len(a))
        for j in range(i)
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 300, 3), (60, 80, 3), (480, 640, 3)])
def test_blank_image_has_no_cell(preset: str, grey: int, shape: tuple[int, ...]) -> None:
    image = np.full(shape, grey, np.uint8)
    assert HsvDetector(preset).detect(image) == ()
    assert locate_one(image) is None


def test_red_cells_are_no_leukocytes() -> None:
    assert found(scene()) == ()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 3), np.float32),
        np.zeros((0, 9, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_image_is_refused(image: Image) -> None:
    with pytest.raises(WbcError, match="uint8"):
        HsvDetector().detect(image)
    with pytest.raises(WbcError, match="uint8"):
        locate_one(image)


def test_names_and_choices() -> None:
    assert isinstance(HsvDetector(), Detector)
    assert [HsvDetector(preset).name for preset in PRESETS] == ["hsv/nucleus", "hsv/youssef-2024"]
    with pytest.raises(WbcError, match="nucleus, youssef-2024"):
        HsvDetector("otsu")
    with pytest.raises(WbcError, match="YoussefParameters"):
        HsvDetector("youssef-2024", NucleusParameters())


@pytest.mark.parametrize("kind", [NucleusParameters, YoussefParameters])
def test_every_parameter_describes_its_slider(
    kind: type[NucleusParameters | YoussefParameters],
) -> None:
    for field in dataclasses.fields(kind):
        about = field.metadata
        assert about["min"] <= field.default <= about["max"]
        assert about["step"] > 0
        assert about["help"].endswith(".")


@pytest.mark.parametrize("lobes", [1, 3])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 4.0])
def test_whole_cell_is_outlined_at_every_magnification(scale: float, lobes: int) -> None:
    image = scene(round(360 * scale), round(480 * scale), round(40 * scale))
    truth = draw_cell(image, 180 * scale, 240 * scale, 38 * scale, lobes=lobes)
    (cell,) = found(image)
    assert cell.bbox.iou(truth) > 0.8
    assert cell.score > 0.5


def test_outline_is_simple_and_its_bounds_are_the_box() -> None:
    image = scene()
    draw_cell(image, 180, 240, 40)
    draw_cell(image, 60, 478, 40)
    for cell in found(image):
        assert cell.outline is not None
        vertices = cell.outline.array()
        assert 16 <= len(vertices) <= 64
        assert cell.outline.bbox == cell.bbox
        assert (vertices >= 0).all()
        assert (vertices <= image.shape[:2]).all()
        assert not crosses(vertices)


def test_cells_come_in_descending_order_of_score() -> None:
    image = scene()
    truths = [draw_cell(image, 130, 180, 36), draw_cell(image, 230, 300, 24)]
    cells = found(image)
    assert [cell.score for cell in cells] == sorted((cell.score for cell in cells), reverse=True)
    assert iou_matrix(truths, [cell.bbox for cell in cells]).max(axis=1).min() > 0.7


def test_touching_cells_are_parted() -> None:
    image = scene()
    truths = [draw_cell(image, 180, 206, 34), draw_cell(image, 180, 275, 34)]
    cells = found(image)
    assert len(cells) == 2
    assert iou_matrix(truths, [cell.bbox for cell in cells]).max(axis=1).min() > 0.7


def test_platelets_are_ignored() -> None:
    image = scene()
    draw_cell(image, 180, 240, 36)
    for row, col in ((120, 190), (235, 300), (230, 180), (125, 295)):
        cv2.circle(image, (col, row), 6, NUCLEUS, -1)
    assert len(found(image)) == 1


@pytest.mark.parametrize(("row", "col"), [(8, 240), (350, 240), (180, 470), (4, 476)])
def test_cell_at_the_border_is_cut_there(row: int, col: int) -> None:
    image = scene()
    truth = draw_cell(image, row, col, 40)
    (cell,) = found(image, score=0.2)
    assert cell.bbox.iou(truth) > 0.6
    assert cell.bbox == cell.bbox.clipped(*image.shape[:2])


def test_vignetting_and_a_cast_change_little() -> None:
    image = scene()
    truth = draw_cell(image, 150, 210, 36)
    rows, cols = np.mgrid[-1:1:360j, -1:1:480j]
    light = (1 - 0.3 * (rows**2 + cols**2))[..., None] * np.array([1.0, 0.85, 0.8])
    (cell,) = found((image * light).astype(np.uint8))
    assert cell.bbox.iou(truth) > 0.75


def test_the_image_is_left_alone() -> None:
    image = scene()
    draw_cell(image, 180, 240, 36)
    before = image.copy()
    first = [HsvDetector(preset).detect(image) for preset in PRESETS]
    assert (image == before).all()
    assert first == [HsvDetector(preset).detect(image) for preset in PRESETS]


@pytest.mark.parametrize("radius", [7, 14, 22, 34])
def test_locate_one_takes_the_central_cell_of_any_size(radius: int) -> None:
    image = np.full((137, 136, 3), SLIDE, np.uint8)
    for row, col in ((14, 20), (16, 110), (118, 20), (120, 116), (14, 66), (122, 70)):
        cv2.circle(image, (col, row), 12, RED, -1)
    cv2.circle(image, (122, 66), 6, NUCLEUS, -1)
    truth = draw_cell(image, 68, 67, radius)
    cell = locate_one(cv2.GaussianBlur(image, (0, 0), 0.8))
    assert cell is not None
    assert cell.bbox.iou(truth) > 0.6


def test_locate_one_asks_the_detector_it_is_given() -> None:
    class Two:
        name = "two"

        def detect(self, image: Image) -> tuple[Detection, ...]:
            return Detection(BBox(0, 0, 9, 9)), Detection(BBox(40, 45, 60, 55))

    image = np.zeros((100, 100, 3), np.uint8)
    assert locate_one(image, Two()) == Detection(BBox(40, 45, 60, 55))


def youssef(image: Image) -> tuple[int, int, int, int] | None:
    """Return the recipe's box as (top, left, bottom, right), written anew from its text."""
    hsv = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2HSV)
    mask = (hsv >= (80, 60, 140)).all(axis=-1).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    x, y, width, height = cv2.boundingRect(sorted(contours, key=cv2.contourArea)[-1])
    return y, x, y + height, x + width


@pytest.mark.parametrize("seed", range(4))
def test_youssef_agrees_with_the_recipe(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = scene()
    for row, col, radius in zip(
        rng.integers(60, 300, 3), rng.integers(60, 420, 3), (20, 30, 40), strict=True
    ):
        draw_cell(image, row, col, radius)
    (cell,) = HsvDetector("youssef-2024").detect(image)
    box = cell.bbox
    assert (box.top, box.left, box.bottom, box.right) == youssef(image)
    assert cell.outline is not None
    assert 16 <= len(cell.outline.vertices) <= 64
    assert np.abs(np.subtract(cell.outline.bbox.corners(), box.corners())).max() <= 1
    assert 0 < cell.score <= 1


def test_youssef_finds_a_single_pixel() -> None:
    image = np.full((20, 20, 3), 255, np.uint8)
    image[9:12, 9:12] = (90, 60, 200)
    (cell,) = HsvDetector("youssef-2024", YoussefParameters(blur=1)).detect(image)
    assert cell.bbox == BBox(9, 9, 12, 12)


def split_of(folder: Path, split: str) -> list[str]:
    with (folder / "splits.csv").open(newline="", encoding="utf-8") as file:
        return [row["image"] for row in csv.DictReader(file) if row["split"] == split]


def rgb(path: Path) -> Image:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@pytest.mark.real
def test_bccd_test_fields(real_data: Path) -> None:
    folder, best = real_data / "bccd", []
    for name in [n for n in split_of(folder, "test") if "00177" not in n][:20]:
        number = Path(name).stem.removeprefix("BloodImage_")
        mask = cv2.imread(
            str(folder / "masks" / f"BloodImage_Mask_{number}.png"), cv2.IMREAD_GRAYSCALE
        )
        stats = cv2.connectedComponentsWithStats((mask > 60).astype(np.uint8))[2][1:]
        truths = [BBox(y, x, y + h, x + w) for x, y, w, h, area in stats.tolist() if area >= 200]
        cells = HsvDetector().detect(rgb(folder / "JPEGImages" / f"BloodImage_{number}.jpg"))
        overlaps = iou_matrix(truths, [cell.bbox for cell in cells])
        best += overlaps.max(axis=1, initial=0).tolist()
    assert np.mean(best) > 0.75
    assert np.mean(np.array(best) >= 0.5) >= 0.9


@pytest.mark.real
def test_chula_test_fields(real_data: Path) -> None:
    folder, best = real_data / "chula_wbc", []
    for name in split_of(folder, "test")[::6]:
        image = rgb(folder / "images" / name)
        height, width = image.shape[:2]
        rows = [
            line.split()
            for line in (folder / "labels" / f"{Path(name).stem}.txt").read_text().splitlines()
        ]
        boxes = [[float(v) for v in row[1:]] for row in rows if row]
        truths = [
            BBox(
                (y - h / 2) * height, (x - w / 2) * width, (y + h / 2) * height, (x + w / 2) * width
            )
            for x, y, w, h in boxes
        ]
        cells = HsvDetector().detect(image)
        best += iou_matrix(truths, [cell.bbox for cell in cells]).max(axis=1, initial=0).tolist()
    assert np.mean(np.array(best) >= 0.5) >= 0.75
