"""A whole slide to cells: resumed, stopped, limited, with workers that die and tiles that fail."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import shapely
import tifffile
from tests.pipeline.film.conftest import SIDE

from napari_wbc.detect.finders import make_detector
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.pyramid import opening
from napari_wbc.imaging.pyramid.tiff import TiffPyramid
from napari_wbc.imaging.pyramid.zones import Zones
from napari_wbc.imaging.read import open_slide, read_field
from napari_wbc.model.cell import Cell
from napari_wbc.model.geometry import iou_matrix
from napari_wbc.model.progress import run
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.analyze import analyze_fields_steps, analyze_steps, classify_table_steps
from napari_wbc.pipeline.film import crew as crew_module
from napari_wbc.pipeline.film import tasks
from napari_wbc.pipeline.film.analyze import FilmOptions, analyze_film_steps
from napari_wbc.pipeline.film.crew import Crew
from napari_wbc.pipeline.film.tasks import Models
from napari_wbc.pipeline.lab_report.pictures import pictures
from napari_wbc.pipeline.project import export_project_steps, project_analysis, save_project
from napari_wbc.pipeline.report import write_results

pytestmark = pytest.mark.usefixtures("measured_once")
TILES = 9


@pytest.fixture(scope="module")
def whole(slide, weights):
    """Cells of a run without a break."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "MAX_PIXELS", 1_000_000)
        film = FilmOptions(side=SIDE)
        steps = analyze_steps([slide], "hsv", weights=weights, device="cpu", film=film)
        return said(run(steps))


@pytest.fixture
def looks(monkeypatch):
    """Tiles that were looked at, by place."""
    places = []
    see = tasks.see_block_steps

    def counted(finder, pyramid, plan, block, progress):
        places.append((block.row, block.col))
        return (yield from see(finder, pyramid, plan, block, progress))

    monkeypatch.setattr(tasks, "see_block_steps", counted)
    return places


def said(analysis):
    """Boxes and predictions; ids are new in each run."""
    (result,) = analysis.slides
    return said_of(result)


def said_of(result):
    return sorted(
        (cell.detection.bbox.edges, cell.prediction and cell.prediction.probabilities)
        for cell in result.table.values()
    )


def test_cells_lie_in_pixels_of_the_slide_and_are_classified(scene, slide, analyzed):
    analysis = run(analyzed(slide))
    (result,) = analysis.slides
    assert not analysis.failures
    cells = list(result.table.values())
    assert {cell.fov_id for cell in cells} == {"film.tif"}
    assert all(cell.prediction is not None for cell in cells)
    assert all(cell.detection.located_by == result.searched_by for cell in cells)
    overlaps = iou_matrix(scene.cells(), [cell.detection.bbox for cell in cells])
    # Colour alone draws the line between two cells that touch not quite where it is.
    assert (overlaps.max(axis=1) > 0.2).all()
    assert (overlaps > 0.3).sum(axis=1).max() == 1


@pytest.mark.parametrize("options", [{"side": 1024}, {"order": "random"}])
def test_tiles_order_and_workers_change_nothing(slide, analyzed, whole, options):
    assert said(run(analyzed(slide, **options))) == whole


@pytest.mark.parametrize("tiles", [1, 8])
def test_a_run_that_was_ended_goes_on(slide, analyzed, whole, looks, tmp_path, tiles):
    steps = analyzed(slide, keep=tmp_path)
    for progress in steps:
        if "locating" in progress.step and progress.done == tiles:
            steps.close()
    first = len(looks)
    assert said(run(analyzed(slide, keep=tmp_path))) == whole
    # Each tile is looked at once, but for the one that was cut short.
    assert len(looks) <= len(set(looks)) + 1
    assert first >= tiles
    del looks[:]
    assert said(run(analyzed(slide, keep=tmp_path))) == whole
    assert not looks


