"""An open project file: what is in it, and new steps into it."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import BaseFileLock
from sqlalchemy import Connection, Engine, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import Step, StepHead
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.taxonomy_dict import taxonomy_from_dict
from napari_wbc.storage import codec
from napari_wbc.storage.workspace import schema

__all__ = ["Workspace"]


class Workspace:
    """A project file that is open.

    Made by :func:`~napari_wbc.storage.workspace.opening.open_workspace`. Its methods may be called
    from any thread; each is one transaction, on the disk when it returns.

    Parameters
    ----------
    path : Path
    engine : Engine
        Of one connection.
    read_only : str
        Why nothing can be written; empty where it can.
    lock : BaseFileLock, optional
        Held as long as the file is open.
    closed : callable, optional
        Called once after the file was let go of.
    """

    def __init__(
        self,
        path: Path,
        engine: Engine,
        *,
        read_only: str = "",
        lock: BaseFileLock | None = None,
        closed: Callable[[], None] | None = None,
    ) -> None:
        self.path, self.read_only = path, read_only
        self._engine, self._lock, self._on_closed = engine, lock, closed
        self._turn = threading.RLock()
        self._within: Connection | None = None
        self._closed = False

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            self._closed = True
            self._engine.dispose()
            if self._lock is not None:
                self._lock.release()  # the file stays: to delete it would let two programs in
                self._lock = None
            if self._on_closed is not None:
                self._on_closed()
                self._on_closed = None

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes of the project's cells."""
        return taxonomy_from_dict(self.get("taxonomy"))

    def get(self, key: str) -> Any:
        """A note, None where there is none."""
        with self._begin() as db:
            value = db.scalar(select(schema.notes.c.value).where(schema.notes.c.key == key))
        return None if value is None else json.loads(value)

    def put(self, key: str, value: Any) -> None:
        """Keep a note: anything that JSON can say."""
        row = {"key": key, "value": json.dumps(value)}
        with self._begin(write=True) as db:
            db.execute(_upsert(schema.notes), [row])

    def slides(self) -> tuple[Slide, ...]:
        """The slides with their fields, whose paths lead to where the files are now if they can be found.

        A file that moved together with the project is found by its path from the project's folder.
        """
        table = schema.fields
        with self._begin() as db:
            names = db.scalars(
                select(schema.slides.c.slide).order_by(schema.slides.c.position)
            ).all()
            rows = (
                db.execute(select(table).order_by(table.c.slide, table.c.position)).mappings().all()
            )
        return tuple(
            Slide(
                name,
                tuple(FieldOfView(r["fov_id"], self._found(r)) for r in rows if r["slide"] == name),
            )
            for name in names
        )

    def put_slide(self, slide: Slide) -> None:
        """Keep a slide and where its fields are; fields that were there before stay.

        Raises
        ------
        WbcError
            If the project cannot be written.
        """
        rows = [
            {"fov_id": f.fov_id, "slide": slide.name, "position": i, **self._places(f.path)}
            for i, f in enumerate(slide.fields)
        ]
        table = schema.fields
        with self._begin(write=True) as db:
            theirs = select(table.c.fov_id, table.c.slide).where(table.c.slide != slide.name)
            taken = {row.fov_id: row.slide for row in db.execute(theirs)}
            if twice := next((row for row in rows if row["fov_id"] in taken), None):
                other = taken[twice["fov_id"]]
                raise WbcError(
                    f"{self.path}: field {twice['fov_id']!r} is one of slide {other!r} already; "
                    "rename the folder or the image, or use another project."
                )
            n = db.scalar(select(func.count()).select_from(schema.slides))
            db.execute(
                insert(schema.slides).on_conflict_do_nothing(),
                [{"slide": slide.name, "position": n}],
            )
            if rows:
                db.execute(_upsert(table, "position", "path", "relative"), rows)

    def image_facts(self, slide: str) -> dict[str, tuple[int | None, int | None, str | None]]:
        """Size in bytes, time in nanoseconds and sha256 of each field's image; None before a check."""
        f = schema.fields
        with self._begin() as db:
            rows = db.execute(
                select(f.c.fov_id, f.c.size, f.c.modified, f.c.sha256).where(f.c.slide == slide)
            )
            return {fov_id: (size, modified, sha256) for fov_id, size, modified, sha256 in rows}

    def put_image_facts(self, facts: Sequence[Mapping[str, Any]]) -> None:
        """Keep what is known of images: rows of ``key`` (the field), ``size``, ``modified``, ``sha256``."""
        f = schema.fields
        names = ("size", "modified", "sha256")
        statement = update(f).where(f.c.fov_id == bindparam("key"))
        rows = [
            {"key": fact["key"], **{f"new_{name}": fact[name] for name in names}} for fact in facts
        ]
        with self._begin(write=True) as db:
            _many(db, statement.values({name: bindparam(f"new_{name}") for name in names}), rows)

    def table(self, slide: str, reading: str = "") -> CellTable:
        """The cells of a slide as they are, with the annotations of one reading."""
        cells, said, notes = schema.cells, schema.predictions, schema.annotated
        query = (
            select(
                cells,
                *(c.label(f"p_{c.name}") for c in said.c),
                *(c.label(f"a_{c.name}") for c in notes.c),
            )
            .outerjoin(said, said.c.cell_id == cells.c.cell_id)
            .outerjoin(notes, (notes.c.cell_id == cells.c.cell_id) & (notes.c.reading == reading))
            .where(cells.c.slide == slide)
            .order_by(cells.c.position)
        )
        with self._begin() as db:
            return CellTable(codec.cell_of(dict(row)) for row in db.execute(query).mappings())

    def annotated_elsewhere(self, slide: str, reading: str) -> frozenset[str]:
        """Ids of the cells that other readings of a slide have annotated."""
        cells, said = schema.cells, schema.annotated
        query = (
            select(said.c.cell_id)
            .join(cells, cells.c.cell_id == said.c.cell_id)
            .where(cells.c.slide == slide, said.c.reading != reading)
        )
        with self._begin() as db:
            return frozenset(db.scalars(query))

    def readings(self, slide: str) -> tuple[str, ...]:
        """Names of the readings of a slide that have any annotation or step; the first reader's is empty."""
        steps = schema.steps
        with self._begin() as db:
            found = db.scalars(
                select(steps.c.reading).where(steps.c.slide == slide).distinct()
            ).all()
        return tuple(sorted(found))

    def history(self, slide: str, reading: str = "") -> tuple[list[StepHead], list[StepHead]]:
        """Steps that undo would take back, and those that redo would do again, the next one last."""
        steps = schema.steps
        query = (
            select(steps.c.seq, steps.c.what, steps.c.cause, steps.c.of)
            .where(steps.c.slide == slide, steps.c.reading == reading)
            .order_by(steps.c.seq)
        )
        past: list[StepHead] = []
        future: list[StepHead] = []
        with self._begin() as db:
            rows = db.execute(query).all()
        for seq, what, cause, of in rows:
            if cause == "undo":
                future.append(past.pop())
            elif cause == "redo":
                past.append(future.pop())
            else:
                past.append(StepHead(seq, what, cause, of))
                future.clear()
        return past, future

    def removed(self, seqs: Iterable[int]) -> tuple[Cell, ...]:
        """The cells that steps of the journal took out."""
        changes = schema.changes
        query = (
            select(changes.c.cell_id, changes.c.was)
            .where(changes.c.seq.in_(list(seqs)), changes.c.now.is_(None))
            .order_by(changes.c.seq)
        )
        with self._begin() as db:
            rows = db.execute(query).all()
        return tuple(codec.with_parts(cell_id, None, was) for cell_id, was in rows)

    @property
    def last(self) -> int:
        """Number of the newest step, 0 where there is none."""
        with self._begin() as db:
            return int(db.scalar(select(func.max(schema.steps.c.seq))) or 0)

    def stepped(self, table: CellTable, seq: int, *, back: bool) -> CellTable:
        """The table after a step that is in the journal was taken back, or done again.

        Parameters
        ----------
        table : CellTable
            As it is right after the step, or right before it.
        seq : int
        back : bool
            Whether it is taken back.
        """
        changes = schema.changes
        query = select(changes.c.cell_id, changes.c.was, changes.c.now).where(changes.c.seq == seq)
        with self._begin() as db:
            rows = db.execute(query).all()
        gone, fresh = [], []
        for cell_id, was, now in rows:
            text, cell = was if back else now, table.get(cell_id)
            if text is None:
                gone.append(cell_id)
            elif cell is not None or codec.is_whole(text):
                fresh.append(codec.with_parts(cell_id, cell, text))
            # else another reading has taken the cell out, so there is nothing to change
        return table.without(gone).with_cells(fresh) if gone else table.with_cells(fresh)

    def write(self, slide: str, steps: Sequence[Step], reading: str = "") -> None:
        """Write steps: journal and state in one transaction.

        Raises
        ------
        WbcError
            If they cannot be written; none of them is then.
        """
        with self._begin(write=True) as db:
            for step in steps:
                self._journal(db, slide, reading, step)
                self._apply(db, slide, reading, step)

    def _journal(self, db: Connection, slide: str, reading: str, step: Step) -> None:
        head = {name: getattr(step, name) for name in ("seq", "what", "cause", "by", "when", "of")}
        db.execute(insert(schema.steps), [{**head, "slide": slide, "reading": reading}])
        change = step.change
        rows: list[tuple[str, str | None, str | None]] = [
            (c.cell_id, None, codec.parts_of(c)) for c in change.added
        ]
        rows += [(c.cell_id, codec.parts_of(c), None) for c in change.removed]
        rows += [(b.cell_id, codec.parts_of(a, b), codec.parts_of(b, a)) for a, b in change.changed]
        _many(
            db,
            insert(schema.changes),
            [{"seq": step.seq, "cell_id": key, "was": was, "now": now} for key, was, now in rows],
        )

    def _apply(self, db: Connection, slide: str, reading: str, step: Step) -> None:
        change, cells = step.change, schema.cells
        _many(
            db,
            delete(cells).where(cells.c.cell_id == bindparam("gone")),
            [{"gone": c.cell_id} for c in change.removed],
        )
        own = schema.annotated.c.reading == reading
        _many(
            db,
            delete(schema.annotated).where(schema.annotated.c.cell_id == bindparam("gone"), own),
            [{"gone": c.cell_id} for c in change.removed],
        )
        _many(db, insert(cells), [{**codec.cell_row(c), "slide": slide} for c in change.added])
        moved = [b for a, b in change.changed if a.detection != b.detection]
        columns = [name for name in codec.cell_row(moved[0]) if name != "cell_id"] if moved else []
        _many(
            db,
            update(cells)
            .where(cells.c.cell_id == bindparam("key"))
            .values({name: bindparam(f"new_{name}") for name in columns}),
            [
                {"key": c.cell_id} | {f"new_{name}": codec.cell_row(c)[name] for name in columns}
                for c in moved
            ],
        )
        self._say(db, schema.predictions, _told(change, "prediction"), _prediction)
        self._say(
            db,
            schema.annotated,
            _told(change, "annotation"),
            lambda c: _annotation(c, reading),
            own,
        )

    def _say(
        self,
        db: Connection,
        table: Any,
        told: Iterable[Cell],
        row: Callable[[Cell], dict[str, Any] | None],
        *also: Any,
    ) -> None:
        """Replace what a table says of cells."""
        rows = [(cell.cell_id, row(cell)) for cell in told]
        _many(
            db,
            delete(table).where(table.c.cell_id == bindparam("gone"), *also),
            [{"gone": key} for key, _ in rows],
        )
        _many(db, insert(table), [one for _, one in rows if one is not None])

    def _places(self, path: Path) -> dict[str, str | None]:
        path = path.absolute()
        try:
            relative = os.path.relpath(path, self.path.absolute().parent)
        except ValueError:  # another drive
            return {"path": str(path), "relative": None}
        return {"path": str(path), "relative": Path(relative).as_posix()}

    def _found(self, row: Any) -> Path:
        path = Path(row["path"])
        if not path.exists() and row["relative"] is not None:
            beside = self.path.absolute().parent / row["relative"]
            return beside.resolve() if beside.exists() else path
        return path

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all that is written meanwhile, or nothing of it."""
        with self._begin(write=True) as db:
            self._within = db
            try:
                yield
            finally:
                self._within = None

    @contextmanager
    def _begin(self, *, write: bool = False) -> Iterator[Connection]:
        """A transaction, one at a time."""
        if write and self.read_only:
            raise WbcError(f"{self.path}: opened to be read only, since {self.read_only}.")
        with self._turn:
            if self._closed:
                raise WbcError(f"{self.path}: this project was closed; open it again.")
            try:
                with nullcontext(self._within) if self._within else self._engine.begin() as db:
                    yield db
            except (SQLAlchemyError, sqlite3.Error, UnicodeError) as error:
                told = getattr(error, "orig", None) or error
                raise WbcError(
                    f"{self.path}: the project cannot be {'written' if write else 'read'} ({told}); "
                    "check the disk, then try again."
                ) from error


def _told(change: Any, part: str) -> list[Cell]:
    """Cells of a change that say something new in a part."""
    new = [b for a, b in change.changed if getattr(a, part) != getattr(b, part)]
    return [*(c for c in change.added if getattr(c, part) is not None), *new]


def _prediction(cell: Cell) -> dict[str, Any] | None:
    return None if cell.prediction is None else codec.prediction_row(cell.cell_id, cell.prediction)


def _annotation(cell: Cell, reading: str) -> dict[str, Any] | None:
    return (
        None
        if cell.annotation is None
        else codec.annotation_row(cell.cell_id, reading, cell.annotation)
    )


def _many(db: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        db.execute(statement, rows)


def _upsert(table: Any, *columns: str) -> Any:
    """Insert rows, or set these columns of those that are there; all that are no key where none are named."""
    statement = insert(table)
    keys = [c.name for c in table.primary_key]
    names = columns or [c.name for c in table.c if c.name not in keys]
    return statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in names}
    )
