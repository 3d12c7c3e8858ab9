"""What a person does to cells, by button, key or thumbnail."""

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
from napari_wbc.session.edit import accepted, joined, split
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Session

NONE_SELECTED = "Select a cell first: click it, or drag a box around several."
ELSEWHERE = "The selected cells are in another field; select a cell of this one."
NOT_SHOWN = "The image of this field is not on screen yet; wait a moment, then try again."
UNDO = "Ctrl+Z takes it back."


class ReviewActions:
    """Each action takes in new shapes, changes the table in one step, and says what it did."""

    def __init__(
        self, session: Session, view: FieldView, queue: ReviewQueue, say: Callable[[str], object]
    ) -> None:
        self._session = session
        self._view = view
        self._queue = queue
        self._say = say
        self._on_thumbnails = False

    def label(self, label: str, cell_ids: Iterable[str] | None = None) -> None:
        """Give the selected cells, or these, a label.

        The queue goes on if the cell under review alone is selected.

        Raises
        ------
        WbcError
            If the taxonomy has no such label.
        """
        session = self._session
        if label not in session.taxonomy.labels:
            labels = ", ".join(session.taxonomy.labels)
            raise WbcError(f"No label {label!r}; choose one of: {labels}.")
        chosen = self._settled(cell_ids)
        if not chosen:
            self._say(NONE_SELECTED)
        elif cell_ids is None and chosen == (self._queue.current,):
            # Said first, so that it does not hide why the session refuses the label.
            self._say(f"1 cell: {label}")
            self._queue.give(label, session.reader)
        else:
            annotation = Annotation(label, session.reader, now())
            cells = [session.table[cell_id].annotated(annotation) for cell_id in chosen]
            if session.commit(session.table.with_cells(cells), f"label {label}"):
                self._say(f"{counted(len(cells))}: {label}")

    def accept(self) -> None:
        """Accept the label of the cell under review, or else those of the selected cells.

        A shape that is just being drawn is ended instead.
        """
        session = self._session
        # The key Return also ends a shape, and then is no answer.
        if self._view.drawing:
            self._view.settle()
            return
        chosen = self._settled(None)
        if chosen and chosen == (self._queue.current,):
            self._queue.accept(session.reader)
            self._say(f"Accepted: {session.table[chosen[0]].label}")
            return
        when = now()
        labelled = []
        for cell_id in chosen:
            cell = session.table[cell_id]
            # What the model says of a candidate is its label as soon as it is a cell.
            label = cell.accepted().label
            # A person cannot agree with a model that has no answer.
            if label != UNIDENTIFIED:
                labelled.append(cell.annotated(Annotation(label, session.reader, when)))
        if session.commit(session.table.with_cells(labelled), "accept"):
            text = f"{counted(len(labelled))} accepted."
            if len(labelled) < len(chosen):
                text += f" {len(chosen) - len(labelled)} unidentified: choose a class for these."
            self._say(text)
        elif not chosen:
            self._say(NONE_SELECTED)
        elif not labelled:
            self._say("The model is not sure of these cells; choose a class.")

    def accept_candidates(self) -> None:
        """Take the selected candidates for cells, which count as the model says."""
        chosen = self._settled(None)
        table = self._session.table
        n = sum(table[cell_id].candidate for cell_id in chosen)
        if not chosen:
            self._say(NONE_SELECTED)
        elif not n:
            self._say("No candidate is selected: what is selected counts already.")
        elif self._session.commit(accepted(table, chosen), "accept candidate"):
            self._say(f"{counted(n, 'candidate')} accepted. {UNDO}")

    def delete(self) -> None:
        """Delete the selected cells."""
        chosen = self._settled(None)
        if not chosen:
            self._say(NONE_SELECTED)
        elif self._session.commit(self._session.table.without(chosen), "delete"):
            self._say(f"Deleted {counted(len(chosen))}. {UNDO}")

    def split(self) -> None:
        """Split the selected cell in two."""
        chosen = self._settled(None)
        if len(chosen) != 1:
            raise WbcError("Select one cell to split it in two.")
        self._replace(split(self._session.table, chosen[0]), "split", "Split into")

    def join(self) -> None:
        """Join the selected cells to one."""
        self._replace(joined(self._session.table, self._settled(None)), "join", "Joined into")

    def draw(self, on: bool = True) -> None:
        """Let a drag draw a missed cell, or end that."""
        self._check_slide()
        self._view.draw(on=on)
        self._say("Drag a box around the cell." if on else "")

    def reshape(self, on: bool) -> None:
        """Let a drag move and reshape cells, or move the image again."""
        self._check_slide()
        self._view.reshaping = on
        self._say("A drag now moves and reshapes cells." if on else "A drag now moves the image.")

    def undo(self) -> None:
        """Take the last step back."""
        self._view.settle()
        before = len(self._session.table)
        what = self._session.undo()
        gone = before - len(self._session.table)
        text = f"Undone: {what}" if what else "Nothing to undo."
        if gone > 1:
            text += f". {counted(gone)} are gone; Ctrl+Shift+Z brings them back."
        self._say(text)

    def redo(self) -> None:
        """Do the step again that was taken back."""
        self._view.settle()
        what = self._session.redo()
        self._say(f"Redone: {what}" if what else "Nothing to redo.")

    def go_to(self, cell_id: str) -> None:
        """Show a cell in the image, enlarged."""
        cell = self._session.table.get(cell_id)
        if cell is not None:
            # Another field drops the selected cells of the one before, so the field comes first.
            self._session.show_field(cell.fov_id)
            self._session.select((cell_id,))
            self._view.enlarge(cell_id)

    def go_on(self) -> None:
        """Return to the cell under review.

        Raises
        ------
        WbcError
            If there is none.
        """
        if not self._queue.current:
            raise WbcError("No cell is under review. Press Start on the page Review.")
        self.go_to(self._queue.current)

    def show_label(self, label: str) -> None:
        """Select the cells of a row of the differential, in this field or the first with any."""
        session = self._session
        by_field: dict[str, list[str]] = {}
        for cell in session.table.values():
            # A label can count as another class, for instance a band as a neutrophil.
            if session.taxonomy.row_of(cell.label) == label:
                by_field.setdefault(cell.fov_id, []).append(cell.cell_id)
        if not by_field:
            self._say(f"No cell is labelled {label}.")
            return
        if session.field is None or session.field.fov_id not in by_field:
            session.show_field(next(iter(by_field)))
        chosen = [] if session.field is None else by_field.get(session.field.fov_id, [])
        session.select(chosen)
        total = sum(map(len, by_field.values()))
        self._say(
            f"{label}: {counted(len(chosen))} in this field, "
            f"{counted(total)} in {counted(len(by_field), 'field')}"
        )

    @contextmanager
    def by_thumbnails(self) -> Iterator[None]:
        """Actions meanwhile are about thumbnails, in whatever field their cells lie."""
        self._on_thumbnails = True
        try:
            yield
        finally:
            self._on_thumbnails = False

    def _check_slide(self) -> None:
        if self._session.field is None:
            raise WbcError("No slide is open; open a folder of fields first.")

    def _settled(self, cell_ids: Iterable[str] | None) -> tuple[str, ...]:
        """These or the selected cells that the table has, after new shapes were taken in."""
        session = self._session
        self._view.settle()
        chosen = session.selection if cell_ids is None else cell_ids
        existing = tuple(cell_id for cell_id in chosen if cell_id in session.table)
        # Nobody shall judge a cell by the image of another, nor without one.
        if cell_ids is None and existing and not self._on_thumbnails:
            fields = {session.table[cell_id].fov_id for cell_id in existing}
            if session.field is None or session.field.fov_id not in fields:
                raise WbcError(ELSEWHERE)
            if not self._view.ready:
                raise WbcError(NOT_SHOWN)
            self._view.check_seen()
        return existing

    def _replace(self, table: CellTable, what: str, past: str) -> None:
        """Commit a table with new cells in place of the selected ones, and select the new ones."""
        before = self._session.table
        if self._session.commit(table, what):
            cell_ids = [cell_id for cell_id in table if cell_id not in before]
            self._session.select(cell_ids)
            self._say(f"{past} {counted(len(cell_ids))}. {UNDO}")
