"""Steps that could not be written when a project was closed wait in a file of their own.

They are offered when the project is opened again. The file lies in the person's own data, or else
where the system keeps what is for this session only: the disk of the project may be full.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path, user_runtime_path

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import write_bytes
from napari_wbc.files.guard import read_json
from napari_wbc.model.cell import Cell
from napari_wbc.model.step import Step
from napari_wbc.model.table import CellTable, diff

if TYPE_CHECKING:
    from napari_wbc.storage.workspace import Workspace

_HEAD = ("seq", "what", "cause", "by", "when", "of")
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError)


@dataclass(frozen=True, slots=True)
class Rescued:
    """Steps that wait for a project.

    Parameters
    ----------
    file : Path
    slide, reading : str
        Of the project, as they were open.
    steps : list
        As :func:`keep_steps` wrote them.
    """

    file: Path
    slide: str
    reading: str
    steps: list[dict[str, Any]]

    @property
    def first(self) -> int:
        """Number of the first step."""
        return int(self.steps[0]["seq"])


def keep_steps(project: Path, slide: str, reading: str, steps: Sequence[Step]) -> Path | None:
    """Write steps to a file of their own; None where nothing can be written anywhere."""
    from napari_wbc.storage.codec import parts_of

    records: list[dict[str, Any]] = []
    for step in steps:
        changes: list[tuple[str, str | None]] = []
        changes += [(cell.cell_id, parts_of(cell)) for cell in step.change.added]
        changes += [(cell.cell_id, None) for cell in step.change.removed]
        changes += [(new.cell_id, parts_of(new, old)) for old, new in step.change.changed]
        records.append({name: getattr(step, name) for name in _HEAD} | {"changes": changes})
    content = {"project": str(project), "slide": slide, "reading": reading, "steps": records}
    # Two readings of a slide may both have steps that wait.
    mark = hashlib.sha256(f"{slide}\n{reading}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    for folder in _folders():
        file = folder / f"{_key(project)}-{steps[0].seq}-{mark}.json"
        with suppress(WbcError):
            write_bytes(file, json.dumps(content).encode())
            return file
    return None


def rescued_of(project: Path) -> Rescued | None:
    """The steps that wait for a project, the earliest first; None where there are none."""
    waiting: dict[int, Rescued] = {}
    for folder in _folders():
        for file in sorted(folder.glob(f"{_key(project)}-*.json")):
            # A file that is damaged cannot be put back; it stays, for whoever looks for it.
            with suppress(WbcError, *_NONSENSE):
                content = read_json(file)
                parts = content["slide"], content["reading"], content["steps"]
                rescued = Rescued(file, *parts)
                waiting[rescued.first] = rescued
    return waiting[min(waiting)] if waiting else None


def fits(workspace: Workspace, rescued: Rescued) -> bool:
    """Whether a project is as it was when the steps were made."""
    return workspace.last == rescued.first - 1


def put_back(workspace: Workspace, rescued: Rescued) -> None:
    """Write the steps into their project, and remove their file.

    Raises
    ------
    WbcError
        If the project has gone on since, or cannot be written; the file stays then.
    """
    if not fits(workspace, rescued):
        raise WbcError(
            f"{rescued.file}: the project was changed since these steps were made; they stay there."
        )
    from napari_wbc.storage.codec import with_parts

    try:
        table = workspace.table(rescued.slide, rescued.reading)
        steps: list[Step] = []
        for record in rescued.steps:
            gone: list[str] = []
            fresh: list[Cell] = []
            for cell_id, text in record["changes"]:
                if text is None:
                    gone.append(cell_id)
                else:
                    fresh.append(with_parts(cell_id, table.get(cell_id), text))
            after: CellTable = table.without(gone).with_cells(fresh)
            head = {name: record[name] for name in _HEAD}
            steps.append(Step(**head, change=diff(table, after)))
            table = after
    except _NONSENSE as error:
        raise WbcError(f"{rescued.file}: damaged; its steps cannot be put back.") from error
    workspace.write(rescued.slide, steps, rescued.reading)
    forget(rescued)


def forget(rescued: Rescued) -> None:
    """Remove the file of steps that nobody wants any more."""
    # One that cannot be removed is offered again.
    with suppress(OSError):
        rescued.file.unlink()


def set_aside(rescued: Rescued) -> Path:
    """Give the file of steps that do not fit any more a name by which they are not offered."""
    kept = rescued.file.with_suffix(".kept")
    number = 1
    while kept.exists():
        number += 1
        kept = rescued.file.with_suffix(f".kept-{number}")
    # One that cannot be renamed stays, and is told again.
    with suppress(OSError):
        return rescued.file.rename(kept)
    return rescued.file


def _folders() -> tuple[Path, Path]:
    with warnings.catch_warnings():
        # That the system names no place for the second is no matter: there is a usual one.
        warnings.simplefilter("ignore")
        places = (user_data_path, user_runtime_path)
        own, passing = (place("napari-wbc", appauthor=False) / "rescued" for place in places)
    return own, passing


def _key(project: Path) -> str:
    return hashlib.sha256(str(project.resolve()).encode(errors="surrogateescape")).hexdigest()[:16]
