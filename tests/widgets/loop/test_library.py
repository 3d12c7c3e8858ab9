"""The library on screen: a tree of models, what is in use, and each button."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_wbc.weights.library import Library
from napari_wbc.weights.registry import shipped_weights
from napari_wbc.weights.store import export_model, load_weights, save_weights
from napari_wbc.widgets.loop.library import LibraryWidget


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models")


@pytest.fixture
def filled(library, weights):
    """A model, and one that was made from it."""
    parent = library.add(weights)
    tensors, card = load_weights(weights)
    known = {"parent": {"model_id": card.model_id, "sha256": card.sha256}}
    metrics = {"lab val": {"n": 8, "accuracy": 0.875}}
    changed = {name: tensor + 1 for name, tensor in tensors.items()}
    path = library.folder / "child.safetensors"
    save_weights(path, changed, replace(card, name="<b>child", provenance=known, metrics=metrics))
    return parent, library.find("child")


@pytest.fixture
def widget(library, qtbot):
    widget = LibraryWidget(library)
    widget.heard, widget.wanted = [], []
    show = widget.message.setText

    def say(text):
        widget.heard.append(text)
        show(text)

    widget.message.setText = say
    widget.adopted.connect(widget.wanted.append)
    qtbot.addWidget(widget)
    yield widget
    qtbot.waitUntil(lambda: not widget.jobs.running)


@pytest.fixture
def press(widget, qtbot):
    """Press a button and let what it begins end."""

    def pressed(button):
        assert button.isEnabled()
        button.click()
        qtbot.waitUntil(lambda: not widget.jobs.running)

    return pressed


def row(widget, name):
    item = found(widget, name)
    return [item.text(i) for i in range(4)]


def found(widget, name):
    def walk(item):
        yield item
        for i in range(item.childCount()):
            yield from walk(item.child(i))

    return next(item for item in walk(widget.tree.invisibleRootItem()) if item.text(0) == name)


def answer(monkeypatch, path, asks="getOpenFileName"):
    monkeypatch.setattr(QFileDialog, asks, lambda *_args: (str(path), ""))


def test_an_empty_library_shows_the_shipped_models_and_writes_nothing(widget, library):
    widget.show()
    assert all(found(widget, name) for name in shipped_weights())
    assert found(widget, "blood_cells").parent() is found(widget, "mask_rcnn")
    assert row(widget, "large")[1] == row(widget, "mask_rcnn")[1] == "in use"
    assert row(widget, "blood_cells")[1] == ""
    assert widget.value() is None
    buttons = widget.use, widget.card, widget.export, widget.remove
    assert not any(button.isEnabled() for button in buttons)
    assert widget.note.text() == ""
    assert widget.heard == []
    assert not library.folder.exists()


def test_the_widget_leaves_nothing_behind_in_a_viewer(viewer, library, filled, qtbot):
    widget = LibraryWidget(library)
    dock = viewer.window.add_dock_widget(widget, name="models")
    widget.select(filled[0].path)
    widget.use.click()
    qtbot.waitUntil(lambda: not widget.jobs.running)
    viewer.window.remove_dock_widget(dock)


def test_a_child_stands_below_its_parent(filled, widget):
    child = found(widget, "child")
    assert child.parent().text(0) == "tiny"
    assert child.text(2) == "accuracy 87.5 % of 8 cells"
    assert child.text(3).startswith("20")
    assert "&lt;b&gt;child" in child.toolTip(0)


def test_use_and_roll_back(filled, widget, press, library):
    for model in filled:
        widget.select(model.path)
        widget.why.setText(f"try {model.name}")
        press(widget.use)
        assert row(widget, model.name)[1] == "in use"
        assert widget.value() == model
        assert not widget.use.isEnabled()
        assert not widget.remove.isEnabled()
    assert row(widget, "large")[1] == row(widget, "tiny")[1] == ""
    press(widget.back)
    press(widget.back)
    assert row(widget, "large")[1] == "in use"
    assert widget.wanted == [str(filled[0].path), str(filled[1].path), str(filled[0].path), "large"]
    assert [one.why for one in library.history("classifier")[:2]] == ["try tiny", "try child"]
    assert widget.why.text() == ""
    # It is said in the dialog itself, which lies over the window.
    assert widget.message.text() == "large is the classifier in use."
    assert not widget.back.isEnabled()
    assert "No classifier was adopted" in widget.back.toolTip()


def test_a_detector_that_is_used_is_not_taken_for_a_classifier(widget, press, library):
    widget.select(library.find("blood_cells").path)
    press(widget.use)
    assert row(widget, "blood_cells")[1] == "in use"
    assert widget.wanted == []
    assert "detector in use" in widget.heard[-1]
    press(widget.back)
    assert row(widget, "mask_rcnn")[1] == "in use"


def test_damaged_models_are_shown_and_cannot_be_used(filled, widget, press):
    filled[1].path.write_bytes(filled[1].path.read_bytes()[:-3])
    widget.refresh()
    widget.select(filled[1].path)
    assert row(widget, "child")[3] == "damaged"
    assert not widget.use.isEnabled()
    assert not widget.export.isEnabled()
    press(widget.card)
    assert widget.dialog.isVisible()
    press(widget.remove)
    assert "removed" in widget.heard[-1]


def test_what_is_damaged_inside_is_told_when_it_is_used(filled, widget, press):
    data = bytearray(filled[1].path.read_bytes())
    data[-1] ^= 1
    filled[1].path.write_bytes(data)
    widget.select(filled[1].path)
    press(widget.use)
    assert "damaged" in widget.heard[-1]
    assert widget.wanted == []
    assert widget.use.isEnabled()


def test_a_model_in_use_that_has_gone_and_a_damaged_record_are_noted(
    filled, widget, press, library
):
    widget.select(filled[1].path)
    press(widget.use)
    filled[1].path.unlink()
    widget.refresh()
    assert "stands in" in widget.note.text()
    assert row(widget, "large")[1] == "in use"
    (library.folder / "adopted.json").write_text("{")
    widget.hide()
    widget.show()
    assert "adopted.json" in widget.note.text()
    assert row(widget, "large")[1] == ""


def test_the_card_is_shown(filled, widget, press):
    widget.select(filled[1].path)
    press(widget.card)
    assert "<b>child 1" in widget.dialog.windowTitle()
    widget.select(widget.library.find("mask_rcnn").path)
    press(widget.card)
    assert "mask_rcnn" in widget.dialog.windowTitle()


def test_export_and_import(filled, widget, press, library, tmp_path, monkeypatch):
    out = tmp_path / "sent.wbcmodel"
    widget.select(filled[1].path)
    answer(monkeypatch, out, "getSaveFileName")
    press(widget.export)
    assert str(out) in widget.heard[-1]
    library.remove(filled[1])
    answer(monkeypatch, out)
    press(widget.bring)
    assert widget.value().name == "sent"
    assert found(widget, "sent").parent().text(0) == "tiny"
    answer(monkeypatch, library.folder / "removed" / "child.safetensors")
    press(widget.bring)
    assert widget.value().name == "sent"  # it is there already
    answer(monkeypatch, tmp_path / "none.wbcmodel")
    press(widget.bring)
    assert "none.wbcmodel" in widget.heard[-1]


def test_no_file_chosen_changes_nothing(filled, widget, press, monkeypatch):
    widget.select(filled[1].path)
    answer(monkeypatch, "")
    answer(monkeypatch, "", "getSaveFileName")
    press(widget.export)
    press(widget.bring)
    assert widget.heard == []


@pytest.mark.parametrize("sure", [True, False])
def test_a_parent_is_removed_only_after_a_question(filled, widget, press, monkeypatch, sure):
    asked = []
    button = QMessageBox.StandardButton
    monkeypatch.setattr(
        QMessageBox,
        "question",
        lambda *args: asked.append(args[-1]) or (button.Yes if sure else button.No),
    )
    widget.select(filled[0].path)
    press(widget.remove)
    assert "child descend from tiny" in asked[0]
    assert filled[0].path.exists() != sure
    assert (found(widget, "child").parent() is None) == sure


def test_models_that_come_from_elsewhere_are_seen_when_it_is_shown(
    widget, library, weights, tmp_path
):
    library.add(export_model(weights, tmp_path / "late"))
    widget.show()
    assert row(widget, "late")[1] == ""
