"""Is the state of a project what its journal leads to: rows that are gone have no seal to tell it.

Invariant: nothing is written, and edits that go on meanwhile are none of its business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from napari_wbc.errors import WorkspaceError
from napari_wbc.model.cell import Annotation, Cell
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.storage import codec
from napari_wbc.storage.workspace.damage import unusable
from napari_wbc.storage.workspace.workspace import Change, Workspace

_AT_ONCE = 200
"""Steps that are read in one turn, so that edits need not wait for long."""


@dataclass(slots=True)
class _Replay:
    """Cells, and what each reading says of them, as the steps so far lead to."""

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    """By slide and id, without annotations."""
    annotations: dict[tuple[str, str], Annotation] = field(default_factory=dict)
    """By id and reading; those of a cell that another reading took out stay."""

    def apply(self, change: Change) -> None:
        """One cell of one step."""
        cells = self.cells.setdefault(change.slide, {})
        key = (change.cell_id, change.reading)
        if change.now is None:
            cells.pop(change.cell_id, None)
            self.annotations.pop(key, None)
            return
        before = cells.get(change.cell_id)
        after = codec.with_parts(change.cell_id, before, change.now)
        cells[change.cell_id] = after.annotated(None)
        if "annotation" in json.loads(change.now):
            self.annotations.pop(key, None)
            if after.annotation is not None:
                self.annotations[key] = after.annotation

    def table(self, slide: str, reading: str) -> dict[str, Cell]:
        """The cells of a slide as one reading has them."""
        cells = self.cells.get(slide, {})
        return {
            cell_id: cell.annotated(self.annotations.get((cell_id, reading)))
            for cell_id, cell in cells.items()
        }


def check_journal_steps(workspace: Workspace) -> Steps[tuple[str, ...]]:
    """Play the journal of a project again, and compare where it leads with its cells.

    Returns
    -------
    tuple of str
        Ids of the cells that differ, in any reading: there in the one only, or not as they were
        written.

    Raises
    ------
    WbcError
        If the project cannot be read.
    """
    state, last = _state(workspace)
    replay = _Replay()
    for start in range(0, last, _AT_ONCE):
        yield Progress("checking the journal", start, last)
        for change in workspace.changes(start, min(start + _AT_ONCE, last)):
            replay.apply(change)
    differ: dict[str, None] = {}
    for (slide, reading), cells in state.items():
        replayed = replay.table(slide, reading)
        for cell_id in {**cells, **replayed}:
            if cells.get(cell_id) != replayed.get(cell_id):
                differ[cell_id] = None
    return tuple(differ)


def check_journal(workspace: Workspace) -> None:
    """Refuse a project whose cells are not those of its journal, before results are made of it."""
    if differ := run(check_journal_steps(workspace)):
        raise not_of_journal(workspace, differ)


def _state(workspace: Workspace) -> tuple[dict[tuple[str, str], dict[str, Cell]], int]:
    """The cells of all slides and readings, and the number of the step that led to them."""
    while True:
        last = workspace.last
        state: dict[tuple[str, str], dict[str, Cell]] = {}
        for slide in workspace.slides():
            for reading in {"", *workspace.readings(slide.name)}:
                state[slide.name, reading] = dict(workspace.table(slide.name, reading))
        # Else a step was written in between.
        if workspace.last == last:
            return state, last


def not_of_journal(workspace: Workspace, differ: Iterable[str]) -> WorkspaceError:
    """The error of a project whose cells are not those of its journal."""
    ids = sorted(differ)
    return unusable(
        workspace.path,
        f"this file is damaged, or another program changed it: {len(ids)} of its cells are not "
        f"what its journal says ({ids[0][:40]})",
    )
