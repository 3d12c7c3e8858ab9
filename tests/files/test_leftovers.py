"""What killed programs left is swept, and nothing of one that runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from napari_wbc.files import leftovers
from napari_wbc.files.atomic import beside, write_bytes
from napari_wbc.files.leftovers import FOLDER, part_name, sweep, sweep_folders

pytestmark = pytest.mark.skipif(os.name != "posix", reason="asks for processes")


@pytest.fixture
def gone(monkeypatch):
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def name_of(process, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: process)
        return part_name()


def test_parts_of_programs_that_ended_are_removed(tmp_path, monkeypatch, gone):
    left = name_of(gone, monkeypatch)
    ours = part_name()
    for name in (left, f"{left}-journal", f".{left}.lock", ours, ".part", "a.part", ".notes"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [ours, ".part", "a.part", ".notes"]
    )


def test_parts_of_another_computer_are_removed_after_a_day(tmp_path, monkeypatch, gone):
    with monkeypatch.context() as patched:
        patched.setattr(leftovers, "_host", lambda: "0" * 8)
        theirs = name_of(gone, monkeypatch)
    older = ".0123456789ab.part"
    for name in (theirs, older):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    before = time.time() - 2 * 86_400
    for name in (theirs, older):
        os.utime(tmp_path / name, (before, before))
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_next_file_that_is_written_sweeps_its_folder(tmp_path, monkeypatch, gone):
    (tmp_path / name_of(gone, monkeypatch)).touch()
    write_bytes(tmp_path / "a", b"a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_being_written_stays(tmp_path):
    with beside(tmp_path / "a") as part:
        part.touch()
        sweep(tmp_path)
        assert part.exists()


def test_temporary_folders_of_programs_that_ended_are_removed(tmp_path, monkeypatch, gone):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / f"{FOLDER}{name_of(gone, monkeypatch)[1:-5]}-abc"
    (left / "images").mkdir(parents=True)
    (tmp_path / f"{FOLDER}somebody's").mkdir()
    sweep_folders()
    assert [path.name for path in tmp_path.iterdir()] == [f"{FOLDER}somebody's"]
