"""Making and opening project files: checked first, locked, upgraded on a copy, never half made.

A file that is damaged, foreign or of a newer version is told apart before anything is written to
it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from urllib.parse import quote

from filelock import BaseFileLock, Timeout
from sqlalchemy import Engine, create_engine, event, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from napari_wbc.errors import WbcError, WorkspaceError
from napari_wbc.files.atomic import (
    all_or_nothing,
    beside,
    missing_folders,
    put_new,
    remove_made,
)
from napari_wbc.files.guard import one_line
from napari_wbc.files.leftovers import folder_prefix, sweep, sweep_folders
from napari_wbc.files.locks import held, locked, unlocked
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.storage.workspace import schema
from napari_wbc.storage.workspace.damage import (
    EARLIER,
    backup_of,
    backups_of,
    earlier_backup,
    fault_of,
    fault_of_rows,
    not_damaged,
    stranger_in,
    told,
    unusable,
)
from napari_wbc.storage.workspace.seal import know_seals, seal_of, seal_writes
from napari_wbc.storage.workspace.workspace import Workspace

SUFFIX = ".wbc"
APPLICATION = 0x77626331
"""``application_id`` of a project file: "wbc1"."""
_MAGIC = b"SQLite format 3\0"
_HEADER = 100
"""Bytes of a database's header."""
_WAIT_S = 5


def create_workspace(path: str | Path, taxonomy: Taxonomy) -> Workspace:
    """Make a project file with its classes and open it."""
    path = Path(path).resolve()
    if path.exists():
        raise _taken(path)
    if backup_of(path).exists():
        raise WorkspaceError(
            f"{path}: this project is gone, but {backup_of(path).name} beside it is its backup; "
            "open that.",
            backup_of(path),
        )
    try:
        with all_or_nothing() as made:
            made.extend(missing_folders(path.parent))
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside(path) as part:
                _make_private(part)
                with closing(sqlite3.connect(part)) as file:
                    file.execute(f"PRAGMA application_id = {APPLICATION}")
                _upgrade(part)
                with closing(Workspace(path, _engine(part, write=True))) as new:
                    new.put("taxonomy", taxonomy.to_dict())
                _put_in_place(part, path)
                made.append(path)
            opened = _opened(path, read_only=False, back_up=False)
            if opened.read_only:
                opened.close()
                raise _not_made(path, opened.read_only)
            return opened
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        raise _not_made(path, told(error)) from error


def restore_backup(path: str | Path) -> Path:
    """Put the newest backup of a project that is whole in its place.

    What stands there is kept under another name, and nothing is done while a program has it open.

    Returns
    -------
    Path
        Where the damaged file is now; ``path`` itself where there was none.
    """
    path = Path(path).resolve()
    try:
        with held(lock_of(path)):
            return _restored(path, _whole_backup(path))
    except Timeout as error:
        raise WorkspaceError(
            f"{path}: another program has this project open; close it there, then restore its "
            "backup.",
            None,
        ) from error
    except (OSError, sqlite3.Error) as error:
        raise WbcError(
            f"{path}: the backup cannot be put in place ({one_line(error)}); copy it by hand."
        ) from error


def _whole_backup(path: Path) -> Path:
    """The newest backup that is a whole project; the error is that of the newest."""
    newest, *earlier = backups_of(path) or (backup_of(path),)
    try:
        _checked(newest)
    except WorkspaceError:
        for backup in earlier:
            with suppress(WorkspaceError):
                _checked(backup)
                return backup
        raise
    return newest


def _restored(path: Path, backup: Path) -> Path:
    """Under the lock, put a backup in place, and return where the damaged file is now."""
    aside = path
    journal = path.with_name(f"{path.name}-journal")
    with beside(path) as part:
        _copy(backup, part)
        if path.exists():
            aside = _aside(path)
            path.replace(aside)
        # The journal of the damaged file would be rolled back into this one.
        if journal.exists():
            journal.replace(aside.with_name(f"{aside.name}-journal.old"))
        _put_in_place(part, path)
    return aside


def _aside(path: Path) -> Path:
    """A new name for a damaged file."""
    stem = f"{path.stem}.damaged-{datetime.now():%Y%m%d-%H%M%S}"
    # Two may be restored in one second.
    for end in chain([""], map("-{}".format, count(2))):
        aside = path.with_name(f"{stem}{end}{path.suffix}")
        if not aside.exists():
            break
    return aside


