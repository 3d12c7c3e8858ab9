"""What is wrong with a project file, told before anything of it is used, and its backup."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    Integer,
    Text,
    create_engine,
    func,
    literal,
    or_,
    select,
)

from napari_wbc.errors import WorkspaceError
from napari_wbc.files.guard import one_line
from napari_wbc.storage.workspace import schema
from napari_wbc.storage.workspace.seal import as_sql, know_seals, seal_of

_KNOWN = (*schema.metadata.tables, "alembic_version")
"""Tables of a project; alembic made those of older versions, and noted it."""
_KINDS = {Integer: "integer", Float: "real", Text: "text"}


EARLIER = 5
"""How many backups of earlier days are kept."""
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_DISK = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN),
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM),
)
"""What SQLite calls a disk that is full or fails, or a file that may not be used: no damage."""


def backup_of(path: str | Path) -> Path:
    """Where the backup of a project is kept: the state when it was last opened."""
    path = Path(path).resolve()
    return path.with_name(f"{path.stem}.backup{path.suffix}")


def backups_of(path: str | Path) -> tuple[Path, ...]:
    """The backups of a project, the newest first: the last, and the last of some earlier days."""
    path = Path(path).resolve()
    newest = backup_of(path)
    earlier: list[Path] = []
    for file in path.parent.iterdir():
        # Not by a pattern, in which the name of a project may have a meaning.
        day = file.name.removeprefix(f"{path.stem}.backup-").removesuffix(path.suffix)
        if file.name == earlier_backup(path, day).name and day.isdecimal():
            earlier.append(file)
    return (*filter(Path.is_file, [newest]), *sorted(earlier, reverse=True))


def earlier_backup(path: Path, day: str) -> Path:
    """Where the last backup of an earlier day is kept, such as of ``20261130``."""
    return path.with_name(f"{path.stem}.backup-{day}{path.suffix}")


def not_damaged(path: Path, error: Exception) -> WorkspaceError | None:
    """What to say of an error of SQLite that tells of no damage; None where it may."""
    # The lowest byte is the kind, the others say more of it.
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in _IN_USE:
        return WorkspaceError(
            f"{path}: another program is writing to it ({told(error)}); wait for it, then try "
            "again.",
            None,
        )
    if code in _DISK:
        return WorkspaceError(
            f"{path}: it cannot be read now ({told(error)}); make room on the disk and check that "
            "you may use the file, then try again.",
            None,
        )
    return None


def unusable(path: Path, what: str) -> WorkspaceError:
    """The error of a file that cannot be used, which names its backup where there is one."""
    backup = backup_of(path)
    text = f"{path}: {what}. It was left as it is"
    if not backup.is_file():
        return WorkspaceError(f"{text}; there is no backup beside it, choose another file.", None)
    when = datetime.fromtimestamp(backup.stat().st_mtime).isoformat(" ", "minutes")
    return WorkspaceError(
        f"{text}; {backup.name} beside it is a backup of {when}: open that.", backup
    )


def told(error: Exception) -> str:
    """What went wrong, in one line, without the statement that SQLAlchemy has in its message."""
    error = getattr(error, "orig", None) or error
    return getattr(error, "strerror", None) or one_line(error)


def stranger_in(file: sqlite3.Connection) -> str:
    """What is in a file and in no project, with its name: a view, a trigger, another table."""
    # Asked first: to read a table may run what is in a view or a trigger.
    rows = file.execute("SELECT type, name, tbl_name, rootpage FROM sqlite_schema")
    for kind, name, table, page in rows:
        known = table in _KNOWN or str(table).startswith("sqlite_")
        # What has no page of its own is a view, a trigger or a virtual table.
        if kind not in ("table", "index") or not known or not page:
            return f"{kind} {name!r}"
    return ""


def fault_of(file: sqlite3.Connection) -> str:
    """What is damaged in a file; empty if nothing is."""
    (check,) = file.execute("PRAGMA integrity_check(1)").fetchone()
    if check != "ok":
        return " ".join(str(check).split())
    if file.execute("PRAGMA foreign_key_check").fetchone():
        return "rows that belong to nothing"
    return ""


def fault_of_rows(file: sqlite3.Connection) -> str:
    """What is damaged in the rows of a file of the newest version; empty if nothing is."""
    if _form_of(file) != _form():
        return "its tables are not those of a project"
    know_seals(file)
    for table in schema.metadata.sorted_tables:
        other_seal = table.c.seal.is_distinct_from(seal_of(table))
        wrong = or_(*map(_of_wrong_kind, table.columns), other_seal)
        query = select(literal(1)).select_from(table).where(wrong).limit(1)
        if file.execute(as_sql(query)).fetchone():
            return f"a row of {table.name} is not as it was written"
    elsewhere = (
        "SELECT 1 FROM cells JOIN fields USING (fov_id) WHERE cells.slide <> fields.slide LIMIT 1"
    )
    return "cells of another slide's field" if file.execute(elsewhere).fetchone() else ""


def _of_wrong_kind(column: Column[Any]) -> ColumnElement[bool]:
    """Whether a value is of another type than its column, which SQLite does not mind."""
    kinds = [_KINDS[type(column.type)]]
    if column.nullable:
        kinds.append("null")
    return func.typeof(column).not_in(kinds)


def _form_of(file: sqlite3.Connection) -> frozenset[tuple[object, ...]]:
    """Columns, keys and indices of the tables of a project."""
    found: set[tuple[object, ...]] = set()
    for name in schema.metadata.tables:
        # What comes before is an order, and the order of an older version is another.
        for pragma, start in (("table_xinfo", 1), ("foreign_key_list", 2), ("index_list", 2)):
            rows = file.execute(f"PRAGMA {pragma}({name})")
            found.update((name, pragma, *row[start:]) for row in rows)
    return frozenset(found)


@cache
def _form() -> frozenset[tuple[object, ...]]:
    """The form that a new project has."""
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as file:
        engine = create_engine("sqlite://", creator=lambda: file)
        with engine.connect() as db:
            schema.metadata.create_all(db)
        return _form_of(file)
