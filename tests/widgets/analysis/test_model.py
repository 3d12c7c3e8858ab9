"""Choosing weights and reading their card, alone and in the workbench."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_wbc.classify import predict
from napari_wbc.errors import WeightsError
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline import analyze
from napari_wbc.pipeline.models import classifiers, model_summary
from napari_wbc.weights.card import RESEARCH_USE, ModelCard
from napari_wbc.weights.library import Library
from napari_wbc.weights.store import load_weights, save_weights
from napari_wbc.widgets.analysis.model import MAX_RECENT, OPEN, ModelWidget, card_html

CARD = ModelCard("mine", "2", "cdnn", EIGHT_CLASSES.names, {}, sha256="ab" * 32)
EVIL = "<img src='file:///etc/passwd'><script>x</script>&amp;"


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch):
    """The person's own, empty at first, as their settings are."""
    monkeypatch.setenv("NAPARI_WBC_MODELS", str(tmp_path / "models"))
    return Library()


@pytest.fixture
def save(tmp_path):
    """Write a card beside a file that stands for its weights."""

    def write(name="mine", card=CARD):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(b"none")
        path.with_suffix(".json").write_text(card.to_json())
        return str(path)

    return write


@pytest.fixture
def widget(qtbot):
    return made(qtbot)


def made(qtbot):
    widget = ModelWidget(EIGHT_CLASSES)
    widget.heard = []
    widget.noted.connect(widget.heard.append)
    widget.warned.connect(widget.heard.append)
    qtbot.addWidget(widget)
    return widget


def items(widget):
    return [
        widget.combo.itemText(i) for i in range(widget.combo.count()) if widget.combo.itemText(i)
    ]


def pick(widget, text):
    """As a person picks an item: the box shows it before it is told."""
    i = widget.combo.findText(text)
    widget.combo.setCurrentIndex(i)
    widget.combo.activated.emit(i)


def answer(monkeypatch, path):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (path, ""))


def test_shipped_classifiers_are_listed_and_the_default_is_chosen(widget):
    assert items(widget) == [*classifiers(), OPEN]
    assert widget.value() == widget.combo.currentText() == classifiers()[0]
    assert not widget.dialog.isVisible()


def test_opened_weights_are_chosen_and_remembered(widget, qtbot, save, monkeypatch):
    path = save()
    answer(monkeypatch, path)
    pick(widget, OPEN)
    assert widget.value() == path
    assert widget.combo.currentText() == "mine"
    assert "mine 2 (abababab)" in widget.heard[-1]
    pick(widget, classifiers()[0])
    assert widget.value() == classifiers()[0]
    later = made(qtbot)
    assert items(later) == [*classifiers(), "mine", OPEN]
    assert later.value() == classifiers()[0]
    pick(later, "mine")
    assert later.value() == path


def test_models_of_the_library_are_listed_as_they_come_and_go(
    widget, qtbot, library, weights, save
):
    model = library.add(weights)
    (library.folder / "bad.safetensors").touch()
    widget.show()
    widget.combo.showPopup()
    widget.combo.hidePopup()
    assert items(widget) == [*classifiers(), "tiny", OPEN]
    assert widget.value() == classifiers()[0]
    pick(widget, "tiny")
    assert widget.value() == str(model.path)
    pick(widget, classifiers()[0])
    library.remove(model)
    assert items(made(qtbot)) == [*classifiers(), OPEN]


def test_the_classifier_in_use_is_chosen_first(qtbot, library, weights):
    library.adopt(library.add(weights))
    widget = made(qtbot)
    assert widget.value() == str(library.folder / "tiny.safetensors")
    assert widget.combo.currentText() == "tiny"
    (library.folder / "adopted.json").write_text("{")
    assert made(qtbot).value() == classifiers()[0]


def test_a_classifier_in_use_whose_classes_cannot_be_counted_is_not_chosen(qtbot, library, weights):
    tensors, card = load_weights(weights)
    path = library.folder / "odd.safetensors"
    save_weights(path, tensors, replace(card, classes=tuple("abcdefgh")))
    library.adopt(library.find("odd"))
    assert made(qtbot).value() == classifiers()[0]
    assert items(made(qtbot)) == [*classifiers(), OPEN]


def test_only_the_last_files_are_remembered(widget, qtbot, save):
    names = [f"m{i}" for i in range(MAX_RECENT + 2)]
    for name in names:
        widget.choose(save(name))
    assert items(made(qtbot)) == [*classifiers(), *names[::-1][:MAX_RECENT], OPEN]


def test_no_file_chosen_changes_nothing(widget, monkeypatch):
    answer(monkeypatch, "")
    pick(widget, OPEN)
    assert widget.combo.currentText() == widget.value() == classifiers()[0]
    assert widget.heard == []


