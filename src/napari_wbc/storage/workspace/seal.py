"""Seals: a checksum a row, which tells of a bit that flipped inside a value.

Invariant: a row is sealed in the transaction that writes it, whichever statement that is.
"""

from __future__ import annotations

import sqlite3
import zlib
from functools import cache

from sqlalchemy import ClauseElement, ColumnElement, Table, func
from sqlalchemy.dialects import sqlite

from napari_wbc.storage.workspace import schema

_FUNCTION = "seal_of"


def know_seals(connection: sqlite3.Connection) -> None:
    """Let statements of a connection ask for seals."""
    connection.create_function(_FUNCTION, -1, _seal, deterministic=True)


def seal_of(table: Table) -> ColumnElement[int]:
    """The seal of a row, of all its other columns."""
    columns = [column for column in table.columns if column is not table.c.seal]
    seal: ColumnElement[int] = getattr(func, _FUNCTION)(*columns)
    return seal


def as_sql(query: ClauseElement) -> str:
    """A query or an expression as the text that SQLite takes."""
    options = {"literal_binds": True, "include_table": False}
    return str(query.compile(dialect=sqlite.dialect(), compile_kwargs=options))


def seal_writes(connection: sqlite3.Connection) -> None:
    """Have a connection seal every row that it writes."""
    for trigger in _triggers():
        connection.execute(trigger)


@cache
def _triggers() -> tuple[str, ...]:
    # They are the connection's own: the file has none, and one that has is refused.
    triggers: list[str] = []
    for name, table in schema.metadata.tables.items():
        # Not of the seal itself, or one trigger would call the other.
        columns = ", ".join(f'"{column.name}"' for column in table.columns if column.name != "seal")
        seal = f"UPDATE {name} SET seal = {as_sql(seal_of(table))} WHERE rowid = NEW.rowid"  # noqa: S608, names of ours
        for trigger, event in (("added", "INSERT"), ("changed", f"UPDATE OF {columns}")):
            triggers.append(
                f"CREATE TEMP TRIGGER {name}_{trigger} AFTER {event} ON main.{name} "
                f"BEGIN {seal}; END"
            )
    return tuple(triggers)


def _seal(*values: object) -> int:
    return zlib.crc32("\0".join(map(str, values)).encode())