def open_workspace(path: str | Path, *, read_only: bool = False) -> Workspace:
    """Open a project file.

    Parameters
    ----------
    read_only : bool
        Do not write, though one could. A file that another program has open, or that may not be
        written to, is opened to be read only in any case; :attr:`Workspace.read_only` says why.

    Raises
    ------
    WorkspaceError
        If the file is missing, empty, damaged, foreign or of a newer version; it stays as it is,
        and the message names a backup where there is one.

    Notes
    -----
    A file of an older version is brought up to date on a copy that takes its place. One that is
    only read stays as it is; a private copy is read, which is deleted when the project is closed.
    """
    return _opened(Path(path).resolve(), read_only=read_only, back_up=True)


def _opened(path: Path, *, read_only: bool, back_up: bool) -> Workspace:
    # A program that was killed may have left a second name of the file.
    sweep(path.parent)
    version = _checked(path)
    why = "it was opened to be read only" if read_only else _unwritable(path)
    lock = None
    new_lock = not lock_of(path).exists()
    if not why:
        try:
            lock = locked(lock_of(path))
        except Timeout:
            why = "another program has it open"
        except OSError as error:
            why = f"it cannot be locked: {error.strerror}"
    if lock is not None:
        try:
            why = _bring_up_to_date(path, version, back_up=back_up)
            if not why:
                return Workspace(path, _engine(path, write=True), lock=lock)
        except BaseException:
            _let_go(path, lock, new=new_lock)
            raise
        _let_go(path, lock, new=new_lock)
    if version < schema.VERSION:
        return _opened_copy(path, why)
    return Workspace(path, _engine(path, write=False), read_only=why)


def _let_go(path: Path, lock: BaseFileLock, *, new: bool) -> None:
    if new:
        remove_made([lock_of(path)])
    unlocked(lock)


def _bring_up_to_date(path: Path, version: int, *, back_up: bool) -> str:
    """Back a file up and bring it to the newest version; the file must be locked.

    Returns
    -------
    str
        Why it can only be read; empty where all was done.
    """
    try:
        with beside(path) as part:
            if version < schema.VERSION:
                _copy_upgraded(path, part)
            # Only of a file that was found sound, and as it was.
            if back_up:
                _back_up(path)
            if version < schema.VERSION:
                part.replace(path)
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        what = "brought up to date" if version < schema.VERSION else "backed up"
        return f"it cannot be {what} ({told(error)}); make room on the disk, then open it again"
    return ""


def _opened_copy(path: Path, why: str) -> Workspace:
    """A file of an older version, read from a private copy that is brought up to date."""
    folder = None
    try:
        # The program may not write beside the project, so not there.
        sweep_folders()
        folder = tempfile.TemporaryDirectory(prefix=folder_prefix(), ignore_cleanup_errors=True)
        copy = Path(folder.name) / "copy.wbc"
        _copy_upgraded(path, copy)
        return Workspace(path, _engine(copy, write=False), read_only=why, closed=folder.cleanup)
    except (OSError, sqlite3.Error, SQLAlchemyError, WbcError) as error:
        if folder is not None:
            folder.cleanup()
        if isinstance(error, WbcError):
            raise
        raise unusable(
            path,
            "this file was made by an older version, and no copy of it can be brought up to date "
            f"in {tempfile.gettempdir()} ({told(error)}); make room there",
        ) from error


def lock_of(path: Path) -> Path:
    """The file that is locked while a project is open."""
    return path.with_name(f".{path.name}.lock")


def _taken(path: Path) -> WbcError:
    return WbcError(
        f"{path}: there is a file of this name already; open it, or choose another name."
    )


def _not_made(path: Path, why: str) -> WbcError:
    return WbcError(f"{path}: a project cannot be made here ({why}); choose another place.")


def _put_in_place(part: Path, path: Path) -> None:
    """Give a new file its name, unless another program was quicker."""
    try:
        put_new(part, path)
    except FileExistsError as error:
        raise _taken(path) from error


