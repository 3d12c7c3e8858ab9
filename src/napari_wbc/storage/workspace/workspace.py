"""An open project file: what is in it, and new steps into it."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from filelock import BaseFileLock
from sqlalchemy import Connection, Engine, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from napari_wbc.errors import WbcError
from napari_wbc.files.guard import one_line
from napari_wbc.files.locks import unlocked
from napari_wbc.model.cell import Cell
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import Step, StepHead
from napari_wbc.model.table import CellTable, TableDiff
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.taxonomy_dict import taxonomy_from_dict
from napari_wbc.storage import codec
from napari_wbc.storage.workspace import schema
from napari_wbc.storage.workspace.damage import told, unusable

Row = Mapping[str, Any]
NONSENSE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading values of another form than ours ends in."""


class Change(NamedTuple):
    """What a step did to one cell, as JSON; ``was`` and ``now`` are None where it was not there."""

    slide: str
    reading: str
    cell_id: str
    was: str | None
    now: str | None


class Workspace:
    """A project file that is open.

    Made by :func:`~napari_wbc.storage.workspace.opening.open_workspace`. Its methods may be called
    from any thread; each is one transaction, on the disk when it returns, or else raises a
    :class:`~napari_wbc.errors.WbcError` and changes nothing.

    Parameters
    ----------
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
        self.path = path
        self.read_only = read_only
        self._engine = engine
        self._lock = lock
        self._on_closed = closed
        # One connection, so one transaction at a time; a thread may begin a second within its own.
        self._turn = threading.RLock()
        self._within: Connection | None = None
        self._closed = False

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            self._closed = True
            self._engine.dispose()
            if self._lock is not None:
                # The lock file stays: a program that waits for it would lock the one that is gone.
                unlocked(self._lock)
                self._lock = None
            if self._on_closed is not None:
                self._on_closed()
                self._on_closed = None

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes of the project's cells."""
        value = self.get("taxonomy")
        with self._understood("its classes"):
            return taxonomy_from_dict(value)

    def get(self, key: str) -> Any:
        """A note, None where there is none."""
        with self._begin() as db:
            value = db.scalar(select(schema.notes.c.value).where(schema.notes.c.key == key))
        with self._understood(f"the note {key!r}"):
            return None if value is None else json.loads(value)

    def put(self, key: str, value: Any) -> None:
        """Keep a note: anything that JSON can say."""
        row = {"key": key, "value": json.dumps(value)}
        with self._begin(write=True) as db:
            db.execute(_upsert(schema.notes, "value"), [row])

    def check(self) -> None:
        """Read all classes and cells, which raises a WorkspaceError where they make no sense."""
        _ = self.taxonomy
        for slide in self.slides():
            for reading in ("", *self.readings(slide.name)):
                self.table(slide.name, reading)
                self.history(slide.name, reading)

    def slides(self) -> tuple[Slide, ...]:
        """The slides with their fields, whose paths lead to where the files are now, if found.

        A file that moved together with the project is found by its path from the project's folder.
        """
        table = schema.fields
        names = select(schema.slides.c.slide).order_by(schema.slides.c.position)
        query = select(table).order_by(table.c.slide, table.c.position)
        fields: dict[str, list[FieldOfView]] = {}
        with self._begin() as db:
            for name in db.scalars(names):
                fields[name] = []
            rows = db.execute(query).mappings().all()
        # After the transaction, since a disk of the network may take long to say what is there.
        for row in rows:
            with self._understood("the name of a field"):
                _check_names(row["fov_id"], row["path"], row["relative"] or "")
            fields[row["slide"]].append(FieldOfView(row["fov_id"], self._present_path(row)))
        return tuple(Slide(name, tuple(each)) for name, each in fields.items())

    def put_slide(self, slide: Slide) -> None:
        """Keep a slide and where its fields are; fields that were there before stay."""
        rows: list[Row] = []
        for i, field in enumerate(slide.fields):
            head = {"fov_id": field.fov_id, "slide": slide.name, "position": i}
            rows.append(head | self._paths(field.path))
        table = schema.fields
        others = select(table.c.fov_id, table.c.slide).where(table.c.slide != slide.name)
        with self._begin(write=True) as db:
            # Without this check the upsert below would take a field of this name from its slide.
            taken = {row.fov_id: row.slide for row in db.execute(others)}
            for row in rows:
                if row["fov_id"] in taken:
                    raise WbcError(
                        f"{self.path}: field {row['fov_id']!r} is one of slide "
                        f"{taken[row['fov_id']]!r} already; rename the folder or the image, or use "
                        "another project."
                    )
            n = db.scalar(select(func.count()).select_from(schema.slides))
            new = {"slide": slide.name, "position": n}
            db.execute(insert(schema.slides).on_conflict_do_nothing(), [new])
            if rows:
                db.execute(_upsert(table, "position", "path", "relative"), rows)

    def image_facts(self, slide: str) -> dict[str, tuple[int | None, int | None, str | None]]:
        """Bytes, time in nanoseconds and sha256 of each field's image; None before a check."""
        f = schema.fields
        query = select(f.c.fov_id, f.c.size, f.c.modified, f.c.sha256).where(f.c.slide == slide)
        with self._begin() as db:
            return {row.fov_id: (row.size, row.modified, row.sha256) for row in db.execute(query)}

    def put_image_facts(self, facts: Sequence[Row]) -> None:
        """Keep facts of images: ``key`` (the field), ``size``, ``modified`` and ``sha256``."""
        with self._begin(write=True) as db:
            _update(db, schema.fields.c.fov_id, facts)

    def table(self, slide: str, reading: str = "") -> CellTable:
        """The cells of a slide as they are, with the annotations of one reading."""
        cells = schema.cells
        predictions = schema.predictions
        annotated = schema.annotated
        # The tables have columns of the same name; codec.cell_of tells them apart by prefixes.
        query = (
            select(
                cells,
                *(column.label(f"p_{column.name}") for column in predictions.c),
                *(column.label(f"a_{column.name}") for column in annotated.c),
            )
            .outerjoin(predictions, predictions.c.cell_id == cells.c.cell_id)
            .outerjoin(
                annotated,
                (annotated.c.cell_id == cells.c.cell_id) & (annotated.c.reading == reading),
            )
            .where(cells.c.slide == slide)
            .order_by(cells.c.position)
        )
        with self._begin() as db:
            rows = db.execute(query).mappings().all()
        cells_read: list[Cell] = []
        for row in rows:
            with self._understood(row["cell_id"]):
                cells_read.append(codec.cell_of(dict(row)))
        return CellTable(cells_read)

    def annotated_elsewhere(self, slide: str, reading: str) -> frozenset[str]:
        """Ids of the cells that other readings of a slide have annotated."""
        cells = schema.cells
        annotated = schema.annotated
        query = (
            select(annotated.c.cell_id)
            .join(cells, cells.c.cell_id == annotated.c.cell_id)
            .where(cells.c.slide == slide, annotated.c.reading != reading)
        )
        with self._begin() as db:
            return frozenset(db.scalars(query))

    def readings(self, slide: str) -> tuple[str, ...]:
        """Names of the readings of a slide that have a step; the first reader's is empty."""
        steps = schema.steps
        query = select(steps.c.reading).where(steps.c.slide == slide).distinct()
        with self._begin() as db:
            return tuple(sorted(db.scalars(query)))

    def history(self, slide: str, reading: str = "") -> tuple[list[StepHead], list[StepHead]]:
        """Steps that undo would take back, and that redo would do again, the next one last."""
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
        # The two stacks are played again from the journal, so that they cannot contradict it.
        with self._understood("the order of its steps"):
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
        with self._understood("a cell that was taken out"):
            return tuple(codec.with_parts(cell_id, None, was) for cell_id, was in rows)

    @property
    def last(self) -> int:
        """Number of the newest step, 0 where there is none."""
        with self._begin() as db:
            return int(db.scalar(select(func.max(schema.steps.c.seq))) or 0)

    def stepped(self, table: CellTable, seq: int, *, back: bool) -> CellTable:
        """The table after a step that is in the journal was taken back, or done again.

        It is given as it is right after the step, or right before it.
        """
        changes = schema.changes
        query = select(changes.c.cell_id, changes.c.was, changes.c.now).where(changes.c.seq == seq)
        with self._begin() as db:
            rows = db.execute(query).all()
        gone: list[str] = []
        fresh: list[Cell] = []
        for cell_id, was, now in rows:
            text = was if back else now
            cell = table.get(cell_id)
            if text is None:
                gone.append(cell_id)
                continue
            with self._understood(f"step {seq}"):
                # Where another reading has taken the cell out, there is nothing to change.
                if cell is not None or codec.is_whole(text):
                    fresh.append(codec.with_parts(cell_id, cell, text))
        return table.without(gone).with_cells(fresh) if gone else table.with_cells(fresh)

    def changes(self, after: int, to: int) -> list[Change]:
        """What the steps of a range did, in their order, without the first number of the two."""
        c = schema.changes.c
        s = schema.steps.c
        query = (
            select(s.slide, s.reading, c.cell_id, c.was, c.now)
            .join(schema.steps, s.seq == c.seq)
            .where(c.seq > after, c.seq <= to)
            .order_by(c.seq, c.change)
        )
        with self._begin() as db:
            return [Change(*row) for row in db.execute(query)]

    def write(self, slide: str, steps: Sequence[Step], reading: str = "") -> None:
        """Write steps: journal and state in one transaction."""
        with self._begin(write=True) as db:
            for step in steps:
                self._journal(db, slide, reading, step)
                self._apply(db, slide, reading, step)

    def _journal(self, db: Connection, slide: str, reading: str, step: Step) -> None:
        head = {name: getattr(step, name) for name in ("seq", "what", "cause", "by", "when", "of")}
        db.execute(insert(schema.steps), [{**head, "slide": slide, "reading": reading}])
        rows: list[Row] = []

        def note(cell_id: str, was: str | None, now: str | None) -> None:
            rows.append({"seq": step.seq, "cell_id": cell_id, "was": was, "now": now})

        for cell in step.change.added:
            note(cell.cell_id, None, codec.parts_of(cell))
        for cell in step.change.removed:
            note(cell.cell_id, codec.parts_of(cell), None)
        for old, new in step.change.changed:
            note(new.cell_id, codec.parts_of(old, new), codec.parts_of(new, old))
        _insert(db, schema.changes, rows)

    def _apply(self, db: Connection, slide: str, reading: str, step: Step) -> None:
        change = step.change
        of_reading = schema.annotated.c.reading == reading
        _delete(db, schema.cells, change.removed)
        # Predictions go with their cells; what other readers said of a cell stays.
        _delete(db, schema.annotated, change.removed, of_reading)
        _insert(
            db, schema.cells, [codec.cell_row(cell) | {"slide": slide} for cell in change.added]
        )
        moved: list[Row] = []
        for old, new in change.changed:
            if old.detection != new.detection:
                moved.append(codec.cell_row(new) | {"key": new.cell_id})
        _update(db, schema.cells.c.cell_id, moved)
        predicted = _cells_with_new(change, "prediction")
        annotated = _cells_with_new(change, "annotation")
        _delete(db, schema.predictions, predicted)
        _delete(db, schema.annotated, annotated, of_reading)
        rows = [codec.prediction_row(c.cell_id, c.prediction) for c in predicted if c.prediction]
        _insert(db, schema.predictions, rows)
        labels = [(cell.cell_id, cell.annotation) for cell in annotated if cell.annotation]
        rows = [codec.annotation_row(cell_id, reading, label) for cell_id, label in labels]
        _insert(db, schema.annotated, rows)

    def _paths(self, path: Path) -> dict[str, str | None]:
        path = path.absolute()
        try:
            relative = os.path.relpath(path, self.path.absolute().parent)
        except ValueError:
            # On another drive of Windows there is no such path.
            return {"path": str(path), "relative": None}
        return {"path": str(path), "relative": Path(relative).as_posix()}

    def _present_path(self, row: Any) -> Path:
        path = Path(row["path"])
        # Unlike those of pathlib, it takes a path that is too long for one that is not there.
        exists = os.path.exists
        if not exists(path) and row["relative"] is not None:
            beside = self.path.absolute().parent / row["relative"]
            return beside.resolve() if exists(beside) else path
        return path

    @contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        """Tell what makes no sense in the file as its damage."""
        try:
            yield
        except (WbcError, *NONSENSE) as error:
            fault = f"{what} cannot be read: {one_line(error)}"
            raise unusable(self.path, f"this file is damaged ({fault})") from error

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
            raise WbcError(f"{self.path}: this project is read-only, {self.read_only}.")
        with self._turn:
            if self._closed:
                raise WbcError(f"{self.path}: this project was closed; open it again.")
            try:
                with nullcontext(self._within) if self._within else self._engine.begin() as db:
                    yield db
            except (SQLAlchemyError, sqlite3.Error, UnicodeError) as error:
                raise WbcError(
                    f"{self.path}: the project cannot be {'written' if write else 'read'} "
                    f"({told(error)}); check the disk, then try again."
                ) from error


