"""Who reads is whom a person names, and not who is logged in."""

from __future__ import annotations

import getpass

from pytestqt.qtbot import QtBot

from napari_wbc.session.session import Session
from napari_wbc.widgets.slide.reader import ReaderName


def test_nobody_is_named_until_a_person_does_so(qtbot: QtBot, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "jane.roe")
    session = Session()
    name = ReaderName(session)
    qtbot.addWidget(name)
    assert session.reader == ""
    qtbot.keyClicks(name, " r7 ")
    assert session.reader == "r7"
    name.editingFinished.emit()
    again = Session()
    qtbot.addWidget(ReaderName(again))
    assert again.reader == "r7"


def test_a_blind_reading_is_named_by_its_own(qtbot: QtBot):
    session = Session()
    name = ReaderName(session)
    qtbot.addWidget(name)
    qtbot.keyClicks(name, "ada")
    name.read_as("ben")
    assert (session.reader, name.text(), name.isEnabled()) == ("ben", "ben", False)
    name.read_as("")
    assert (session.reader, name.text(), name.isEnabled()) == ("ada", "ada", True)


def test_the_login_stands_in_no_label(analyzed, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "jane.roe")
    cell_id = next(iter(analyzed.session.table))
    analyzed.actions.label("monocyte", (cell_id,))
    assert analyzed.session.table[cell_id].annotation.annotator == ""