@pytest.mark.parametrize("what", ["no card", "broken card", "other classes", "gone"])
def test_what_cannot_be_used_is_told_and_changes_nothing(widget, save, tmp_path, monkeypatch, what):
    widget.choose(save("good"))
    before = items(widget)
    path = save("bad", replace(CARD, classes=("blast",)))
    card = tmp_path / "bad.json"
    if what == "no card":
        card.unlink()
    elif what == "broken card":
        card.write_text("{")
    elif what == "gone":
        (tmp_path / "bad.safetensors").unlink()
    answer(monkeypatch, path)
    pick(widget, OPEN)
    assert "bad" in widget.heard[-1]
    assert "\n" not in widget.heard[-1]
    assert widget.combo.currentText() == "good"
    assert items(widget) == before
    with pytest.raises(WeightsError):
        widget.choose(path)


def test_wheel_does_not_change_the_model(widget, save):
    widget.choose(save())
    down, place = QPoint(0, -120), QPointF(5, 5)
    event = QWheelEvent(
        place,
        place,
        QPoint(),
        down,
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget.combo, event)
    assert widget.combo.currentText() == "mine"
    assert not event.isAccepted()


def test_card_opens_by_keyboard_and_follows_the_model(widget, qtbot, save):
    widget.show()
    qtbot.keyClick(widget.card, Qt.Key.Key_Space)
    dialog = widget.dialog
    assert dialog.isVisible()
    shown = dialog.text.toPlainText()
    assert RESEARCH_USE in shown
    assert all(name in shown.replace("\xa0", " ") for name in EIGHT_CLASSES.names)
    dialog.copy.click()
    assert QApplication.clipboard().text() == str(model_summary(classifiers()[0]))
    widget.choose(save())
    assert "mine 2 (abababab)" in dialog.text.toPlainText()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_text_of_the_card_can_be_selected(widget, qtbot):
    widget.show_card()
    widget.dialog.text.selectAll()
    widget.dialog.text.copy()
    assert "Research use only" in QApplication.clipboard().text()


def test_card_that_is_gone_is_told(widget, save, tmp_path):
    widget.choose(save())
    (tmp_path / "mine.json").unlink()
    widget.card.click()
    assert "mine.json" in widget.heard[-1]
    assert not widget.dialog.isVisible()


def test_what_stands_in_a_card_is_never_html(widget, save):
    card = replace(
        CARD,
        name=EVIL,
        classes=(EVIL,),
        architecture=EVIL,
        preset={EVIL: EVIL},
        provenance={
            "cells": {f"{EVIL} train": EVIL},
            "sets": {EVIL: EVIL},
            "recipe": {EVIL: EVIL},
            EVIL: EVIL,
        },
        metrics={EVIL: {EVIL: EVIL}, f"{EVIL}2": EVIL},
    )
    summary = model_summary(save("evil", card))
    html = card_html(summary, {})
    assert "<img" not in html
    assert "<script" not in html
    widget.dialog.show_summary(summary, {})
    shown = widget.dialog.text.toPlainText().replace("\xa0", " ")
    assert shown.count(EVIL) == sum(
        text.count(EVIL)
        for section in summary.sections
        for row in (section.header, *section.rows)
        for text in row
    ) + len((summary.model_id, *summary.classes))
    assert EVIL in widget.dialog.windowTitle()


def test_lone_surrogates_are_survived(widget, save, tmp_path):
    path = save()
    data = json.loads(CARD.to_json()) | {"provenance": {"note": "x"}}
    (tmp_path / "mine.json").write_text(json.dumps(data).replace('"x"', '"\\ud800 end"'))
    widget.choose(path)
    widget.show_card()
    assert "end" in widget.dialog.text.toPlainText()


def test_workbench_classifies_with_the_chosen_weights(bench, slide, save, wait, monkeypatch):
    asked: list[str] = []
    fake = analyze.load_classifier
    monkeypatch.setattr(
        analyze, "load_classifier", lambda name, **_options: asked.append(name) or fake()
    )
    path = save()
    bench.open_slide(slide)
    wait(bench)
    bench.analysis.run_field.click()
    wait(bench)
    bench.model.choose(path)
    assert "mine 2" in bench.status.text()
    bench.analysis.run.click()
    wait(bench)
    bench.session.commit(
        bench.session.table.with_cells(
            [cell.moved(cell.detection) for cell in list(bench.session.table.values())[:1]]
        ),
        "move",
    )
    bench.analysis.classify.click()
    wait(bench)
    assert asked == [classifiers()[0], path, path]
    assert bench.status.text() == "1 cell classified"


def test_damaged_weights_are_told_by_the_workbench(
    bench, slide, save, wait, monkeypatch, weights, tmp_path
):
    monkeypatch.setattr(analyze, "load_classifier", predict.load_classifier)
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(weights.read_bytes() + b"?")
    bench.model.choose(str(path))
    bench.open_slide(slide)
    wait(bench)
    bench.analysis.run_field.click()
    wait(bench)
    assert "damaged" in bench.status.text()
    assert len(bench.session.table) == 0


def test_names_of_a_foreign_file_are_plain_text_in_the_status(bench):
    bench.say("<b>bold</b>")
    assert bench.status.text() == "<b>bold</b>"
    assert "&lt;b&gt;" in bench.status.line.toolTip()