def _check_names(*names: str) -> None:
    """Refuse names that no file can have."""
    if any("\0" in name for name in names):
        raise WbcError("a null character is in it")


def _cells_with_new(change: TableDiff, part: str) -> list[Cell]:
    """Cells of a change that say something new in a part."""
    cells = [cell for cell in change.added if getattr(cell, part) is not None]
    for old, new in change.changed:
        if getattr(old, part) != getattr(new, part):
            cells.append(new)
    return cells


def _insert(db: Connection, table: Any, rows: Sequence[Row]) -> None:
    # SQLAlchemy takes no rows at all for one row of defaults.
    if rows:
        db.execute(insert(table), rows)


def _delete(db: Connection, table: Any, cells: Sequence[Cell], *also: Any) -> None:
    if cells:
        statement = delete(table).where(table.c.cell_id == bindparam("gone"), *also)
        db.execute(statement, [{"gone": cell.cell_id} for cell in cells])


def _update(db: Connection, column: Any, rows: Sequence[Row]) -> None:
    """Set columns of the rows in which one column is the ``key``."""
    if rows:
        # SQLAlchemy keeps the columns' own names for the new values.
        db.execute(update(column.table).where(column == bindparam("key")), list(rows))


def _upsert(table: Any, *columns: str) -> Any:
    """Insert rows, or set columns of those that are there."""
    statement = insert(table)
    values = {name: statement.excluded[name] for name in columns}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)
