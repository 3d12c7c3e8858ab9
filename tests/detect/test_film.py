"""Cells of a whole slide: once and whole at seams, the same ones whatever the tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from tests.slides import Scene, real_scene, synthetic_scene, write_pages

from napari_wbc.detect.film import (
    WindowFinder,
    gather,
    parted,
    preset_of,
    see_block_steps,
    surest_first,
)
from napari_wbc.detect.film_plan import FilmPlan, has_contrast, plan_steps
from napari_wbc.detect.finders import make_detector
from napari_wbc.detect.hsv import HsvDetector
from napari_wbc.detect.look import Look, Seen
from napari_wbc.detect.mask_rcnn import DetectorPreset
from napari_wbc.detect.tiled import tile_steps
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.pyramid.base import Level, Region
from napari_wbc.imaging.pyramid.opening import open_pyramid
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, iou_matrix
from napari_wbc.model.progress import Progress, run

SIDES = (512, 1024, 2048)
PROGRESS = Progress("slide", 0, 1)


@pytest.fixture(scope="module")
def scene():
    return synthetic_scene(2400, n_fields=8, per_field=(1, 3), glass=0.2)


@pytest.fixture(scope="module")
def slide(scene, tmp_path_factory):
    return write_pages(tmp_path_factory.mktemp("slides") / "slide.tif", scene)


def locate(finder, path, plan, side, **options):
    with open_pyramid(path) as pyramid:
        blocks = plan.blocks(side, **options)
        seen = [run(see_block_steps(finder, pyramid, plan, block, PROGRESS)) for block in blocks]
    return gather(finder, seen, plan.shape).cells


def planned(finder, path):
    with open_pyramid(path) as pyramid:
        return run(plan_steps(pyramid, preset_of(finder)))


@pytest.fixture(scope="module")
def plan(slide):
    return planned(HsvDetector(), slide)


def test_cells_are_the_same_for_tiles_of_any_size(scene, slide, plan):
    finder = HsvDetector()
    first, *others = (locate(finder, slide, plan, side) for side in SIDES)
    assert len(first) > 20
    assert all(cells == first for cells in others)
    # Each drawn cell is found once, also across seams, of which there is one every 480 pixels.
    overlaps = iou_matrix(scene.cells(), [cell.bbox for cell in first])
    assert (overlaps > 0.3).sum(axis=1).max() == 1
    assert (overlaps.max(axis=1) >= 0.5).mean() >= 0.99


def test_the_order_of_tiles_changes_no_cell(slide, plan):
    finder = HsvDetector()
    part = {"area": shapely.box(0, 0, 1200, 1200)}
    by_chance = locate(finder, slide, plan, 512, order="random", seed=3, **part)
    assert len(by_chance) > 5
    assert by_chance == locate(finder, slide, plan, 512, **part)


@pytest.mark.parametrize("name", ["auto", "mask-rcnn"])
def test_a_slide_in_tiles_is_the_field_as_a_whole(name, tmp_path):
    scene = synthetic_scene(1000, n_fields=4, per_field=(3, 4))
    path = write_pages(tmp_path / "slide.tif", scene, levels=1)
    finder = make_detector(name, device="cpu")
    plan = planned(finder, path)
    tiled = locate(finder, path, plan, 512)
    image = scene.region(0, 0, *scene.shape)
    seen = run(tile_steps(image, plan.scale, plan.window, finder.see))
    whole = finder.gather(seen, plan.shape).cells
    assert len(whole) >= 10
    assert [cell.bbox for cell in tiled] == [cell.bbox for cell in whole]
    assert [cell.candidate for cell in tiled] == [cell.candidate for cell in whole]


@pytest.mark.real
def test_real_cells_on_a_film_are_those_of_the_fields_alone(real_data, tmp_path):
    scene = replace(real_scene(2000, real_data, n_fields=6), shape=(1200, 1920))
    path = write_pages(tmp_path / "real.tif", scene, levels=1)
    finder = make_detector("auto", device="cpu")
    cells = locate(finder, path, planned(finder, path), 512)
    truth = scene.cells()
    assert len(truth) >= 4
    found = iou_matrix(truth, [cell.bbox for cell in cells]).max(axis=1) >= 0.5
    alone = []
    for boxes, image in zip(scene.boxes, scene.fields, strict=True):
        seen = [cell.bbox for cell in finder.detect(image)]
        alone += (iou_matrix(boxes, seen).max(axis=1, initial=0) >= 0.5).tolist()
    assert found.mean() >= np.mean(alone) - 0.01


class Specks:
    """In place of a finder: each window shows a box at its middle, and one that all see."""

    name = "specks"

    def see(self, work, tile, shape, scale):
        row, col = (tile.top + tile.bottom) / 2 / scale, (tile.left + tile.right) / 2 / scale
        cells = (Detection(BBox(row, col, row + 20, col + 20), None, 0.9),)
        return Seen(Look.nothing(), cells)

    def gather(self, seen, shape):
        return HsvDetector().gather(seen, shape)


def test_many_clumps_are_put_together_as_all_at_once():
    rng = np.random.default_rng(0)
    cells = []
    for score in rng.permutation(3000) / 3000:
        top, left = rng.uniform(0, 4000, 2)
        cells.append(Detection(BBox(top, left, top + 60, left + 60), None, score))
    seen = Seen(Look.nothing(), tuple(cells))
    finder = HsvDetector()
    at_once = finder.gather([seen], (4100, 4100)).cells
    assert gather(finder, [seen], (4100, 4100)).cells == at_once
    assert gather(finder, [], (4100, 4100)).cells == ()


@pytest.mark.parametrize("side", SIDES)
def test_each_window_is_in_one_tile_and_in_its_region(side):
    plan = FilmPlan((3000, 5003), 0.7, 640)
    blocks = plan.blocks(side)
    windows = [window for block in blocks for window in block.windows]
    assert sorted(windows, key=lambda w: (w.top, w.left)) == list(plan.windows())
    for block in blocks:
        region = block.region
        assert 0 <= region.top < region.bottom <= 3000
        assert 0 <= region.left < region.right <= 5003
        # The tile, a window to its left and right at most.
        assert max(region.shape) <= side + 640 / 0.7 + 1


def test_a_meander_turns_at_each_end():
    places = [(block.row, block.col) for block in FilmPlan((2000, 3000), 1.0, 640).blocks(1024)]
    assert places == [(0, 0), (0, 1), (0, 2), (1, 2), (1, 1), (1, 0)]


def test_an_area_limits_the_windows():
    plan = FilmPlan((4000, 4000), 1.0, 640)
    area = shapely.box(1000, 500, 1100, 600)
    blocks = plan.blocks(512, area=area)
    windows = [window for block in blocks for window in block.windows]
    assert 0 < len(windows) <= 4
    assert all(w.left <= 1100 and w.right >= 1000 and w.top <= 600 for w in windows)


@pytest.mark.parametrize("options", [{"side": 100}, {"side": 10_000}, {"order": "spiral"}])
def test_impossible_tiles_are_refused(options):
    with pytest.raises(WbcError, match=r"tiles|Tiles"):
        FilmPlan((4000, 4000), 1.0, 640).blocks(**options)


class Blank:
    """A slide of bare glass."""

    path = "blank.tif"
    levels = (Level(5000, 5000, 1.0),)

    def __init__(self, pixel_size=None):
        self.pixel_size = pixel_size

    def read(self, level, region):
        return np.full((*region.shape, 3), 230, np.uint8)


def test_the_scale_of_a_slide_without_red_cells_is_by_its_pixel_size():
    plan = run(plan_steps(Blank(0.24), DetectorPreset()))
    assert plan.scale == pytest.approx(1.0)
    with pytest.raises(WbcError, match="no red cells"):
        run(plan_steps(Blank(), DetectorPreset()))


class Sparse:
    """A slide of bare glass but for one place, whose file tells a pixel size."""

    path = "sparse.tif"
    levels = (Level(20_000, 20_000, 1.0),)

    def __init__(self, film, pixel_size):
        self.film, self.pixel_size, self.reads = film, pixel_size, 0

    def read(self, level, region):
        self.reads += 1
        return self.film if self.reads == 1 else np.full_like(self.film, 230)


@pytest.mark.parametrize("pixel_size", [0.06, 0.25, 1.0, None])
def test_red_cells_go_before_the_pixel_size_of_the_file(pixel_size):
    film = synthetic_scene(1024, n_fields=3, per_field=(1, 2)).region(0, 0, 1024, 1024)
    preset = preset_of(HsvDetector())
    plan = run(plan_steps(Sparse(film, pixel_size), preset))
    assert 30 * plan.scale == pytest.approx(preset.red_cell, rel=0.2)
    wrong = pixel_size in (0.06, 1.0)
    assert ("which seems wrong" in plan.note) == wrong
    if wrong:
        assert f"{pixel_size:g} micrometres" in plan.note


def test_bare_glass_costs_no_look(scene):
    glass = np.full((640, 640, 3), 230, np.uint8)
    assert not has_contrast(glass)
    cell = glass.copy()
    cell[300:330, 300:330] = (120, 70, 150)
    assert has_contrast(cell)
    plan = FilmPlan((5000, 5000), 1.0, 640)
    block = plan.blocks(2048)[0]
    seen = run(see_block_steps(Specks(), Blank(), plan, block, PROGRESS))
    assert not seen.coloured


def test_a_step_follows_each_window(slide):
    finder = Specks()
    plan = FilmPlan((4000, 4000), 1.0, 640)
    block = plan.blocks(1024)[0]
    with open_pyramid(slide) as pyramid:
        steps = list(see_block_steps(finder, pyramid, plan, block, PROGRESS))
    assert len(steps) == len(block.windows)


def test_a_tile_that_cannot_be_read_is_an_error(slide):
    plan = FilmPlan((9000, 9000), 1.0, 640)
    with open_pyramid(slide) as pyramid, pytest.raises(ReadError, match="not inside"):
        run(see_block_steps(Specks(), pyramid, plan, plan.blocks(1024)[-1], PROGRESS))


def test_all_finders_look_through_windows():
    assert isinstance(HsvDetector(), WindowFinder)
    for name in ("auto", "mask-rcnn"):
        assert isinstance(make_detector(name, device="cpu"), WindowFinder)


def test_an_empty_scene_has_no_cells(tmp_path):
    scene = Scene((1500, 1500), (np.full((512, 512, 3), 235, np.uint8),), ((),))
    path = write_pages(tmp_path / "empty.tif", scene, levels=1)
    assert locate(HsvDetector(), path, FilmPlan((1500, 1500), 1.0, 640), 512) == ()
    with open_pyramid(path) as pyramid:
        assert pyramid.read(0, Region(0, 0, 9, 9)).shape == (9, 9, 3)


def test_what_tiles_to_come_cannot_change_is_settled(slide, plan):
    finder = HsvDetector()
    blocks = plan.blocks(512)
    settled = []
    waiting = Seen.joined([])
    with open_pyramid(slide) as pyramid:
        for done, block in enumerate(blocks, start=1):
            seen = run(see_block_steps(finder, pyramid, plan, block, PROGRESS))
            regions = [one.region for one in blocks[done:]]
            unseen = shapely.union_all(
                [shapely.box(one.left, one.top, one.right, one.bottom) for one in regions]
            )
            ready, waiting = parted(Seen.joined([waiting, seen]), unseen)
            settled += gather(finder, [ready], plan.shape).cells
            if done == len(blocks) // 2:
                assert len(settled) > 5
    assert not waiting.coloured
    assert surest_first(settled) == locate(finder, slide, plan, 512)