def test_what_is_kept_is_of_the_same_slide_models_and_settings(
    slide, analyzed, looks, tmp_path, weights
):
    run(analyzed(slide, keep=tmp_path))
    del looks[:]
    copy = tmp_path / "film.tif"
    copy.write_bytes(slide.read_bytes())
    os.utime(copy, ns=(0, 0))
    run(analyzed(copy, keep=tmp_path))
    assert len(looks) == TILES
    del looks[:]
    film = FilmOptions(side=SIDE, keep=tmp_path)
    other = {"parameters": {"score": 0.3}, "weights": weights, "device": "cpu", "film": film}
    run(analyze_steps([slide], "hsv", **other))
    assert len(looks) == TILES


def test_a_damaged_result_is_worked_out_again(slide, analyzed, whole, looks, tmp_path):
    run(analyzed(slide, keep=tmp_path))
    del looks[:]
    for file in sorted(tmp_path.glob("*.npz"))[::3]:
        file.write_bytes(file.read_bytes()[:-40])
    assert said(run(analyzed(slide, keep=tmp_path))) == whole
    assert 0 < len(looks) < TILES


def test_a_full_disk_ends_the_run_with_one_line(slide, analyzed, whole, tmp_path, monkeypatch):
    from napari_wbc.pipeline.film import kept

    write = kept.write_bytes
    written = []

    def full(path, data):
        if len(written) == 5:
            raise WbcError(f"{path}: cannot be written (No space left on device); choose another.")
        written.append(path)
        write(path, data)

    monkeypatch.setattr(kept, "write_bytes", full)
    with pytest.raises(WbcError, match="No space left"):
        run(analyzed(slide, keep=tmp_path))
    monkeypatch.setattr(kept, "write_bytes", write)
    assert said(run(analyzed(slide, keep=tmp_path))) == whole


@pytest.fixture
def broken(monkeypatch):
    """One region of the slide cannot be read, for so many tries."""
    tries = []
    read = TiffPyramid.read

    def failing(self, level, region):
        if region.shape[0] != 1024 and region.top == 0 and region.left == 0:
            tries.append(region)
            if len(tries) <= broken_for[0]:
                raise ReadError("tile 3 of the slide cannot be read")
        return read(self, level, region)

    broken_for = [10]
    monkeypatch.setattr(TiffPyramid, "read", failing)
    return tries, broken_for


def test_a_tile_that_fails_is_tried_again(slide, analyzed, whole, broken):
    _, broken_for = broken
    broken_for[0] = 2
    analysis = run(analyzed(slide))
    assert not analysis.failures
    assert said(analysis) == whole


def test_a_tile_that_fails_for_good_is_listed_and_done_by_the_next_run(
    slide, analyzed, whole, broken, looks, tmp_path
):
    tries, broken_for = broken
    analysis = run(analyzed(slide, keep=tmp_path))
    (failure,) = analysis.failures
    assert "1 tile could not be worked on, all others were: tile in row 2, column 2" in (
        failure.message
    )
    assert len(tries) >= crew_module.TRIES
    assert 0 < len(said(analysis)) <= len(whole)
    broken_for[0] = 0
    del looks[:]
    assert said(run(analyzed(slide, keep=tmp_path))) == whole
    assert looks == [(1, 1)]


def finished(steps, crew, kill):
    """The result of steps during which a worker is killed whenever ``kill`` says so."""
    killed = 0
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            return end.value, killed
        if kill(progress) and crew.pids:
            os.kill(crew.pids[0], signal.SIGKILL)
            killed += 1


def test_workers_that_are_killed_again_and_again_are_replaced(slide, whole):
    # Located only, so that no worker has to load a network.
    models = Models("hsv", None, None, None)
    at = iter((1, 3, 6))
    due = [next(at)]

    def kill(progress):
        if "locating" not in progress.step or progress.done < due[0]:
            return False
        due[0] = next(at, TILES + 1)
        return True

    with Crew(make_detector("hsv"), None, models, workers=2) as crew:
        steps = analyze_film_steps(slide, "film", crew, FilmOptions(side=SIDE))
        result, killed = finished(steps, crew, kill)
    assert killed == 3
    assert not result.failures
    boxes = sorted(cell.bbox.edges for cell, _ in result.cells)
    assert boxes == [edges for edges, _ in whole]
    assert not crew.pids


