"""What a person does to cells, whichever button, key or picture it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from napari_wbc.errors import WbcError
from napari_wbc.layers.field import FieldView
from napari_wbc.model.cell import Annotation
from napari_wbc.model.step import now
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import UNIDENTIFIED
from napari_wbc.model.words import counted
from napari_wbc.session.edit import joined, split
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Session

__all__ = ["ReviewActions"]

NONE_SELECTED = "Select a cell first: click it, or drag a box around several."


class ReviewActions:
    """Each takes in what was drawn last, changes the table in one step, and says what it did.

    Parameters
    ----------
    session : Session
    view : FieldView
    queue : ReviewQueue
    say : callable
        Tells the person at the screen one line.
    """

    def __init__(
        self, session: Session, view: FieldView, queue: ReviewQueue, say: Callable[[str], object]
    ) -> None:
        self._session, self._view, self._queue, self._say = session, view, queue, say
        self._thumbnails = False

    def label(self, label: str, cell_ids: Iterable[str] | None = None) -> None:
        """Give the selected cells, or these, a label; the queue goes on if they are its current cell.

        Raises
        ------
        WbcError
            If the taxonomy has no such label.
        """
        session = self._session
        if label not in session.taxonomy.labels:
            raise WbcError(
                f"No label {label!r}; choose one of: {', '.join(session.taxonomy.labels)}."
            )
        chosen = self._settled(cell_ids)
        if not chosen:
            self._say(NONE_SELECTED)
        elif cell_ids is None and chosen == (self._queue.current,):
            self._say(f"1 cell: {label}")
            self._queue.give(label, session.reader)
        else:
            said = Annotation(label, session.reader, now())
            cells = [session.table[key].annotated(said) for key in chosen]
            if session.commit(session.table.with_cells(cells), f"label {label}"):
                self._say(f"{counted(len(cells))}: {label}")

    def accept(self) -> None:
        """The label of the cell under review is right; without a queue, those of the selected cells are.

        A shape that is just being drawn is ended instead.
        """
        session = self._session
        if self._view.drawing:
            self._view.settle()
            return
        chosen = self._settled(None)
        if chosen and chosen == (self._queue.current,):
            self._queue.accept(session.reader)
            return
        when = now()
        cells = [cell for key in chosen if (cell := session.table[key]).label != UNIDENTIFIED]
        said = [c.annotated(Annotation(c.label, session.reader, when)) for c in cells]
        if session.commit(session.table.with_cells(said), "accept"):
            left = len(chosen) - len(cells)
            unsure = f"; {left} unidentified: choose a class for these" if left else ""
            self._say(f"{counted(len(cells))} accepted{unsure}")
        elif not cells:
            self._say(
                "The model is not sure of these; choose a class." if chosen else NONE_SELECTED
            )

    def delete(self) -> None:
        """Take the selected cells out."""
        chosen = self._settled(None)
        if not chosen:
            self._say(NONE_SELECTED)
        elif self._session.commit(self._session.table.without(chosen), "delete"):
            self._say(
                f"{counted(len(chosen))} deleted. Undo brings {'it' if len(chosen) == 1 else 'them'} back."
            )

    def split(self) -> None:
        """Cut the selected cell in two."""
        chosen = self._settled(None)
        if len(chosen) != 1:
            raise WbcError("Select the one cell that is to be cut in two.")
        self._replace(split(self._session.table, chosen[0]), "split", "Split into")

    def join(self) -> None:
        """Make one cell of the selected ones."""
        self._replace(joined(self._session.table, self._settled(None)), "join", "Joined into")

    def draw(self, on: bool = True) -> None:
        """Let a box be drawn around a cell that was missed, or end that."""
        self._check_slide()
        self._view.draw(on=on)
        self._say("Drag a box around the cell." if on else "")

    def reshape(self, on: bool) -> None:
        """Let a drag move and reshape cells, or the picture again."""
        self._check_slide()
        self._view.reshaping = on
        self._say("A drag now moves and reshapes cells." if on else "A drag moves the picture.")

    def undo(self) -> None:
        """Take the last change back."""
        self._view.settle()
        what = self._session.undo()
        self._say(f"Undone: {what}" if what else "Nothing to undo.")

    def redo(self) -> None:
        """Do again what was taken back."""
        self._view.settle()
        what = self._session.redo()
        self._say(f"Done again: {what}" if what else "Nothing to redo.")

    def go_to(self, cell_id: str) -> None:
        """Show a cell in the image, enlarged."""
        cell = self._session.table.get(cell_id)
        if cell is not None:
            self._session.show_field(cell.fov_id)
            self._session.select((cell_id,))
            self._view.enlarge(cell_id)

    def show_label(self, label: str) -> None:
        """Select the cells of a row of the differential, in this field or else in the next that has any."""
        session = self._session
        row_of = session.taxonomy.row_of
        cells = [cell for cell in session.table.values() if row_of(cell.label) == label]
        if not cells:
            self._say(f"No cell is labelled {label}.")
            return
        here = session.field
        if here is None or here.fov_id not in {cell.fov_id for cell in cells}:
            session.show_field(cells[0].fov_id)
        shown = session.field
        chosen = [
            cell.cell_id for cell in cells if shown is not None and cell.fov_id == shown.fov_id
        ]
        session.select(chosen)
        fields = len({cell.fov_id for cell in cells})
        self._say(
            f"{label}: {len(chosen)} here, {len(cells)} in {fields} field{'s' if fields > 1 else ''}"
        )

    @contextmanager
    def by_thumbnails(self) -> Iterator[None]:
        """What is done meanwhile is about thumbnails, in whatever field their cells lie."""
        self._thumbnails = True
        try:
            yield
        finally:
            self._thumbnails = False

    def _check_slide(self) -> None:
        if self._session.field is None:
            raise WbcError("No slide is open; open a folder of fields first.")

    def _settled(self, cell_ids: Iterable[str] | None) -> tuple[str, ...]:
        """These cells or the selected ones, as far as they are there, after what was drawn was taken in.

        Raises
        ------
        WbcError
            If the selected cells are not to be seen: nobody shall judge a cell by the picture of
            another.
        """
        session = self._session
        self._view.settle()
        chosen = session.selection if cell_ids is None else cell_ids
        there = tuple(key for key in chosen if key in session.table)
        if cell_ids is None and there and not self._thumbnails:
            if not any(
                session.field and session.table[key].fov_id == session.field.fov_id for key in there
            ):
                raise WbcError(
                    "The selected cells lie in another field; select a cell of this one."
                )
            if not self._view.ready:
                raise WbcError(
                    "The image of this field is not on screen; wait a moment, then try again."
                )
            self._view.check_seen()
        return there

    def _replace(self, table: CellTable, what: str, past: str) -> None:
        """Commit a table with new cells in the place of the selected ones, and select the new ones."""
        before = self._session.table
        if self._session.commit(table, what):
            self._session.select(key for key in table if key not in before)
            cells = [key for key in table if key not in before]
            self._say(f"{past} {counted(len(cells))}. Undo takes it back.")
