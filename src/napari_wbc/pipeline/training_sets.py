"""Reviewed projects become training sets."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_wbc import __version__
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Cell
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import now
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import NOT_CLASSED, Taxonomy
from napari_wbc.model.training_set import BY_SLIDE, SPLITS, LabelledField, farthest, split_of, splits_told
from napari_wbc.pipeline.analyze import Failure
from napari_wbc.pipeline.incoming import partly_labelled, splits_of
from napari_wbc.storage.atomic import sha256_of
from napari_wbc.storage.formats.manifest import read_manifest
from napari_wbc.storage.guard import image_size
from napari_wbc.storage.rounds import CROPS, newest_round, read_set, write_round_steps
from napari_wbc.storage.workspace import open_workspace
from napari_wbc.weights.card import RESEARCH_USE

__all__ = ["ExportedSet", "export_set_steps"]


@dataclass(frozen=True, slots=True)
class ExportedSet:
    """A round that was written.

    Parameters
    ----------
    folder : Path
        Of the round.
    fields : int
    cells : mapping of (split, label) to int
    added, relabelled, removed : int
        Cells, against the round before.
    left_out : tuple of str
        What is not in it, and why.
    failures : tuple of Failure
        Fields whose image cannot be read or is not the one that was reviewed.
    """

    folder: Path
    fields: int
    cells: Counter[tuple[str, str]]
    added: int = 0
    relabelled: int = 0
    removed: int = 0
    left_out: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


def export_set_steps(
    projects: Sequence[str | Path],
    out: str | Path,
    *,
    written_as: str = "wbc",
    reading: str = "",
    slides: Sequence[str] = (),
    split: str = BY_SLIDE,
    reviewed: bool = True,
) -> Steps[ExportedSet]:
    """Write the reviewed cells of projects as the next round of a training set.

    Fields of the round before that none of the projects has stay in the set; those that one has are replaced.

    Parameters
    ----------
    projects : sequence of path
        Project files; they are only read, also while a workbench has them open.
    out : str or Path
        Folder of the set.
    written_as : str
        One of :data:`~napari_wbc.storage.rounds.FORMATS`.
    reading : str
        Name of a blind reading, or ``consensus``; the first reader's labels where empty.
    slides : sequence of str
        Names of the slides to take; all where there are none.
    split : str
        ``by-slide``: found from its name, so that it is the same in every round. Or ``train``, ``val``
        or ``test`` for all slides that the set has not yet. A slide that was imported from a set with splits
        keeps its own in either case.
    reviewed : bool
        Only cells that a person labelled; else the model's labels too.

    Returns
    -------
    ExportedSet

    Raises
    ------
    WbcError
        If there is no reviewed cell, an argument is wrong, the round before is damaged, or nothing can be
        written there; the rounds before stay as they are.
    """
    if split not in (BY_SLIDE, *SPLITS):
        raise WbcError(f"No split {split!r}; choose {BY_SLIDE}, {', '.join(SPLITS)}.")
    if not projects:
        raise WbcError("No project given; name at least one project file.")
    out = Path(out)
    before, sides, images = _before(out, written_as)
    found: dict[str, LabelledField] = {}
    failures: list[Failure] = []
    left_out: Counter[str] = Counter()
    taken: set[tuple[str, str]] = set()
    classes: list[str] = []
    opened = [_opened(project, slides, reading) for project in projects]
    _check_named("slide", slides, [name for one in opened for name in one.slides])
    imported: dict[str, str] = {}
    for one in opened:
        imported |= {name: farthest(side, imported.get(name, "")) for name, side in one.imported.items()}
    _check_named("reading", [reading] if reading else [], [name for one in opened for name in one.readings])
    for one in opened:
        classes += [name for name in one.taxonomy.names if name not in classes]
        for slide, table, facts in one.tables:
            usual = split_of(slide.name) if split == BY_SLIDE else split
            side = farthest(sides.get(slide.name, ""), imported.get(slide.name, "")) or usual
            sides[slide.name] = side
            known = {fov: sha256 for fov, (_size, _time, sha256) in facts.items()}
            taken |= {(slide.name, field.fov_id) for field in slide.fields}
            steps = _fields_steps(slide, table, known, side, one, reviewed=reviewed, left_out=left_out)
            for field, failure in (yield from steps):
                if failure:
                    failures.append(failure)
                    taken -= {(slide.name, f.fov_id) for f in slide.fields if f.path == failure.path}
                elif field:
                    left_out["fields whose image comes again, with later labels"] += field.sha256 in found
                    found[field.sha256] = _sided(field, images, found)
    # Labels that were taken back leave the set: a field of the projects stays only where it cannot be read.
    stay = [f for f in before if f.sha256 not in found and (f.slide, f.fov_id) not in taken]
    if not (found or (stay and len(stay) < len(before))):
        raise WbcError(
            "No reviewed cell in these projects; label cells first, or export the model's labels too."
        )
    fields = _named(_by_one_id((*stay, *found.values())))
    gone = images.keys() - {field.sha256 for field in fields}
    made = {
        "program": f"napari-wbc {__version__}",
        "when": now(),
        "projects": [Path(project).name for project in projects],
        "reading": reading,
        "reviewed_only": reviewed,
        "slides": sides,
        "gone": {sha256: images[sha256] for sha256 in sorted(gone)},
        "use": RESEARCH_USE,
    }
    folder = yield from write_round_steps(
        out, fields, classes, written_as=written_as, made=made, pixels=lambda field: read_image(field.path)
    )
    return ExportedSet(
        folder,
        len(fields),
        Counter((field.split, cell.label) for field in fields for cell in field.cells),
        *_changes(before, fields),
        tuple(f"{n} {what}" for what, n in left_out.items() if n),
        tuple(failures),
    )


def _before(out: Path, written_as: str) -> tuple[tuple[LabelledField, ...], dict[str, str], dict[str, str]]:
    """Fields of the round before, as another tool may have changed them, and the sides of slides and images.

    What was in an earlier round keeps its side, also while it is out of the set.
    """
    newest = newest_round(out)
    if newest is None:
        return (), {}, {}
    manifest = read_manifest(newest)
    if manifest.made.get("written_as") == CROPS:  # of which the fields are known only from there
        if written_as != CROPS:
            raise WbcError(
                f"{newest}: this set holds crops and no fields; choose another folder, or {CROPS}."
            )
        fields = manifest.fields
    else:
        fields = read_set(newest).fields
    sides, images = (splits_told(manifest.made.get(key)) for key in ("slides", "gone"))
    written = {field.name: field.split for field in manifest.fields}
    moved = {field.slide for field in fields if written.get(field.name) not in (None, field.split)}
    found: dict[str, str] = {}
    for field in fields:
        found[field.slide] = farthest(field.split, found.get(field.slide, ""))
        images[field.sha256] = field.split
    # An image that keeps its side does not take its slide along, unless somebody put it elsewhere.
    sides |= {slide: side for slide, side in found.items() if slide not in sides or slide in moved}
    return fields, sides, images


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is wanted of a project, read whole: tables with the facts of their images, and imported splits."""

    taxonomy: Taxonomy
    tables: list[tuple[Slide, CellTable, dict[str, tuple[int | None, int | None, str | None]]]]
    imported: dict[str, str]
    partly: frozenset[str]
    slides: list[str]
    readings: list[str]


