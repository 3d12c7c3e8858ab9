"""Dialogs begin where they were used last."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_wbc.widgets.qt.files import ask_file, ask_folder, ask_new_file


@pytest.fixture
def parent(qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    return parent


@pytest.fixture
def asked(monkeypatch):
    """What each dialog was asked to begin with; it answers by what ``answer`` holds."""
    seen = []
    answers = {"path": ""}

    def answer(_parent, _title, start="", *_kinds):
        seen.append(start)
        return answers["path"]

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", answer)
    for name in ("getOpenFileName", "getSaveFileName"):
        monkeypatch.setattr(QFileDialog, name, lambda *args: (answer(*args), ""))
    return seen, answers


def test_the_next_slide_is_looked_for_beside_the_last(parent, asked, tmp_path):
    seen, answers = asked
    assert ask_folder(parent, "Open", "slide") is None
    answers["path"] = str(tmp_path / "slide-1")
    assert ask_folder(parent, "Open", "slide") == tmp_path / "slide-1"
    ask_folder(parent, "Open", "slide")
    ask_folder(parent, "Export", "export", "elsewhere")
    assert seen == ["", "", str(tmp_path), "elsewhere"]


def test_files_begin_in_the_folder_of_the_last_file(parent, asked, tmp_path):
    seen, answers = asked
    answers["path"] = str(tmp_path / "mine.wbcmodel")
    ask_file(parent, "Import", "model", "Models (*.wbcmodel)", "start")
    ask_file(parent, "Import", "model", "Models (*.wbcmodel)", "start")
    ask_new_file(parent, "Export", "model", "Model (*.wbcmodel)", "new.wbcmodel")
    assert seen == ["start", str(tmp_path), str(tmp_path / "new.wbcmodel")]


def test_a_folder_that_has_gone_is_not_begun_with(parent, asked, tmp_path):
    seen, answers = asked
    gone = tmp_path / "stick"
    gone.mkdir()
    answers["path"] = str(gone / "slide")
    ask_folder(parent, "Open", "slide")
    gone.rmdir()
    ask_folder(parent, "Open", "slide", "start")
    assert seen == ["", "start"]
