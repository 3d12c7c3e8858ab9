"""Preferences that napari shows, and that act."""

from __future__ import annotations

from pathlib import Path

import napari.settings
import pytest
from npe2 import PluginManager, PluginManifest

import napari_wbc
from napari_wbc.widgets.analysis.detect import DetectorWidget
from napari_wbc.widgets.qt.files import last_folder
from napari_wbc.widgets.qt.preferences import PLUGIN, defaults, preference

SOURCE = Path(napari_wbc.__file__).parent


@pytest.fixture
def chosen(plugin_settings):
    """The preferences as napari has them, kept in a folder of this test."""
    manager = PluginManager.instance()
    if PLUGIN not in {manifest.name for manifest in manager.iter_manifests()}:
        manager.register(PluginManifest.from_file(SOURCE / "napari.yaml"))
    return napari.settings.get_plugin_settings(PLUGIN)


def test_every_preference_is_read_somewhere():
    sources = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")]
    for group, name in defaults():
        asked = f'preference("{group}", "{name}")'
        assert any(asked in text for text in sources if f">>> {asked}" not in text), asked


def test_what_was_chosen_in_napari_is_read_at_once(chosen, tmp_path):
    assert preference("review", "fit_boxes") is True
    chosen.review.fit_boxes = False
    assert preference("review", "fit_boxes") is False
    chosen.save()
    assert "fit_boxes: false" in (tmp_path / f"{PLUGIN}.yaml").read_text()


def test_without_the_plugin_there_are_the_defaults(monkeypatch):
    def none(name):
        raise KeyError(name)

    monkeypatch.setattr(napari.settings, "get_plugin_settings", none)
    assert preference("find", "cell_finder") == "auto"


def test_they_act(chosen, tmp_path, qtbot):
    chosen.find.cell_finder = "hsv"
    widget = DetectorWidget()
    qtbot.addWidget(widget)
    assert widget.value().name == "hsv"
    chosen.folders.slides = str(tmp_path)
    assert last_folder("slide", "elsewhere") == str(tmp_path)
    assert last_folder("export", "elsewhere") == "elsewhere"