def _opened(project: str | Path, slides: Sequence[str], reading: str) -> _Opened:
    workspace = open_workspace(project, read_only=True)
    try:
        every = workspace.slides()
        return _Opened(
            workspace.taxonomy,
            [
                (one, workspace.table(one.name, reading), workspace.image_facts(one.name))
                for one in every
                if not slides or one.name in slides
            ],
            splits_of(workspace),
            partly_labelled(workspace),
            [one.name for one in every],
            [name for one in every for name in workspace.readings(one.name)],
        )
    finally:
        workspace.close()


def _sided(
    field: LabelledField, before: Mapping[str, str], found: Mapping[str, LabelledField]
) -> LabelledField:
    """The field on the side of its image: in the round before, or else that farthest from train here."""
    twin = found.get(field.sha256)
    side = before.get(field.sha256) or farthest(field.split, twin.split if twin else "")
    return replace(field, split=side)


def _by_one_id(fields: Iterable[LabelledField]) -> list[LabelledField]:
    """The fields; a cell whose id another field has already, as crops of one project may, gets its own."""
    taken: set[str] = set()
    found: list[LabelledField] = []
    for field in fields:
        cells = tuple(
            replace(cell, cell_id=f"{cell.cell_id}-{field.sha256[:8]}") if cell.cell_id in taken else cell
            for cell in field.cells
        )
        taken |= {cell.cell_id for cell in cells}
        found.append(replace(field, cells=cells))
    return found


