"""The open slide: its table of cells, the way back, and the project that keeps both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Cell
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import Cause, Step, StepHead, now
from napari_wbc.model.table import CellTable, TableDiff, diff
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.session.autosave import Autosave, SaveState

if TYPE_CHECKING:
    from napari_wbc.storage.workspace import Workspace


@dataclass(frozen=True)
class Loaded:
    """A slide as its project has it.

    Parameters
    ----------
    workspace : Workspace, optional
        None for a slide that is kept in memory only.
    reading : str
        Name of a blind reading, whose annotations are its own; only labels can change in it. Empty
        for the first reader's.
    past, future : sequence of StepHead
        What undo takes back and redo does again, the next one last.
    last : int
        Number of the project's newest step.
    """

    slide: Slide
    workspace: Workspace | None = None
    reading: str = ""
    table: CellTable = field(default_factory=CellTable)
    past: Sequence[StepHead] = ()
    future: Sequence[StepHead] = ()
    last: int = 0
    changes: Mapping[int, TableDiff] = field(default_factory=dict)
    """By number, what the steps changed that no project keeps."""


def load(slide: Slide, workspace: Workspace, reading: str = "") -> Loaded:
    """Read a slide from its project, in which it is kept from now on; may run in a thread.

    It raises WbcError if the project cannot be read or written.
    """
    if not workspace.read_only:
        workspace.put_slide(slide)
    past, future = workspace.history(slide.name, reading)
    table = workspace.table(slide.name, reading)
    return Loaded(slide, workspace, reading, table, past, future, workspace.last)


class Session:
    """The state that the screen shows; ``taxonomy`` has the classes a cell may have.

    Examples
    --------
    >>> from napari_wbc.model.cell import Cell, Detection
    >>> from napari_wbc.model.geometry import BBox
    >>> session = Session()
    >>> cell = Cell.new("a.png", Detection(BBox(0, 0, 9, 9)))
    >>> session.commit(session.table.with_cells([cell]), "draw")
    True
    >>> session.undo(), len(session.table)
    ('draw', 0)
    """

    changed = Signal(CellTable, CellTable)
    """Emitted with (old, new) after the table changed."""
    field_changed = Signal(str)
    """Emitted with the ``fov_id`` of the field that came into view."""
    slide_changed = Signal(Slide)
    """Emitted with the slide after another one was opened."""
    selection_changed = Signal(tuple)
    """Emitted with the ids of the selected cells after another selection was made."""
    refused = Signal(str)
    """Emitted with the reason when a change was not taken."""

    def __init__(self, taxonomy: Taxonomy = EIGHT_CLASSES) -> None:
        self.taxonomy = taxonomy
        self.reader = ""
        """Who is at the screen."""
        self.cause: Cause = "import"
        """What the newest change came of."""
        self.slide = Slide("", ())
        """The open slide."""
        self.field: FieldOfView | None = None
        """The field in view, None before a slide is open."""
        self.workspace: Workspace | None = None
        """The project that keeps the slide, None where it is in memory only."""
        self.reading = ""
        """Name of the blind reading, empty for the first reader's."""
        self.selection: tuple[str, ...] = ()
        """Ids of the selected cells of the slide, the one under review first; some may be gone."""
        self.last_step = 0
        """Number of the newest step, 0 before the first."""
        self.rescued: Path | None = None
        """Where the steps are that could not be written when the slide was closed."""
        self._table = CellTable()
        self._past: list[StepHead] = []
        self._future: list[StepHead] = []
        self._changes: dict[int, TableDiff] = {}
        self._autosave: Autosave | None = None
        self._closed = False

    @property
    def table(self) -> CellTable:
        """All cells of the slide."""
        return self._table

    @property
    def saved(self) -> SaveState:
        """Whether everything is on the disk."""
        if self._autosave is not None:
            return self._autosave.state
        if self._past:
            return SaveState("not saved", "there is no project file")
        return SaveState("saved")

    @property
    def undoable(self) -> str:
        """What :meth:`undo` would take back, empty when there is nothing."""
        return next((head.what for head in reversed(self._past) if not head.of), "")

    @property
    def redoable(self) -> str:
        """What :meth:`redo` would do again, empty when there is nothing."""
        return self._future[-1].what if self._future else ""

    def open(self, slide: Slide, workspace: Workspace | None = None, *, reading: str = "") -> None:
        """Open a slide; see :meth:`resume` and :func:`load`.

        It raises WbcError if what was done cannot be saved, or the project cannot be read.
        """
        # The project may be the one that is open.
        if not self.flush():
            raise WbcError(f"{self.saved.sentence} Nothing was opened.")
        self.resume(Loaded(slide) if workspace is None else load(slide, workspace, reading))

    def resume(self, loaded: Loaded) -> None:
        """Go on with a slide where its project left it; its first field comes into view.

        Its project keeps every change from now on. It is the caller's to close, after another slide
        was opened or :meth:`close`.
        """
        self.close()
        self._closed = False
        old = self._table
        self._table = loaded.table
        self.cause = "import"
        self._past = list(loaded.past)
        self._future = list(loaded.future)
        self._changes = dict(loaded.changes)
        self.last_step = loaded.last
        self.reading = loaded.reading
        self.workspace = loaded.workspace
        if loaded.workspace is not None:
            self._autosave = Autosave(loaded.workspace, loaded.slide.name, loaded.reading)
        self.slide = loaded.slide
        self.field = None
        self.selection = ()
        self.slide_changed.emit(loaded.slide)
        if old or loaded.table:
            self.changed.emit(old, loaded.table)
        if loaded.slide.fields:
            self.show_field(loaded.slide.fields[0].fov_id)

    def close(self) -> bool:
        """Write what is not on the disk yet and close the project; whether all is on the disk.

        Nothing can be changed until a slide is opened. Steps that could not be written wait in
        :attr:`rescued`, and are offered when the project is opened again.
        """
        self._closed = self._closed or self._autosave is not None
        autosave = self._autosave
        self._autosave = None
        self.workspace = None
        self.rescued = None
        if autosave is None or autosave.close():
            return True
        if autosave.lacks_steps:
            self.rescued = autosave.rescue()
        return False

    def in_memory(self) -> Loaded | None:
        """A slide without a project, for :meth:`resume`; None if nothing would be lost."""
        if self.workspace is not None or self._closed or not self._past:
            return None
        return Loaded(
            self.slide,
            table=self._table,
            past=tuple(self._past),
            future=tuple(self._future),
            last=self.last_step,
            changes=dict(self._changes),
        )

    def note(self, key: str, value: Any) -> None:
        """Keep a JSON value in the project beside the cells, such as the place in the queue."""
        if self._autosave is not None:
            self._autosave.note(key, value)

    def flush(self) -> bool:
        """Wait until everything is on the disk; returns whether it is."""
        return self._autosave is None or self._autosave.flush()

    def show_field(self, fov_id: str) -> None:
        """Bring a field of the slide into view; WbcError if the slide has no such field."""
        chosen = next((field for field in self.slide.fields if field.fov_id == fov_id), None)
        if chosen is None:
            raise WbcError(
                f"Slide {self.slide.name!r} has no field {fov_id!r}; choose one of its fields."
            )
        if chosen != self.field:
            self.field = chosen
            self.field_changed.emit(fov_id)

    def select(self, cell_ids: Iterable[str]) -> None:
        """Select cells of the slide, wherever they are shown."""
        chosen = tuple(dict.fromkeys(cell_ids))
        if chosen != self.selection:
            self.selection = chosen
            self.selection_changed.emit(chosen)

    def commit(
        self, table: CellTable, what: str, cause: Cause = "human", *, follows: int = 0
    ) -> bool:
        """Make a table the current one.

        Parameters
        ----------
        what : str
            What was done, as undo will name it.
        follows : int
            Number of the step that this comes of, as a prediction comes of a cell that was drawn:
            undo takes both back at once, and redo does both again. Where another step was made in
            between, undo takes back one after the other. 0 for none.

        Returns
        -------
        bool
            Whether anything changed. If not, nothing is emitted but the reason of a refusal.
        """
        change = diff(self._table, table)
        if not change:
            return False
        if why := self._refusal(change):
            self.refused.emit(why)
            return False
        last = self._past[-1] if self._past else None
        # It belongs to that step only while nothing else was done since.
        of = follows if last is not None and follows in (last.seq, last.of) else 0
        step = self._step(what, cause, change, of=of)
        self._past.append(StepHead(step.seq, what, cause, step.of))
        self._changes[step.seq] = change
        for undone in self._future:
            self._changes.pop(undone.seq, None)
        self._future.clear()
        self._become(table, step)
        return True

    def undo(self) -> str:
        """Take the last commit back, with the steps that belong to it; returns its name."""
        what = ""
        follows = 1
        # A step that comes of another one is taken back together with it.
        while follows and self._past:
            follows = self._past[-1].of
            what = self._travel(self._past, self._future, back=True)
            if not what:
                break
        return what

    def redo(self) -> str:
        """Do again what was taken back, with the steps that belong to it; returns its name."""
        what = self._travel(self._future, self._past, back=False)
        while what and self._future and self._future[-1].of:
            self._travel(self._future, self._past, back=False)
        return what

    @property
    def worked_on(self) -> bool:
        """Whether a person changed anything that undo could take back."""
        return any(head.cause == "human" for head in self._past)

    def annotated_elsewhere(self) -> frozenset[str]:
        """Ids of the cells that another reading of the slide has annotated."""
        if self.workspace is None:
            return frozenset()
        return self.workspace.annotated_elsewhere(self.slide.name, self.reading)

    def rejected(self) -> tuple[Cell, ...]:
        """Cells that a person deleted and did not bring back; no new detection replaces them."""
        cells: list[Cell] = []
        journal = []
        for head in self._past:
            if head.cause != "human":
                continue
            if head.seq in self._changes:
                cells += self._changes[head.seq].removed
            else:
                # Made before the slide was opened: only the journal has it.
                journal.append(head.seq)
        if journal and self.workspace is not None:
            cells += self.workspace.removed(journal)
        return tuple(cells)

    def _travel(self, source: list[StepHead], target: list[StepHead], *, back: bool) -> str:
        if not source:
            return ""
        if why := self._refusal(TableDiff()):
            self.refused.emit(why)
            return ""
        head = source[-1]
        change = self._changes.get(head.seq)
        if change is not None:
            table = self._table.applied(change.inverse if back else change)
        else:
            # Made before the slide was opened: only the journal has it.
            assert self.workspace is not None
            table = self.workspace.stepped(self._table, head.seq, back=back)
        target.append(source.pop())
        change = diff(self._table, table)
        self._become(table, self._step(head.what, "undo" if back else "redo", change, of=head.seq))
        return head.what

    def _step(self, what: str, cause: Cause, change: TableDiff, *, of: int = 0) -> Step:
        self.last_step += 1
        return Step(self.last_step, what, cause, change, self.reader, now(), of)

    def _become(self, table: CellTable, step: Step) -> None:
        old = self._table
        self._table = table
        self.cause = step.cause
        if self._autosave is not None:
            self._autosave.put(step)
        self.changed.emit(old, table)
        # A cell that is gone is not selected any more, also not when undo brings it back.
        self.select(filter(self._table.__contains__, self.selection))

    def _refusal(self, change: TableDiff) -> str:
        """Why a change is not taken; empty where it is."""
        if self._closed:
            return "Nothing can be changed: the slide was closed and another is being opened."
        if self.workspace is not None and self.workspace.read_only:
            return f"Nothing can be changed: the project is read-only, {self.workspace.read_only}."
        moved = any(before.detection != after.detection for before, after in change.changed)
        if self.reading and (change.added or change.removed or moved):
            return (
                f"The blind reading {self.reading!r} takes labels only; "
                "leave it to draw, move or delete."
            )
        return ""
