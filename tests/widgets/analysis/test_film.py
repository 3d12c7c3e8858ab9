"""A scanned film in the window: shown by levels, analyzed by region, reviewed meanwhile."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from tests.slides import synthetic_scene, write_pages
from tests.widgets.conftest import FakeClassifier

from napari_wbc.contrib.reader import get_reader
from napari_wbc.detect.hsv import HsvDetector
from napari_wbc.imaging.pyramid import opening
from napari_wbc.imaging.read import open_slide
from napari_wbc.layers.region import region_layer
from napari_wbc.layers.zones import clear_zones, zones_layer
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.words import counted
from napari_wbc.pipeline.film import analyze as film_module
from napari_wbc.pipeline.film.analyze import FilmOptions
from napari_wbc.widgets.analysis import landing as landing_module
from napari_wbc.widgets.analysis.film import MONOLAYER, REGION, WHOLE

SIDE = 900
DETECTION = Detection(BBox(870, 870, 890, 890))
"""At the corner, where the film is bare."""


@pytest.fixture(scope="module")
def scene():
    return synthetic_scene(SIDE, n_fields=4, per_field=(2, 3))


@pytest.fixture
def film(scene, tmp_path, monkeypatch):
    """A film of 900 pixels, which is a whole slide here, in tiles of 256."""
    monkeypatch.setattr(opening, "MAX_PIXELS", 500_000)
    monkeypatch.setattr(film_module.FilmOptions.__init__, "__defaults__", tiles_of_256())
    return write_pages(tmp_path / "film.tif", scene, levels=3)


def tiles_of_256():
    return (256, *FilmOptions.__init__.__defaults__[1:])


@pytest.fixture
def opened(bench, film, wait, monkeypatch):
    monkeypatch.setattr(
        "napari_wbc.pipeline.locate.make_detector", lambda *_args, **_kw: HsvDetector()
    )
    monkeypatch.setattr(FakeClassifier, "threshold", 0.0, raising=False)
    bench.open_slide(open_slide(film))
    wait(bench)
    return bench


def test_a_film_is_shown_by_levels_and_a_field_after_it(opened, slide, wait, tmp_path):
    layer = opened.view.image_layer
    assert layer.multiscale
    assert [level.shape[0] for level in layer.data] == [900, 450, 225]
    assert opened.view.extent == (SIDE, SIDE)
    assert opened.analysis.film.isVisibleTo(opened.analysis)
    opened.open_slide(slide)
    wait(opened)
    assert not opened.view.image_layer.multiscale
    assert layer not in opened.viewer.layers
    assert not opened.analysis.film.isVisibleTo(opened.analysis)


def test_the_reader_s_layer_is_taken_as_it_is(bench, film, wait):
    pixels, meta, _kind = get_reader(str(film))(str(film))[0]
    layer = bench.viewer.add_image(pixels, **meta)
    wait(bench)
    assert bench.session.slide == open_slide(film)
    assert bench.view.image_layer == layer
    assert [one.name for one in bench.viewer.layers] == ["film", "cells"]


def test_cells_come_while_tiles_are_worked_on_and_a_label_stays(opened, scene, wait, qtbot):
    session = opened.session
    opened.analysis.run.click()
    qtbot.waitUntil(lambda: len(session.table) > 0, timeout=60_000)
    early = set(session.table)
    assert opened.analysis.jobs.running
    chosen = next(iter(early))
    session.select([chosen])
    opened.actions.label("monocyte")
    wait(opened)
    assert session.table[chosen].label == "monocyte"
    assert early <= set(session.table)
    assert len(session.table) >= len(scene.cells()) - 1
    assert opened.view.binding.layer.nshapes == len(session.table)
    assert not list(opened.project.path.parent.glob("*.tiles"))
    # All of a run without a person in between is one step.
    while session.undo():
        pass
    assert not session.table


def test_a_cancelled_analysis_says_so_and_goes_on(opened, wait, qtbot, monkeypatch):
    session = opened.session
    opened.analysis.run.click()
    qtbot.waitUntil(lambda: len(session.table) > 0, timeout=60_000)
    opened.jobs.cancel_button.click()
    wait(opened)
    part = set(session.table)
    assert part
    (looked_at,) = opened.analysis._kept_note()["looked_at"].values()
    assert "has not been finished" in looked_at
    assert f"kept: {counted(len(part))}. " in opened.status.text()
    assert "goes on with the next tile" in opened.status.text()
    looks = []
    see = film_module.Locate.steps
    monkeypatch.setattr(
        film_module.Locate, "steps", lambda self, *at: looks.append(self) or see(self, *at)
    )
    opened.analysis.run.click()
    wait(opened)
    tiles = len(film_module.FilmPlan((SIDE, SIDE), 1.0, 640).blocks(256))
    assert len(looks) < tiles
    assert len(session.table) >= len(part)
    assert not opened.analysis._kept_note()["looked_at"]


def test_a_box_that_is_drawn_on_a_film_is_fitted(opened, scene, wait):
    warned = []
    opened.fitter.warned.connect(warned.append)
    box = scene.cells()[-1]
    corners = np.array([[box.top, box.left], [box.bottom, box.right]]) - 0.5
    opened.viewer.layers["cells"].add(corners, shape_type="rectangle")
    wait(opened)
    (cell,) = opened.session.table.values()
    assert cell.detection.outline is not None
    assert cell.detection.drawn
    assert cell.detection.bbox.iou(box) > 0.75
    assert not warned


@pytest.fixture
def held(opened, monkeypatch, qtbot):
    """An analysis that found cells and whose next tile waits for the event."""
    gate = Event()
    see = film_module.Locate.steps

    def steps(self, *at):
        if opened.session.table:
            gate.wait(20)
        return see(self, *at)

    monkeypatch.setattr(film_module.Locate, "steps", steps)
    opened.analysis.run.click()
    qtbot.waitUntil(lambda: len(opened.session.table) > 0, timeout=60_000)
    yield gate
    gate.set()


def test_who_leaves_a_running_analysis_finds_its_part_noted(opened, held, film, slide, wait, qtbot):
    opened.open_slide(slide)
    qtbot.waitUntil(lambda: opened.session.slide == slide)
    held.set()
    wait(opened)
    opened.open_slide(open_slide(film))
    wait(opened)
    assert opened.session.table
    (looked_at,) = opened.analysis._kept_note()["looked_at"].values()
    assert "has not been finished" in looked_at


def test_a_cancelled_analysis_says_nothing_of_the_next_slide(opened, held, slide, wait, qtbot):
    said = []
    opened.analysis.said.connect(said.append)
    opened.jobs.cancel_button.click()
    opened.open_slide(slide)
    qtbot.waitUntil(lambda: opened.session.slide == slide)
    held.set()
    wait(opened)
    assert said == ["Cancelled."]
    assert opened.analysis._kept_note() is None


def test_cells_that_wait_are_not_said_to_be_there(opened, held, wait, monkeypatch):
    said = []
    session = opened.session
    opened.analysis.noted.connect(said.append)
    opened.analysis.said.connect(said.append)
    n = len(session.table)
    arrived = session.slide, [Cell.new("film.tif", DETECTION)]
    opened.jobs.cancel_button.click()
    with monkeypatch.context() as patch:
        patch.setattr(type(opened.view), "drawing", True)
        opened.analysis._on_arrived(arrived)
    # What the session refuses is not there, either.
    session.reading = "blind"
    opened.analysis._on_arrived(arrived)
    assert said == ["Cancelled."]
    assert len(session.table) == n
    held.set()
    wait(opened)
    assert f"kept: {counted(n)}. " in said[-1]


def test_cells_that_arrive_leave_redo_alone(opened, held, wait):
    session = opened.session
    session.commit(session.table.without([next(iter(session.table))]), "delete")
    session.undo()
    n = len(session.table)
    landing = opened.analysis._landing
    assert not landing.take([Cell.new("film.tif", DETECTION)])
    assert session.redoable == "delete"
    session.redo()
    assert landing.take([])
    assert len(session.table) == n
    opened.jobs.cancel_button.click()
    held.set()
    wait(opened)


def test_cells_land_once(opened, held, wait, monkeypatch):
    given = []
    merged = landing_module.merged
    monkeypatch.setattr(
        landing_module,
        "merged",
        lambda table, cells, *rest, **kw: (
            given.append(list(cells)) or merged(table, cells, *rest, **kw)
        ),
    )
    before = dict(opened.session.table)
    cell = Cell.new("film.tif", DETECTION)
    assert opened.analysis._landing.take([cell])
    assert given == [[cell]]
    assert dict(opened.session.table) == before | {cell.cell_id: cell}
    opened.jobs.cancel_button.click()
    held.set()
    wait(opened)


def test_a_drawn_region_limits_the_work(opened, wait):
    panel = opened.analysis.film
    panel.where.setCurrentText(REGION)
    opened.analysis.run.click()
    assert not opened.analysis.jobs.running
    panel.draw.click()
    region_layer(opened.viewer).add_rectangles(
        np.array([[-0.5, -0.5], [-0.5, 449.5], [899.5, 449.5], [899.5, -0.5]])
    )
    opened.analysis.run.click()
    wait(opened)
    lefts = [cell.detection.bbox.center[1] for cell in opened.session.table.values()]
    assert lefts
    assert max(lefts) < 450
    (looked_at,) = opened.analysis._kept_note()["looked_at"].values()
    assert "a drawn region (50 % of the film)" in looked_at


@pytest.fixture
def two(opened, scene, film, wait):
    """A slide of two films."""
    other = write_pages(film.with_name("other.tif"), scene, levels=3)
    (first,) = opened.session.slide.fields
    opened.open_slide(Slide("two", (first, FieldOfView("other.tif", other))))
    wait(opened)
    return opened


def test_a_region_is_of_the_film_on_which_it_was_drawn(two, wait):
    panel = two.analysis.film
    panel.draw.click()
    region_layer(two.viewer).add_rectangles(np.array([[0, 0], [0, 449], [899, 449], [899, 0]]))
    two.analysis.run.click()
    assert "Press This field only" in two.status.text()
    assert not two.analysis.jobs.running
    two.session.show_field("other.tif")
    wait(two)
    two.analysis.run_field.click()
    assert "No region is drawn" in two.status.text()
    assert not two.analysis.jobs.running
    region_layer(two.viewer).add_rectangles(np.array([[0, 0], [0, 449], [899, 449], [899, 0]]))
    two.analysis.run_field.click()
    wait(two)
    assert {cell.fov_id for cell in two.session.table.values()} == {"other.tif"}


def kept_tiles(bench):
    return sorted(bench.project.path.parent.glob("*.tiles/**/*.npz"))


def test_tiles_of_one_film_outlive_the_analysis_of_another(two, held, wait):
    two.jobs.cancel_button.click()
    held.set()
    wait(two)
    kept = kept_tiles(two)
    assert kept
    two.session.show_field("other.tif")
    wait(two)
    two.analysis.run_field.click()
    wait(two)
    assert kept_tiles(two) == kept


def test_tiles_are_kept_until_the_whole_film_was_looked_at(opened, wait):
    opened.analysis.film.where.setCurrentText(MONOLAYER)
    opened.analysis.run.click()
    wait(opened)
    assert kept_tiles(opened)
    opened.analysis.film.where.setCurrentText(WHOLE)
    opened.analysis.run.click()
    wait(opened)
    assert not list(opened.project.path.parent.glob("*.tiles"))


def test_the_monolayer_limits_the_work(opened, wait):
    opened.analysis.film.where.setCurrentText(MONOLAYER)
    opened.analysis.run.click()
    wait(opened)
    (looked_at,) = opened.analysis._kept_note()["looked_at"].values()
    assert "the monolayer" in looked_at


def test_a_corrected_monolayer_limits_the_work_and_is_kept(opened, wait):
    opened.analysis.film.map.click()
    wait(opened)
    layer = zones_layer(opened.viewer)
    assert opened.analysis.film.where.currentText() == MONOLAYER
    corner = layer.data_to_world((-0.5, -0.5))
    assert corner == pytest.approx(opened.view.image_layer.data_to_world((-0.5, -0.5)))
    # Only the left blocks are monolayer now.
    layer.data[:] = 1
    layer.data[:, 0] = 2
    edge = layer.metadata["side"]
    opened.analysis.run.click()
    wait(opened)
    lefts = [cell.detection.bbox.center[1] for cell in opened.session.table.values()]
    assert lefts
    assert max(lefts) < edge < SIDE
    # It comes back when the film is opened anew, and limits the work although it is not shown.
    kept = layer.data.copy()
    clear_zones(opened.viewer)
    zones = opened.analysis.film.value(opened.session.slide.fields).zones
    assert zones["monolayer"].bounds[2] == edge
    opened.analysis.film.map.click()
    wait(opened)
    assert np.array_equal(zones_layer(opened.viewer).data, kept)


def test_thumbnails_are_cut_without_reading_the_film(opened, wait, qtbot, monkeypatch):
    opened.analysis.run.click()
    wait(opened)
    monkeypatch.setattr(opened.view, "read", None)
    cells = list(opened.session.table.values())
    opened.thumbnails.clear()
    opened.thumbnails.want(cells)
    qtbot.waitUntil(lambda: all(opened.thumbnails.get(cell) for cell in cells), timeout=20_000)
    picture = opened.thumbnails.get(cells[0]).toImage().pixelColor(48, 48)
    # A nucleus is bluer than it is green; glass and the grey of an unreadable field are not.
    assert picture.blue() > picture.green() + 20