def _check_named(what: str, wanted: Sequence[str], there: Sequence[str]) -> None:
    """Refuse the name of what no project has."""
    if unknown := [name for name in wanted if name not in there]:
        known = ", ".join(dict.fromkeys(filter(None, there))) or "none"
        raise WbcError(f"No {what} {', '.join(unknown)} in these projects; they have: {known}.")


def _fields_steps(
    slide: Slide,
    table: CellTable,
    known: dict[str, str | None],
    side: str,
    project: _Opened,
    *,
    reviewed: bool,
    left_out: Counter[str],
) -> Steps[list[tuple[LabelledField | None, Failure | None]]]:
    """The fields of one slide that have cells for the set."""
    taxonomy = project.taxonomy
    found: list[tuple[LabelledField | None, Failure | None]] = []
    for done, field in enumerate(slide.fields, start=1):
        yield Progress("reading projects", done, len(slide.fields), "")
        every = table.of_field(field.fov_id)
        cells = [cell for cell in every if cell.annotation is not None or not reviewed]
        kept = tuple(cell for cell in cells if taxonomy.class_of(cell.label))
        left_out.update(f"cells labelled {cell.label}" for cell in cells if not taxonomy.class_of(cell.label))
        if len(cells) < len(every):
            left_out["cells that nobody reviewed"] += len(every) - len(cells)
        if not kept:
            continue
        sure = [cell for cell in cells if taxonomy.class_of(cell.label) or cell.label == NOT_CLASSED]
        complete = len(sure) == len(every) and field.fov_id not in project.partly
        found.append(_labelled(slide, field, kept, known.get(field.fov_id), side, complete=complete))
    return found


def _labelled(
    slide: Slide, field: FieldOfView, cells: tuple[Cell, ...], known: str | None, side: str, *, complete: bool
) -> tuple[LabelledField | None, Failure | None]:
    try:
        height, width = image_size(field.path)
        sha256 = sha256_of(field.path)
    except (ReadError, OSError) as error:
        return None, Failure(field.path, str(error))
    if known not in (None, sha256):
        text = f"{field.path}: not the image that was reviewed any more; put that back, then export again."
        return None, Failure(field.path, text)
    return (
        LabelledField(
            _plain(f"{slide.name}__{field.path.name}"),
            field.path,
            height,
            width,
            side,
            cells,
            slide.name,
            field.fov_id,
            sha256,
            complete,
        ),
        None,
    )


def _plain(name: str) -> str:
    """A file name that every system takes.

    Examples
    --------
    >>> _plain("Mr. X / 2__a 1.png")
    'Mr.-X-2__a-1.png'
    """
    path = Path(re.sub(r"[^\w.]+", "-", name).strip("-.") or "field")
    stem = path.stem[:100].encode("utf-8", "replace").decode()[:100]
    return f"{stem}{path.suffix.lower()}"


def _named(fields: Iterable[LabelledField]) -> tuple[LabelledField, ...]:
    """The fields in order, each with a stem of its own, whatever the case of letters."""
    taken: set[str] = set()
    named: list[LabelledField] = []
    for field in sorted(fields, key=lambda one: (one.slide, one.fov_id)):
        name, stem = field.name, Path(field.name).stem
        if stem.casefold() in taken:
            stem = f"{stem}-{hashlib.sha256((field.sha256 + field.fov_id).encode()).hexdigest()[:8]}"
            name = f"{stem}{Path(name).suffix}"
        taken.add(stem.casefold())
        named.append(replace(field, name=name))
    return tuple(named)


def _changes(before: Iterable[LabelledField], after: Iterable[LabelledField]) -> tuple[int, int, int]:
    """Cells that were added, relabelled, removed."""
    old, new = ({c.cell_id: c.label for f in fields for c in f.cells} for fields in (before, after))
    relabelled = sum(old[key] != label for key, label in new.items() if key in old)
    return len(new.keys() - old.keys()), relabelled, len(old.keys() - new.keys())