def test_a_worker_that_is_killed_while_it_classifies_is_replaced(
    slide, analyzed, whole, monkeypatch
):
    crews = []
    enter = Crew.__enter__
    monkeypatch.setattr(Crew, "__enter__", lambda self: crews.append(self) or enter(self))
    steps = analyzed(slide, workers=2, side=1024)
    first = next(step for step in steps if "classifying" in step.step)
    os.kill(crews[0].pids[0], signal.SIGKILL)
    analysis = run(steps)
    assert first.done == 0
    assert not analysis.failures
    assert said(analysis) == whole


def test_workers_that_never_live_end_the_run(slide, analyzed, monkeypatch):
    monkeypatch.setattr(crew_module, "_work", dies)
    with pytest.raises(WbcError, match="ended one after the other"):
        run(analyzed(slide, workers=2))


def dies(_pipe, _models):
    os._exit(1)


def test_a_run_stops_when_there_are_cells_enough(slide, analyzed, whole, looks):
    steps = analyzed(slide, most=6, order="random", seed=1)
    notes = []
    while True:
        try:
            notes.append(next(steps).note)
        except StopIteration as end:
            analysis = end.value
            break
    cells = said(analysis)
    assert 6 <= len(cells) < len(whole)
    assert len(looks) < TILES
    assert any(f"{len(looks)} of {TILES} tiles, in random order, seed 1" in note for note in notes)
    (said_of_it,) = analysis.slides[0].looked_at.values()
    assert said_of_it.startswith("Only a part of the film was looked at")


def test_each_drawn_region_and_each_zone_is_counted(slide, whole, weights, tmp_path):
    drawn = {"left": shapely.box(0, 0, 600, 1200), "all": shapely.box(0, 0, 1200, 1200)}
    film = FilmOptions(side=SIDE, regions=drawn)
    analysis = run(analyze_steps([slide], "hsv", weights=weights, device="cpu", film=film))
    assert said(analysis) == whole
    counts = {region.name: region.counted.located for region in analysis.slides[0].by_region}
    left = [edges for edges, _ in whole if edges[1] + edges[3] < 1200]
    assert 0 < len(left) < len(whole)
    assert (counts["left"], counts["all"]) == (len(left), len(whole))
    zones = [counts.get(name, 0) for name in ("monolayer", "thin part", "thick part")]
    assert 0 < sum(zones) <= len(whole)
    # They are in the results, and a project keeps them.
    run(write_results(analysis, tmp_path / "out"))
    (written,) = json.loads((tmp_path / "out" / "differential.json").read_text())
    assert {one["region"] for one in written["regions"]} == set(counts)
    again = project_analysis(save_project(analysis, tmp_path / "film.wbc"))
    for name, area in analysis.slides[0].regions["film.tif"].items():
        assert shapely.equals(again.slides[0].regions["film.tif"][name], area)


def test_no_cell_counts_outside_a_region(slide, analyzed, whole):
    area = shapely.Polygon([(0, 0), (1100, 0), (0, 1100)])
    cells = said(run(analyzed(slide, area=area)))
    centers = [((box[1] + box[3]) / 2, (box[0] + box[2]) / 2) for box, _ in whole]
    expected = [
        cell
        for cell, place in zip(whole, centers, strict=True)
        if area.contains(shapely.Point(place))
    ]
    assert len(expected) > 2
    assert [box for box, _ in cells] == [box for box, _ in expected]


def test_in_the_monolayer_alone(slide, analyzed, whole, monkeypatch):
    cells = said(run(analyzed(slide, where="monolayer")))
    # All of the drawn smear is one.
    assert [box for box, _ in cells] == [box for box, _ in whole]
    area = shapely.box(0, 0, 600, 1200)
    monkeypatch.setattr(Zones, "area", lambda self, zone: area)
    cells = said(run(analyzed(slide, where="monolayer", area=shapely.box(0, 600, 1200, 1200))))
    expected = [box for box, _ in whole if (box[1] + box[3]) / 2 < 600 < (box[0] + box[2]) / 2]
    assert expected
    assert [box for box, _ in cells] == expected


def test_a_finder_of_one_cell_an_image_is_refused(slide, weights):
    steps = analyze_steps([slide], "hsv", "youssef-2024", weights=weights, device="cpu")
    with pytest.raises(WbcError, match="not for whole slides"):
        run(steps)


