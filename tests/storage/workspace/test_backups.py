"""Backups: of several days, put in place under the lock, and no reason to keep a project shut."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from contextlib import closing

import pytest
from tests.storage.workspace.test_workspace import ONE

from napari_wbc.errors import WbcError, WorkspaceError
from napari_wbc.model.table import CellTable
from napari_wbc.storage.workspace import (
    backup_of,
    backups_of,
    open_workspace,
    opening,
    restore_backup,
)

DAY = 86_400


def backed_up_days_ago(path, days):
    open_workspace(path).close()
    when = time.time() - days * DAY
    os.utime(backup_of(path), (when, when))


def test_a_project_that_is_being_written_to_is_not_called_damaged(closed, monkeypatch):
    open_workspace(closed).close()
    monkeypatch.setattr(opening, "_WAIT_S", 0.01)
    with closing(sqlite3.connect(closed, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for read_only in (False, True):
            with pytest.raises(WorkspaceError, match="another program is writing") as caught:
                open_workspace(closed, read_only=read_only)
            assert caught.value.backup is None
    open_workspace(closed).close()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), sqlite3.OperationalError("full")])
def test_a_project_that_cannot_be_backed_up_opens_to_be_read(closed, monkeypatch, error):
    def failing(*_):
        raise error

    monkeypatch.setattr(opening, "_copy", failing)
    with closing(open_workspace(closed)) as opened:
        assert "cannot be backed up (full" in opened.read_only
        assert opened.table("s") == CellTable([ONE])
        with pytest.raises(WbcError, match="read-only"):
            opened.put("place", 1)
    monkeypatch.undo()
    with closing(open_workspace(closed)) as opened:
        assert opened.read_only == ""


def test_a_disk_that_fails_while_a_file_is_checked_is_no_damage(closed, monkeypatch):
    open_workspace(closed).close()
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ

    def failing(_file):
        raise error

    monkeypatch.setattr(opening, "fault_of", failing)
    with pytest.raises(WorkspaceError, match="cannot be read now") as caught:
        open_workspace(closed)
    assert caught.value.backup is None


def test_an_open_project_is_not_moved_aside(closed):
    with closing(open_workspace(closed)) as opened:
        with pytest.raises(WorkspaceError, match="has this project open"):
            restore_backup(closed)
        opened.put("place", 1)
    assert restore_backup(closed).exists()


def test_what_was_there_is_kept_at_each_of_two_restores_in_one_second(closed):
    open_workspace(closed).close()
    asides = []
    for content in (b"first", b"second"):
        closed.write_bytes(content)
        asides.append(restore_backup(closed))
    assert [aside.read_bytes() for aside in asides] == [b"first", b"second"]


def test_the_last_backups_of_earlier_days_are_kept_and_only_some(closed):
    for days in range(10, 0, -1):
        backed_up_days_ago(closed, days)
    open_workspace(closed).close()
    newest, *earlier = backups_of(closed)
    assert newest == backup_of(closed)
    assert len(earlier) == 5
    ages = [round((time.time() - file.stat().st_mtime) / DAY) for file in earlier]
    assert ages == [1, 2, 3, 4, 5]


def test_of_a_damaged_backup_an_earlier_one_is_put_in_place(closed):
    backed_up_days_ago(closed, 1)
    open_workspace(closed).close()
    for file in (closed, backup_of(closed)):
        file.write_bytes(b"damaged")
    restore_backup(closed)
    with closing(open_workspace(closed)) as opened:
        assert opened.table("s") == CellTable([ONE])


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_projects_and_backups_are_their_owners_alone_unless_others_were_let_in(closed):
    open_workspace(closed).close()
    assert closed.stat().st_mode & 0o777 == 0o600
    assert backup_of(closed).stat().st_mode & 0o777 == 0o600
    closed.chmod(0o660)
    open_workspace(closed).close()
    assert backup_of(closed).stat().st_mode & 0o777 == 0o660


def test_a_second_name_of_a_project_is_noticed(closed):
    try:
        os.link(closed, closed.with_name("second.wbc"))
    except OSError:
        pytest.skip("a disk without links")
    for name in (closed.name, "second.wbc"):
        with closing(open_workspace(closed.with_name(name))) as opened:
            assert "hard link" in opened.read_only
            assert opened.table("s") == CellTable([ONE])
