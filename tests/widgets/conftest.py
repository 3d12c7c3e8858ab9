"""A slide, a detector and a classifier that take no time, and a docked workbench."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import napari.settings
import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QInputDialog, QMessageBox
from tests.widgets.red_fields import FIELDS, Reader

from napari_wbc.classify.preset import Preset
from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import Slide
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.weights.card import ModelCard
from napari_wbc.widgets.qt.thumbnails import Thumbnails
from napari_wbc.widgets.workbench import Workbench


@dataclass
class FakeDetector:
    """Finds two cells in each field; ``before`` runs first, with the image."""

    before: Callable[[np.ndarray], Any] = lambda _image: None
    name: str = "fake"

    def detect(self, image: np.ndarray) -> tuple[Detection, ...]:
        self.before(image)
        return Detection(BBox(5, 5, 15, 15)), Detection(BBox(20, 30, 35, 45))


@dataclass
class FakeClassifier:
    """Takes the first cell of a field for a lymphocyte, all others for basophils."""

    preset: Preset = field(default_factory=Preset)
    card: ModelCard = field(
        default_factory=lambda: ModelCard("fake", "1", "cdnn", EIGHT_CLASSES.names, {})
    )

    def classify(self, _image: np.ndarray, boxes: Sequence[BBox]) -> tuple[Prediction, ...]:
        names = EIGHT_CLASSES.names
        said = ["lymphocyte", *["basophil"] * len(boxes)][: len(boxes)]
        return tuple(Prediction(names, tuple(float(n == s) for n in names)) for s in said)


@pytest.fixture(autouse=True)
def settings_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where settings are kept: neither in the person's own nor in those of another test."""
    # napari's fixture for this would keep it from finding our plugin.
    napari.settings._clear_plugin_settings_cache()
    monkeypatch.setattr(napari.settings, "_CFG_PATH", str(tmp_path / "napari.yaml"))
    path = tmp_path / "settings"
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(path))
    return path


@pytest.fixture(autouse=True)
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where projects go that nobody chose a place for; not into the person's own."""
    monkeypatch.setattr("napari_wbc.session.opening.projects_folder", lambda: tmp_path / "projects")
    return tmp_path / "projects"


@pytest.fixture(autouse=True)
def no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that a test does not answer fails, where it would wait for ever."""

    def asked(_parent: Any, title: str, text: str) -> None:
        raise AssertionError(f"{title}: {text}")

    monkeypatch.setattr(QMessageBox, "question", asked)
    # Which plane of a stack: none.
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_args: ("", False))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "slide"
    path.mkdir()
    for i in range(3):
        Image.fromarray(np.full((48, 64, 3), 60 * (i + 1), np.uint8)).save(path / f"field-{i}.png")
    return path


@pytest.fixture
def slide(folder: Path) -> Slide:
    return open_slide(folder)


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> FakeDetector:
    """What the workbench analyzes and previews with."""
    fake = FakeDetector()
    monkeypatch.setattr("napari_wbc.pipeline.locate.make_detector", lambda *_args, **_kw: fake)
    monkeypatch.setattr(
        "napari_wbc.pipeline.analyze.load_classifier", lambda *_args, **_kw: FakeClassifier()
    )
    return fake


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def open_bench(viewer: Any, qtbot: Any) -> Callable[[], Workbench]:
    """Open the workbench as napari's menu does, and wait until it is loaded."""

    def open_it() -> Workbench:
        _dock, shell = viewer.window.add_plugin_dock_widget("napari-wbc", "Workbench")
        qtbot.waitUntil(lambda: shell.bench is not None and not shell.loading, timeout=60_000)
        return shell.bench

    return open_it


@pytest.fixture
def bench(
    open_bench: Callable[[], Workbench], detector: FakeDetector, wait: Callable[[Workbench], None]
) -> Iterator[Workbench]:
    """The workbench as napari makes it for a person."""
    bench = open_bench()
    yield bench
    bench.release()
    wait(bench)


@pytest.fixture
def wait(qtbot: Any) -> Callable[[Workbench], None]:
    """Let the work that is under way end."""
    return lambda bench: qtbot.waitUntil(lambda: not bench.busy, timeout=20_000)


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture
def thumbnails(reader, qtbot):
    thumbnails = Thumbnails(reader, FIELDS.get)
    yield thumbnails
    thumbnails.cancel()
    qtbot.waitUntil(lambda: not thumbnails.running)


@pytest.fixture
def analyzed(bench: Workbench, slide: Slide, wait: Callable[[Workbench], None]) -> Workbench:
    """The workbench with a slide of three fields, two cells each."""
    bench.open_slide(slide)
    wait(bench)
    bench.analysis.run.click()
    wait(bench)
    return bench