def test_a_damaged_slide_is_one_failure_and_the_others_go_on(slide, analyzed, tmp_path, weights):
    path = tmp_path / "cut.tif"
    path.write_bytes(slide.read_bytes()[:-9000])
    film = FilmOptions(side=1024)
    steps = analyze_steps([path, slide], "hsv", weights=weights, device="cpu", film=film)
    analysis = run(steps)
    (failure,) = analysis.failures
    assert "cut.tif" in failure.message
    assert len(analysis.slides[1].table) > 10


def test_results_and_project_of_a_slide(slide, analyzed, tmp_path):
    from PIL import Image

    analysis = run(analyzed(slide))
    assert not run(write_results(analysis, tmp_path / "out")).failures
    overlay = np.asarray(Image.open(tmp_path / "out" / "overlays" / "film.tif.png"))
    assert overlay.shape == (1200, 1200, 3)
    path = save_project(analysis, tmp_path / "film.wbc")
    assert said(project_analysis(path)) == said(analysis)
    exported = run(export_project_steps(path, tmp_path / "again"))
    assert not exported.failures


def test_the_report_shows_the_cells_of_a_slide(slide, analyzed):
    (result,) = run(analyzed(slide)).slides
    shown = pictures(result, result.taxonomy, {}, read_field)
    assert shown.missing == 0
    assert sum(len(row.pictures) for row in shown.gallery) >= min(10, len(result.table))
    (whole,) = shown.overview
    assert (whole.width, whole.height) == (300, 300)
    row, col = next(iter(result.table.values())).detection.bbox.center
    assert whole.places[0][:2] == pytest.approx((col / 4, row / 4), abs=0.2)


def test_no_text_of_a_file_gets_into_results(scene, analyzed, tmp_path):
    path = tmp_path / "named.tif"
    name = "Ada Lovelace"
    said = {"description": name, "software": name, "extratags": [(315, "s", 0, name, True)]}
    options = {"photometric": "rgb", "metadata": None, "tile": (256, 256), **said}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(scene.region(0, 0, 1200, 1200), **options)
        tiff.write(np.zeros((96, 64, 3), np.uint8), subfiletype=1, **options)
    assert name.encode() in path.read_bytes()
    analysis = run(analyzed(path))
    run(write_results(analysis, tmp_path / "out"))
    save_project(analysis, tmp_path / "out" / "film.wbc")
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert len(written) >= 7
    for file in written:
        assert b"Lovelace" not in file.read_bytes()


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"most": 0}, {"seed": -1}, {"where": "edge"}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(WbcError, match="choose"):
        FilmOptions(**wrong)


def test_cells_are_handed_over_while_tiles_are_worked_on(slide, whole, weights):
    handed = []
    at = []
    steps = analyze_fields_steps(
        open_slide(slide),
        "hsv",
        weights=weights,
        device="cpu",
        film=FilmOptions(side=SIDE),
        on_cells=handed.append,
    )
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            analysis = end.value
            break
        at.append((progress.done, sum(map(len, handed))))
    for (box, shares), (expected, others) in zip(said_of(analysis), whole, strict=True):
        assert box == expected
        # Batches of another size round otherwise.
        assert shares == pytest.approx(others, abs=1e-6)
    # Before the last tile, each once, and as in the result: a review that has begun goes on.
    cells = [cell for part in handed for cell in part]
    assert any(n > 0 for done, n in at if done < TILES - 1)
    assert len(cells) == len({cell.cell_id for cell in cells}) == len(whole)
    assert all(analysis.table[cell.cell_id] == cell for cell in cells)


def test_a_cell_drawn_on_a_film_is_classified(slide, analyzed, weights):
    (result,) = run(analyzed(slide)).slides
    located = next(iter(result.table.values()))
    drawn = Cell.new(located.fov_id, replace(located.detection, drawn=True))
    table = CellTable([drawn])
    classified = run(classify_table_steps(result.slide, table, weights=weights))
    assert not classified.failures
    (cell,) = classified.cells
    # By what lies around it, and not by its window: nearly what the film's analysis says.
    ours, theirs = cell.prediction.probabilities, located.prediction.probabilities
    assert ours == pytest.approx(theirs, abs=0.05)
