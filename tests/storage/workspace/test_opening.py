"""Files that are no project, or not a whole one, are told apart and left as they are."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace

import pytest
from filelock import FileLock
from tests.storage.workspace.conftest import SLIDE
from tests.storage.workspace.test_workspace import ONE, step

from napari_wbc.errors import WbcError, WorkspaceError
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES, FIVE_CLASSES
from napari_wbc.storage.workspace import (
    backup_of,
    create_workspace,
    open_workspace,
    opening,
    restore_backup,
)
from napari_wbc.storage.workspace.schema import VERSION


def pragma(path, text):
    with closing(sqlite3.connect(path)) as file:
        return file.execute(f"PRAGMA {text}").fetchone()


def test_a_project_says_what_it_is(closed):
    assert pragma(closed, "application_id") == (0x77626331,)
    assert pragma(closed, "user_version") == (VERSION,)


def test_a_file_of_an_older_version_is_backed_up_as_it_was_then_brought_up_to_date(closed):
    pragma(closed, f"user_version = {VERSION - 1}")
    opened = open_workspace(closed)
    assert opened.table("s") == CellTable([ONE])
    opened.close()
    assert pragma(closed, "user_version") == (VERSION,)
    assert pragma(backup_of(closed), "user_version") == (VERSION - 1,)


OUTLINE = Outline(((1.0, 2.0), (1.0, 12.5), (11.0, 12.5)))
FIRST = CellTable(
    [
        Cell(
            "a",
            "s/0.png",
            Detection(OUTLINE.bbox, OUTLINE, 0.875),
            Prediction(
                FIVE_CLASSES.names,
                (0.125, 0.0, 0.5, 0.25, 0.125),
                0.25,
                "cdnn 3 (abcdef01)",
                0.75,
                "ab" * 32,
            ),
            Annotation("monocyte", "me", "2026-01-03T00:00:00+00:00"),
        ),
        Cell("b", "s/1.png", Detection(BBox(1, 1, 10, 10), drawn=True)),
    ]
)
"""What the file of version 1 holds."""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_project_of_version_1_is_brought_up_to_date_and_goes_on(version_1):
    assert pragma(version_1, "user_version") == (1,)
    opened = open_workspace(version_1)
    assert (opened.read_only, opened.taxonomy) == ("", FIVE_CLASSES)
    table = opened.table("s")
    assert table == FIRST
    past, future = opened.history("s")
    assert ([head.what for head in past], future) == (["analyze", "draw", "label", "move"], [])
    before = opened.stepped(table, 4, back=True)
    assert before["b"].detection == Detection(BBox(0, 0, 9, 9), drawn=True)
    found = Cell(
        "c",
        "s/1.png",
        Detection(BBox(20, 20, 30, 30), located_by=LocatedBy("net", (("score", 0.5),))),
    )
    opened.write("s", [step(5, table, table.with_cells([found]))])
    opened.close()
    again = open_workspace(version_1)
    assert again.table("s") == FIRST.with_cells([found])
    assert again.stepped(table, 5, back=False)["c"] == found
    again.close()
    assert pragma(version_1, "user_version") == (VERSION,)


def test_a_project_of_version_2_opens_with_its_cells_labels_and_undo_steps(version_2):
    """The file was made when alembic made the tables."""
    assert pragma(version_2, "user_version") == (2,)
    opened = open_workspace(version_2)
    assert (opened.read_only, opened.taxonomy) == ("", FIVE_CLASSES)
    assert opened.get("place") == {"at": 1}
    table = opened.table("s")
    drawn = FIRST["b"]
    net = LocatedBy("mask-rcnn", (("score", 0.5),))
    assert table == CellTable(
        [
            replace(FIRST["a"], detection=replace(FIRST["a"].detection, located_by=net)),
            replace(drawn, detection=Detection(BBox(0, 0, 9, 9), drawn=True)),
        ]
    )
    assert opened.readings("s") == ("", "second")
    assert opened.table("s", "second")["b"].label == "basophil"
    past, future = opened.history("s")
    assert [head.what for head in past] == ["analyze", "draw", "label"]
    assert [head.what for head in future] == ["delete"]
    assert list(opened.stepped(table, 4, back=False)) == ["a"]
    assert opened.stepped(table, 3, back=True)["a"].annotation is None
    moved = table["b"].moved(Detection(BBox(1, 1, 10, 10), drawn=True))
    found = Cell("c", "s/1.png", Detection(BBox(20, 20, 30, 30), candidate=True))
    opened.write("s", [step(7, table, table.with_cells([moved, found]))])
    opened.close()
    again = open_workspace(version_2)
    assert not table["a"].candidate
    assert again.table("s")["b"] == moved
    assert again.table("s")["c"] == found
    again.close()
    assert pragma(version_2, "user_version") == (VERSION,)


@pytest.mark.parametrize("by_another", [False, True])
def test_a_project_of_version_1_is_read_from_a_copy_and_left_as_it_is(
    version_1, temporary, by_another
):
    before = version_1.read_bytes()
    lock = FileLock(version_1.with_name(f".{version_1.name}.lock"))
    if by_another:
        lock.acquire()
    names = sorted(path.name for path in version_1.parent.iterdir())
    for read_only in (True, False) if by_another else (True,):
        opened = open_workspace(version_1, read_only=read_only)
        assert opened.table("s") == FIRST
        assert [head.seq for head in opened.history("s")[0]] == [1, 2, 3, 4]
        assert opened.get("place") == {"at": 1}
        with pytest.raises(WbcError, match="read-only"):
            opened.put("place", 2)
        assert len(list(temporary.iterdir())) == 1
        opened.close()
        opened.close()
        assert list(temporary.iterdir()) == []
    lock.release()
    assert version_1.read_bytes() == before
    assert sorted(path.name for path in version_1.parent.iterdir()) == names


def test_the_images_of_a_project_that_is_read_from_a_copy_are_found_beside_it(version_1):
    image = version_1.parent / "s" / "0.png"
    image.parent.mkdir()
    image.write_bytes(b"pixels")
    with closing(sqlite3.connect(version_1)) as file, file:
        file.execute("UPDATE fields SET relative = fov_id")
    opened = open_workspace(version_1, read_only=True)
    assert opened.slides()[0].fields[0].path == image
    opened.close()


def test_a_copy_that_cannot_be_made_is_said_and_leaves_nothing(version_1, temporary, monkeypatch):
    before = version_1.read_bytes()

    def full(_copy):
        raise OSError("No space left on device")

    monkeypatch.setattr(opening, "_upgrade", full)
    with pytest.raises(WorkspaceError, match=r"No space left on device.*make room"):
        open_workspace(version_1, read_only=True)
    assert list(temporary.iterdir()) == []
    assert version_1.read_bytes() == before


def spoil_zero(path):
    path.write_bytes(b"")


def spoil_text(path):
    path.write_bytes(b"cell_id,label\n" * 1000)


def spoil_end(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_middle(path):
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 64] = os.urandom(64)
    path.write_bytes(data)


def spoil_foreign(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE photographs (name TEXT)")


def spoil_newer(path):
    pragma(path, f"user_version = {VERSION + 1}")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (spoil_zero, "empty"),
        (spoil_text, "no project"),
        (spoil_end, "damaged"),
        (spoil_middle, "damaged"),
        (spoil_foreign, "another program"),
        (spoil_newer, "newer version"),
    ],
)
def test_a_file_that_is_no_whole_project_is_left_and_its_backup_named(spoil, what, closed):
    open_workspace(closed).close()  # makes the backup
    spoil(closed)
    before = closed.read_bytes()
    with pytest.raises(WorkspaceError, match=what) as caught:
        open_workspace(closed)
    assert closed.read_bytes() == before
    assert caught.value.backup == backup_of(closed)
    assert str(closed) in str(caught.value)
    again = open_workspace(caught.value.backup)
    assert again.table("s") == CellTable([ONE])
    again.close()


def test_without_a_backup_none_is_offered(tmp_path):
    (tmp_path / "p.wbc").write_bytes(b"nothing")
    with pytest.raises(WorkspaceError, match="no backup") as caught:
        open_workspace(tmp_path / "p.wbc")
    assert caught.value.backup is None


def test_a_missing_file_is_named_and_its_backup_where_there_is_one(tmp_path):
    with pytest.raises(WorkspaceError, match="no such file; choose another") as caught:
        open_workspace(tmp_path / "p.wbc")
    assert caught.value.backup is None
    (tmp_path / "p.backup.wbc").touch()
    with pytest.raises(WorkspaceError, match=r"no such file; p\.backup\.wbc beside it") as caught:
        open_workspace(tmp_path / "p.wbc")
    assert caught.value.backup == tmp_path / "p.backup.wbc"


def test_a_second_program_reads_only_and_is_told(workspace, path):
    second = open_workspace(path)
    assert "another program" in second.read_only
    with pytest.raises(WbcError, match="read-only"):
        second.write("s", [])
    workspace.write("s", [step(1, CellTable(), CellTable([ONE]))])
    assert second.table("s") == CellTable([ONE])
    second.close()
    workspace.close()
    third = open_workspace(path)
    assert third.read_only == ""
    third.close()


def test_to_read_only_is_a_choice(closed):
    opened = open_workspace(closed, read_only=True)
    assert opened.table("s") == CellTable([ONE])
    with pytest.raises(WbcError, match="read-only"):
        opened.put_slide(SLIDE)
    opened.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_to_is_read_only(closed):
    closed.chmod(0o444)
    opened = open_workspace(closed)
    assert "may not be written" in opened.read_only
    opened.close()


def test_a_project_is_not_made_over_a_file(closed):
    before = closed.read_bytes()
    with pytest.raises(WbcError, match="already"):
        create_workspace(closed, EIGHT_CLASSES)
    assert closed.read_bytes() == before


def test_a_project_that_cannot_be_made_leaves_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WbcError, match="cannot be made"):
        create_workspace(tmp_path / "file" / "p.wbc", EIGHT_CLASSES)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_project_that_is_gone_is_not_made_over_its_backup(closed):
    open_workspace(closed).close()
    backup = backup_of(closed).read_bytes()
    closed.unlink()
    with pytest.raises(WorkspaceError, match="backup") as caught:
        create_workspace(closed, EIGHT_CLASSES)
    assert backup_of(closed).read_bytes() == backup
    assert caught.value.backup == backup_of(closed)
    assert restore_backup(closed) == closed
    again = open_workspace(closed)
    assert again.table("s") == CellTable([ONE])
    again.close()


def test_a_backup_takes_the_place_of_a_damaged_file_which_is_kept(closed):
    open_workspace(closed).close()
    closed.write_bytes(b"damaged")
    aside = restore_backup(closed)
    assert aside.read_bytes() == b"damaged"
    again = open_workspace(closed)
    assert again.table("s") == CellTable([ONE])
    again.close()


@pytest.mark.skipif(os.name != "posix", reason="makes a symbolic link")
def test_a_project_is_locked_by_whatever_name(workspace, path, tmp_path):
    link = tmp_path / "link.wbc"
    link.symlink_to(path)
    second = open_workspace(link)
    assert "another program" in second.read_only
    second.close()


def test_a_project_that_another_program_made_meanwhile_is_not_replaced(path, monkeypatch):
    put_in_place = opening._put_in_place

    def late(part, target):
        target.write_bytes(b"theirs")
        put_in_place(part, target)

    monkeypatch.setattr(opening, "_put_in_place", late)
    with pytest.raises(WbcError, match="already"):
        create_workspace(path, EIGHT_CLASSES)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == b"theirs"


def test_a_closed_project_stays_closed(workspace):
    workspace.close()
    with pytest.raises(WbcError, match="was closed"):
        workspace.put("place", 1)


def test_a_damaged_backup_is_not_put_in_place(closed):
    open_workspace(closed).close()
    backup_of(closed).write_bytes(b"damaged")
    before = closed.read_bytes()
    with pytest.raises(WbcError, match="no project"):
        restore_backup(closed)
    assert closed.read_bytes() == before
    assert not list(closed.parent.glob(".*.part"))


def test_what_a_killed_program_left_half_done_is_not_rolled_back_into_the_backup(closed):
    open_workspace(closed).close()
    journal = closed.with_name(f"{closed.name}-journal")
    journal.write_bytes(b"half done")
    closed.unlink()
    restore_backup(closed)
    assert not journal.exists()
    again = open_workspace(closed)
    assert again.table("s") == CellTable([ONE])
    again.close()
