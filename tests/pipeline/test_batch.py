"""Many slides: each done once, a bad one keeps no other from it, and all stand in one table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.slides import synthetic_scene, write_pages

from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid import opening
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.progress import run
from napari_wbc.pipeline import batch as module
from napari_wbc.pipeline.batch import batch_steps
from napari_wbc.pipeline.film.analyze import FilmOptions
from napari_wbc.pipeline.project import project_analysis

pytestmark = pytest.mark.usefixtures("measured_once")


@pytest.fixture(autouse=True)
def _large(monkeypatch):
    """A slide of 800 pixels is a whole slide here."""
    monkeypatch.setattr(opening, "MAX_PIXELS", 500_000)


@pytest.fixture
def slides(tmp_path):
    """A film, a truncated film, and a folder of a field."""
    folder = tmp_path / "slides"
    folder.mkdir()
    film = write_pages(folder / "film.tif", synthetic_scene(800, n_fields=3, per_field=(1, 2)))
    (folder / "cut.tif").write_bytes(film.read_bytes()[:-5000])
    (folder / "fields").mkdir()
    smear = synthetic_smear(1, n_leukocytes=3)
    Image.fromarray(smear.image).save(folder / "fields" / "a.png")
    return [film, folder / "cut.tif", folder / "fields"]


@pytest.fixture
def batch(weights):
    def call(paths, out, **options):
        film = FilmOptions(side=512, **options)
        return run(batch_steps(paths, out, "hsv", weights=weights, device="cpu", film=film))

    return call


@pytest.fixture
def worked(monkeypatch):
    """Names of slides that were worked on."""
    names = []
    analyze = module.analyze_slide_steps

    def counted(slide, *args, **options):
        names.append(slide.name)
        return analyze(slide, *args, **options)

    monkeypatch.setattr(module, "analyze_slide_steps", counted)
    return names


def test_each_slide_is_done_once_and_a_bad_one_is_listed(slides, batch, worked, tmp_path):
    out = tmp_path / "out"
    result = batch(slides, out)
    assert [slide.state for slide in result.slides] == ["done", "failed", "done"]
    assert result.unfinished == 1
    table = pd.read_csv(out / "slides.csv")
    assert table["slide"].tolist() == ["film", "cut", "fields"]
    assert table["cells"][0] >= 3
    assert table["cells"][2] == 3
    assert "cut.tif" in table["message"][1]
    for name, state in zip(("film", "fields"), (result.slides[0], result.slides[2]), strict=True):
        analysis = project_analysis(state.project)
        assert len(analysis.cells) == state.cells
        assert (out / name / "cells.csv").is_file()
        assert not (out / name / ".tiles").exists()
    assert not (out / "cut" / "cut.wbc").exists()
    del worked[:]
    again = batch(slides, out)
    assert worked == ["cut"]
    assert again.slides == result.slides


def test_a_slide_that_was_repaired_is_done_by_the_next_run(slides, batch, worked, tmp_path):
    batch(slides[:2], tmp_path / "out")
    slides[1].write_bytes(slides[0].read_bytes())
    del worked[:]
    assert batch(slides[:2], tmp_path / "out").unfinished == 0
    assert worked == ["cut"]


def test_a_project_is_never_replaced(slides, batch, tmp_path):
    out = tmp_path / "out"
    batch(slides[:1], out)
    before = (out / "film" / "film.wbc").read_bytes()
    result = batch(slides[:1], out, most=1)
    assert result.slides[0].state == "failed"
    assert "is there already" in result.slides[0].message
    assert (out / "film" / "film.wbc").read_bytes() == before


def test_a_damaged_mark_is_no_mark(slides, batch, worked, tmp_path):
    out = tmp_path / "out"
    batch(slides[:1], out)
    (out / "film" / "film.wbc").unlink()
    (out / "film" / "done.json").write_text("[]")
    del worked[:]
    assert batch(slides[:1], out).unfinished == 0
    assert worked == ["film"]


@pytest.mark.parametrize("gone", ["film.wbc", "cells.csv"])
def test_a_slide_whose_results_are_gone_is_done_again(slides, batch, worked, tmp_path, gone):
    out = tmp_path / "out"
    batch(slides[:1], out)
    (out / "film" / "film.wbc").unlink()
    (out / "film" / gone).unlink(missing_ok=True)
    del worked[:]
    assert batch(slides[:1], out).unfinished == 0
    assert worked == ["film"]


def test_cells_of_two_runs_have_the_same_ids(slides, batch, tmp_path):
    for name in ("a", "b"):
        batch(slides[::2], tmp_path / name)
    for slide in ("film", "fields"):
        first, second = (pd.read_csv(tmp_path / n / slide / "cells.csv") for n in ("a", "b"))
        assert set(first["cell_id"]) == set(second["cell_id"])


def test_slides_not_yet_worked_on_are_waiting(slides, weights, tmp_path):
    film = FilmOptions(side=512)
    out = tmp_path / "out"
    steps = batch_steps(slides, out, "hsv", weights=weights, device="cpu", film=film)
    for progress in steps:
        written = out / "slides.csv"
        if written.is_file() and "done" in pd.read_csv(written)["state"].tolist():
            steps.close()
        assert "slide 3" not in progress.step
    assert pd.read_csv(out / "slides.csv")["state"].tolist() == ["done", "waiting", "waiting"]


def test_two_slides_of_one_name_are_refused(slides, batch, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(other / "film.png")
    with pytest.raises(WbcError, match="named 'film'"):
        batch([slides[0], other / "film.png"], tmp_path / "out")


def test_flags_say_what_to_look_at(batch, tmp_path):
    Image.fromarray(np.full((200, 200, 3), 235, np.uint8)).save(tmp_path / "empty.png")
    result = batch([tmp_path / "empty.png"], tmp_path / "out")
    assert result.slides[0].flags == "no cells"
    assert result.slides[0].state == "done"
