"""Adapting the model to the open slide, with the mouse."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest

from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress
from napari_wbc.train.adapt import Adaptation
from napari_wbc.weights.store import read_card
from napari_wbc.widgets.analysis import analysis


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Where new weights go; a slide of six cells is enough, and a batch enough of training."""
    monkeypatch.setattr(analysis, "models_folder", lambda: tmp_path / "kept")
    monkeypatch.setattr("napari_wbc.train.adapt.MIN_ADAPTATION_CELLS", 6)
    monkeypatch.setattr(
        "napari_wbc.train.adapt.Adaptation", partial(Adaptation, epochs=1, draws=64)
    )
    return tmp_path / "kept"


@pytest.fixture
def opened(bench, slide, weights, wait, monkeypatch):
    """The workbench with a slide of three fields and tiny weights, which classify in earnest."""
    monkeypatch.setattr("napari_wbc.pipeline.analyze.load_classifier", load_classifier)
    bench.open_slide(slide)
    wait(bench)
    bench.model.choose(str(weights))
    return bench


def made_by(bench):
    return {cell.prediction.model_id for cell in bench.session.table.values()}


def test_the_button_says_what_it_does_in_plain_words(bench, viewer):
    button = bench.analysis.adapt
    assert button.text() == "Adjust to this stain"
    assert "No slide is open" in button.toolTip()
    viewer.add_image(np.zeros((48, 64, 3), np.uint8))
    for words in ("no labels", "minutes", "Research use only", "compare"):
        assert words in button.toolTip()


def test_without_an_image_it_cannot_be_pressed(bench, kept):
    assert not bench.analysis.adapt.isEnabled()
    assert not kept.exists()


def test_the_new_weights_are_chosen_and_no_label_is_lost(opened, weights, kept, wait):
    opened.analysis.run.click()
    wait(opened)
    first = next(iter(opened.session.table))
    opened.session.select([first])
    opened.actions.label("monocyte")
    before = opened.session.table
    opened.analysis.adapt.click()
    assert not opened.analysis.adapt.isEnabled()
    wait(opened)
    assert opened.session.table is before
    (path,) = kept.glob("*.safetensors")
    assert path.name.startswith("slide_20")
    assert opened.model.value() == str(path)
    assert opened.model.combo.currentText() == path.stem
    assert read_card(path).provenance["adapted"][0]["from"] == read_card(weights).model_id
    for words in (path.stem, "6 cells", "Analyze slide", "compare"):
        assert words in opened.status.text()
    opened.analysis.run.click()
    wait(opened)
    assert opened.session.table[first].label == "monocyte"
    assert made_by(opened) == {read_card(weights).model_id, read_card(path).model_id}
    opened.actions.undo()
    assert made_by(opened) == {read_card(weights).model_id}
    assert opened.session.table[first].label == "monocyte"


def test_a_slide_without_cells_is_analyzed_first(opened, kept, wait):
    opened.analysis.adapt.click()
    wait(opened)
    assert len(opened.session.table) == 6
    assert len(list(kept.glob("*.safetensors"))) == 1
    assert "6 cells" in opened.status.text()
    opened.actions.undo()
    assert len(opened.session.table) == 0


def test_cancelling_changes_nothing(opened, kept, wait, qtbot, monkeypatch, weights):
    def slow(*_args, **_options):
        for i in range(10_000):
            yield Progress("adapting", i, 10_000)
            time.sleep(0.01)
        raise AssertionError("not cancelled")

    monkeypatch.setattr("napari_wbc.train.adapt.adapt_classifier", slow)
    opened.analysis.adapt.click()
    qtbot.waitUntil(lambda: "adapting" in opened.jobs.bar.format(), timeout=20_000)
    opened.jobs.cancel_button.click()
    wait(opened)
    assert not any(kept.iterdir())
    assert opened.model.value() == str(weights)
    assert len(opened.session.table) == 0
    assert opened.analysis.adapt.isEnabled()


def test_what_goes_wrong_is_told(opened, wait, monkeypatch, weights):
    def wrong(*_args, **_options):
        yield Progress("adapting", 0, 1)
        raise WbcError("It diverged.")

    monkeypatch.setattr("napari_wbc.train.adapt.adapt_classifier", wrong)
    opened.analysis.adapt.click()
    wait(opened)
    assert opened.status.text() == "It diverged."
    assert opened.model.value() == str(weights)
