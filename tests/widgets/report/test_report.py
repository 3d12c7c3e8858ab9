"""The page Report: written, shown, signed, and refused with the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_wbc.imaging.read import open_slide
from napari_wbc.pipeline.lab_report.choice import Choice, choice_key
from napari_wbc.pipeline.lab_report.reference import INTERVALS


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """The pages that are shown; the dialog answers with a folder, the other with a name."""
    pages = []
    folder = str(tmp_path / "report")
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: pages.append(url.toLocalFile()))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: folder)
    monkeypatch.setattr(QInputDialog, "getText", lambda *_args, **_more: ("A. Reader", True))
    return pages


def test_the_report_is_written_and_shown(analyzed, wait, shown, tmp_path):
    panel = analyzed.report
    panel.wbc.value = 17.4
    panel.specimen.value = "H26-1"
    panel.write.click()
    wait(analyzed)
    assert shown == [str(tmp_path / "report" / "report.html")], analyzed.status.text()
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "H26-1" in page
    written = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert written
    assert "The report is written" in analyzed.status.text()


def test_what_is_missing_is_said_before_a_name_is_asked_for(analyzed, wait, shown, monkeypatch):
    asked = []
    monkeypatch.setattr(QInputDialog, "getText", lambda *args, **_more: asked.append(args))
    analyzed.report.sign.click()
    wait(analyzed)
    text = analyzed.status.text()
    assert "cannot be signed yet" in text
    assert f"{len(analyzed.session.table)} cells not reviewed" in text
    assert "of 100 counted" in text
    assert not shown
    assert not asked


def test_who_gives_no_name_signs_nothing(analyzed, wait, shown, monkeypatch):
    monkeypatch.setattr(QInputDialog, "getText", lambda *_args, **_more: ("A. Reader", False))
    ids = list(analyzed.session.table)
    analyzed.actions.label("lymphocyte", ids)
    analyzed.report.target.value = len(ids)
    analyzed.report.sign.click()
    wait(analyzed)
    assert not shown
    assert not analyzed.report.jobs.running


def test_a_reviewed_slide_is_signed_in_the_open_project(analyzed, wait, shown, tmp_path):
    ids = list(analyzed.session.table)
    analyzed.actions.label("lymphocyte", ids)
    analyzed.report.target.value = len(ids)
    analyzed.report.sign.click()
    wait(analyzed)
    assert shown, analyzed.status.text()
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "A. Reader" in page
    assert analyzed.header.signature.isHidden()
    # A label that changes afterwards breaks the signature, which is said at once.
    analyzed.actions.label("monocyte", ids[:1])
    wait(analyzed)
    assert "Changed since A. Reader signed" in analyzed.status.text()
    assert "amended report" in analyzed.header.signature.text()
    assert not analyzed.header.signature.isHidden()
    analyzed.session.undo()
    wait(analyzed)
    assert analyzed.header.signature.isHidden()
    analyzed.session.redo()
    analyzed.report.write.click()
    wait(analyzed)
    assert "broken" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8").lower()


def test_without_a_slide_the_buttons_say_why(bench):
    assert not bench.report.write.isEnabled()
    assert "No slide is open" in bench.report.sign.toolTip()


def test_what_was_said_of_a_slide_is_kept_and_not_taken_for_another(analyzed, wait, shown, folder):
    panel = analyzed.report
    panel.specimen.value, panel.wbc.value, panel.sex.value = "H26-1", 17.4, "female"
    panel.write.click()
    wait(analyzed)
    first = analyzed.session.slide
    other = folder.parent / "other"
    other.mkdir()
    Image.fromarray(np.full((48, 64, 3), 200, np.uint8)).save(other / "a.png")
    analyzed.open_slide(open_slide(other))
    wait(analyzed)
    assert (panel.specimen.value, panel.wbc.value, panel.sex.value) == ("", 0, "not said")
    analyzed.open_slide(first)
    wait(analyzed)
    assert (panel.specimen.value, panel.wbc.value, panel.sex.value) == ("H26-1", 17.4, "female")


def test_the_shell_takes_what_was_chosen_in_the_window_and_the_window_what_in_the_shell(
    analyzed, wait, shown, tmp_path
):
    panel = analyzed.report
    panel.specimen.value, panel.age.value = "H26-1", 0.5
    panel.rules.fields["bands_apart"].value = True
    panel.write.click()
    wait(analyzed)
    workspace = analyzed.session.workspace
    key = choice_key(analyzed.session.slide.name)
    assert workspace.get(key) == {"specimen": "H26-1", "age": 0.5, "bands_apart": True}
    # As the shell keeps it.
    chosen = Choice(specimen="H26-2", wbc=17.456, within=5.0, correct_from=3.0)
    workspace.put(key, chosen.given)
    panel._show_kept()
    assert panel.choice == chosen
    assert panel.age.value == -1
    # What the form cannot show is as usual.
    workspace.put(key, {"wbc": "x", "target": 5})
    panel._show_kept()
    assert panel.choice == Choice(target=5)


def test_counting_rules_and_masking_are_in_the_report(analyzed, wait, shown, tmp_path):
    panel = analyzed.report
    own = tmp_path / "own.csv"
    own.write_text(INTERVALS.read_text(encoding="utf-8"), encoding="utf-8")
    values = {"unidentified_counted": True, "simultaneous": True, "intervals": own}
    for name, value in values.items():
        panel.rules.fields[name].value = value
    panel.masked.value = True
    panel.write.click()
    wait(analyzed)
    assert shown, analyzed.status.text()
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["policy"]["unidentified_counted"]
    assert report["policy"]["simultaneous"]
    assert report["slide"] == "masked"
    assert panel.choice.intervals == str(own)


def test_what_is_not_saved_is_not_reported(analyzed, wait, shown, monkeypatch):
    monkeypatch.setattr(analyzed.session, "flush", lambda: False)
    analyzed.report.write.click()
    wait(analyzed)
    assert not shown


def test_two_people_sign_and_a_change_is_amended(analyzed, wait, shown, tmp_path, monkeypatch):
    ids = list(analyzed.session.table)
    analyzed.actions.label("lymphocyte", ids)
    analyzed.report.target.value = len(ids)

    def sign(name):
        monkeypatch.setattr(QInputDialog, "getText", lambda *_args, **_more: (name, True))
        analyzed.report.sign.click()
        wait(analyzed)
        report = (tmp_path / "report" / "report.json").read_text(encoding="utf-8")
        signed = json.loads(report)["signed"]
        return signed["version"], [each["name"] for each in signed["signatures"]]

    assert sign("A") == (1, ["A"])
    assert sign("B") == (1, ["A", "B"])
    # The same person twice is no second opinion.
    assert sign("B") == (1, ["A", "B"])
    assert "has signed version 1 already" in analyzed.status.text()
    analyzed.actions.label("monocyte", ids[:1])
    assert sign("A") == (2, ["A"])
    assert (tmp_path / "report" / "signed-1.json").exists()


def test_films_of_one_blood_are_reported_as_one(analyzed, wait, shown, tmp_path):
    panel = analyzed.report
    assert not panel.pool.enabled
    assert "one slide" in panel.pool.tooltip
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.full((48, 64, 3), 200, np.uint8)).save(other / "a.png")
    workspace = analyzed.session.workspace
    workspace.put_slide(open_slide(other))
    panel._show_slide()
    assert panel.pool.enabled
    panel.specimen.value = "of one film"
    panel.pool.value = True
    # Of the pool nothing was chosen yet.
    assert panel.specimen.value == ""
    panel.specimen.value = "H26-1"
    panel.write.click()
    wait(analyzed)
    assert shown, analyzed.status.text()
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    name = f"{analyzed.session.slide.name} + other"
    assert (report["slide"], report["specimen"]) == (name, "H26-1")
    assert report["located"] == len(analyzed.session.table)
    assert workspace.get(choice_key(name)) == {"specimen": "H26-1"}
    panel.pool.value = False
    assert panel.specimen.value == ""
