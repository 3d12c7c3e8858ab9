"""A drawn film of 1,200 pixels, and how it is analyzed."""

from __future__ import annotations

import pytest
from tests.slides import synthetic_scene, write_pages

from napari_wbc.imaging.pyramid import opening
from napari_wbc.pipeline.analyze import analyze_steps
from napari_wbc.pipeline.film.analyze import FilmOptions

SIDE = 256


@pytest.fixture(scope="module")
def scene():
    return synthetic_scene(1200, n_fields=6, per_field=(2, 3))


@pytest.fixture(scope="module")
def slide(scene, tmp_path_factory):
    return write_pages(tmp_path_factory.mktemp("slides") / "film.tif", scene)


@pytest.fixture(autouse=True)
def _large(monkeypatch):
    """A slide of 1,200 pixels is a whole slide here."""
    monkeypatch.setattr(opening, "MAX_PIXELS", 1_000_000)


@pytest.fixture
def analyzed(weights):
    def analyze(path, **options):
        film = FilmOptions(**{"side": SIDE, **options})
        return analyze_steps([path], "hsv", weights=weights, device="cpu", film=film)

    return analyze