def _make_private(path: Path) -> None:
    """Make an empty file that its owner alone may read: names of patients may come into it."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _checked(path: Path) -> int:
    """Version of a project file that is whole.

    What a program that was killed left half done is rolled back, if it may be; nothing else is
    written.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER)
    except FileNotFoundError as error:
        backup = backup_of(path)
        there = f"; {backup.name} beside it is a backup of it" if backup.is_file() else ""
        raise WorkspaceError(
            f"{path}: there is no such file{there}; choose another.",
            backup if there else None,
        ) from error
    except OSError as error:
        raise unusable(path, f"it cannot be read ({error.strerror})") from error
    if not start:
        raise unusable(path, "this file is empty (0 bytes)")
    if not start.startswith(_MAGIC):
        raise unusable(path, "this is no project of napari-wbc")
    # As SQLite's file format has them. SQLite itself is not asked: it would roll back a journal
    # first, and so write to a file that may be another program's.
    version = int.from_bytes(start[60:64], "big")
    application = int.from_bytes(start[68:72], "big")
    if application != APPLICATION:
        raise unusable(path, "this is no project of napari-wbc but another program's database")
    if version > schema.VERSION:
        raise unusable(
            path, "this file was made by a newer version of napari-wbc; install that one"
        )
    with _damage_told(path), closing(_connect(path, write=not _unwritable(path))) as file:
        if stranger := stranger_in(file):
            raise unusable(path, f"this file has the {stranger}, which no project has")
        fault = fault_of(file)
        # An older version has no seals; its rows are checked after the upgrade.
        if not fault and version == schema.VERSION:
            fault = fault_of_rows(file)
    _refuse(path, fault)
    return version


def _copy_upgraded(path: Path, copy: Path) -> None:
    """Copy a file of an older version, bring the copy to the newest one, and read all of it.

    Its rows had no seals, and get theirs here; so this is the last time to find damage in them.
    """
    _copy(path, copy)
    _upgrade(copy)
    with _damage_told(path), closing(_connect(copy, write=False)) as file:
        _refuse(path, fault_of_rows(file))
    with closing(Workspace(path, _engine(copy, write=False))) as upgraded:
        upgraded.check()


def _refuse(path: Path, fault: str) -> None:
    if fault:
        raise unusable(path, f"this file is damaged ({fault})")


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Tell what SQLite finds damaged in a file as the damage of that project."""
    try:
        yield
    # SQLite's own message may repeat a name that is damaged.
    except (sqlite3.Error, UnicodeError) as error:
        fault = unusable(path, f"this file is damaged ({one_line(error)})")
        raise not_damaged(path, error) or fault from error


def _unwritable(path: Path) -> str:
    if not os.access(path, os.W_OK):
        return "the file may not be written to"
    # SQLite keeps its own journal beside the file.
    if not os.access(path.parent, os.W_OK):
        return "its folder may not be written to"
    # Locks and journals go by the name, so that a program could write to it by the other one.
    if path.stat().st_nlink > 1:
        return "the file has a second name (a hard link); open a copy of it"
    return ""


def _connect(path: Path, *, write: bool) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.resolve()))}?mode={'rw' if write else 'ro'}"
    return sqlite3.connect(
        uri,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_WAIT_S,
        cached_statements=256,
    )


def _engine(path: Path, *, write: bool, seal: bool = True) -> Engine:
    """One connection, on which transactions begin with a lock and are on the disk when they end."""

    def connect() -> sqlite3.Connection:
        connection = _connect(path, write=write)
        connection.execute("PRAGMA foreign_keys = ON")
        know_seals(connection)
        if write:
            # WAL of SQLite before 3.51.3 can corrupt a file; a rollback journal works everywhere.
            connection.execute("PRAGMA journal_mode = DELETE")
            # EXTRA, since FULL does not sync the folder after the journal is gone.
            connection.execute("PRAGMA synchronous = EXTRA")
        if write and seal:
            seal_writes(connection)
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    begin = "BEGIN IMMEDIATE" if write else "BEGIN"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _upgrade(path: Path) -> None:
    """Bring a file to the newest version, in place; only ever done to a copy."""
    # It has no tables yet whose rows could be sealed as they are written.
    engine = _engine(path, write=True, seal=False)
    try:
        with engine.begin() as db:
            schema.upgrade(db)
            for table in schema.metadata.sorted_tables:
                unsealed = update(table).where(table.c.seal.is_(None))
                db.execute(unsealed.values(seal=seal_of(table)))
            db.exec_driver_sql(f"PRAGMA user_version = {schema.VERSION}")
    finally:
        engine.dispose()


def _back_up(path: Path) -> None:
    """Keep the state of a file, and that of earlier days."""
    newest = backup_of(path)
    with beside(newest) as part:
        _copy(path, part)
        if newest.is_file():
            day = f"{datetime.fromtimestamp(newest.stat().st_mtime):%Y%m%d}"
            if day != f"{datetime.now():%Y%m%d}":
                newest.replace(earlier_backup(path, day))
        part.replace(newest)
    remove_made(backups_of(path)[1 + EARLIER :])


def _copy(source: Path, target: Path) -> None:
    _make_private(target)
    with closing(_connect(source, write=False)) as file, closing(sqlite3.connect(target)) as copy:
        file.backup(copy)
    # A laboratory may have opened its project to others.
    shutil.copymode(source, target)
