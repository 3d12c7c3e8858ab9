"""Reviewed projects become training sets, in which each slide is in train, val or test."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_wbc import __version__
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.files.guard import image_size
from napari_wbc.files.metadata import is_strippable
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.split import BY_SLIDE, SPLITS
from napari_wbc.model.step import now
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import NOT_CLASSED, Place, Taxonomy
from napari_wbc.model.training_set import LabelledField
from napari_wbc.model.words import counted
from napari_wbc.pipeline.incoming import partly_labelled
from napari_wbc.pipeline.round_before import RoundBefore, round_before_steps
from napari_wbc.pipeline.split_rule import exported_splits, sided, splits_of
from napari_wbc.storage.rounds import write_round_steps
from napari_wbc.storage.workspace import check_journal, open_workspace
from napari_wbc.weights.card import RESEARCH_USE

_CODE = re.compile("reader-[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class ExportedSet:
    """A round that was written."""

    folder: Path
    """Of the round."""
    fields: int
    cells: Counter[tuple[str, str]]
    added: int = 0
    relabelled: int = 0
    removed: int = 0
    """Each in cells, compared with the round before."""
    left_out: tuple[str, ...] = ()
    """What is not in it, and why, a phrase each."""
    failures: tuple[Failure, ...] = ()
    """Fields whose image cannot be read or is not the one that was reviewed."""


def export_set_steps(
    projects: Sequence[str | Path],
    out: str | Path,
    *,
    written_as: str = "wbc",
    reading: str = "",
    slides: Sequence[str] = (),
    split: str = BY_SLIDE,
    reviewed: bool = True,
    keep_metadata: bool = False,
) -> Steps[ExportedSet]:
    """Write the reviewed cells of projects as the next round of a training set.

    Fields of the round before that none of the projects has stay in the set; those that one has are
    replaced.

    Parameters
    ----------
    projects : sequence of path
        Project files; they are only read, even while a workbench has them open.
    out : str or Path
        Folder of the set.
    written_as : str
        One of :data:`~napari_wbc.storage.formats.registry.FORMATS`.
    reading : str
        Name of a blind reading, or ``consensus``; the first reader's labels where empty.
    slides : sequence of str
        Names of the slides to take; all where there are none.
    split : str
        ``by-slide`` derives the split of a new slide from its name, so that it is the same in every
        round; but where the set has nothing to learn from yet, its first slide goes to train.
        ``train``, ``val`` or ``test`` is the split of all new slides. A slide that was imported
        from a set with splits keeps its own in either case.
    reviewed : bool
        Whether only cells that a person labelled are taken, or the model's labels too.
    keep_metadata : bool
        Whether images are copied with what their files say of who made them, and who labelled the
        cells is named. Else see :func:`~napari_wbc.storage.rounds.write_round_steps`, and there is
        a code in the place of each annotator.

    Raises
    ------
    WbcError
        If there is no reviewed cell, an argument is wrong, the round before is damaged, or nothing
        can be written there. The rounds before stay as they are.
    """
    if split not in (BY_SLIDE, *SPLITS):
        raise WbcError(f"No split {split!r}; choose {BY_SLIDE}, {', '.join(SPLITS)}.")
    if not projects:
        raise WbcError("No project given; name at least one project file.")
    out = Path(out)
    before = yield from round_before_steps(out, written_as)
    opened: list[_Project] = []
    names: dict[str, list[str]] = {"slide": [], "reading": []}
    for path in projects:
        yield Progress("reading projects", len(opened), len(projects))
        opened.append(_opened(path, slides, reading))
        names["slide"] += opened[-1].slides
        names["reading"] += opened[-1].readings
    for what, wanted in (("slide", slides), ("reading", [reading])):
        # The first reader's labels are a reading without a name.
        existing = dict.fromkeys(filter(None, names[what]))
        if unknown := [name for name in wanted if name and name not in existing]:
            raise WbcError(
                f"No {what} {', '.join(unknown)} in these projects; they have: "
                f"{', '.join(existing) or 'none'}."
            )
    taken = yield from _taken_steps(opened, reviewed=reviewed, keep_metadata=keep_metadata)
    splits = exported_splits(before, [project.imported for project in opened], taken.fields, split)
    new = sided(taken.fields, splits, before.images)
    again = len(taken.fields) - len(new)
    taken.left_out["field", "whose image comes again, with later labels"] = again
    # Labels that were taken back leave the set: a field of the projects stays only where it cannot
    # be read.
    staying = [
        labelled
        for labelled in before.fields
        if labelled.sha256 not in new and (labelled.slide, labelled.fov_id) not in taken.places
    ]
    if not new and not 0 < len(staying) < len(before.fields):
        raise WbcError(
            "No reviewed cell in these projects; label cells first, or export the model's labels "
            "too (--unreviewed)."
        )
    fields = _named(_with_unique_ids((*staying, *new.values())))
    made = {
        **made_now(),
        "projects": [Path(project).name for project in projects],
        "reading": reading,
        "reviewed_only": reviewed,
        "slides": splits,
        "moved": before.moved,
        "gone": before.gone(fields),
        "places": _places(before, opened),
        "use": RESEARCH_USE,
    }
    classes = _classes(opened, before, staying)
    exported = yield from write_fields_steps(
        out, fields, classes, written_as, made, keep_metadata=keep_metadata
    )
    old_labels = _labels(before.fields)
    new_labels = _labels(fields)
    added = len(new_labels.keys() - old_labels.keys())
    left_out = [f"{counted(n, what)} {why}" for (what, why), n in taken.left_out.items() if n]
    return replace(
        exported,
        added=added,
        relabelled=len(new_labels.items() - old_labels.items()) - added,
        removed=len(old_labels.keys() - new_labels.keys()),
        left_out=tuple(left_out),
        failures=tuple(taken.failures),
    )


def made_now() -> dict[str, Any]:
    """What a manifest says of the program that writes it."""
    return {"program": f"napari-wbc {__version__}", "when": now()}


def write_fields_steps(
    out: Path,
    fields: Sequence[LabelledField],
    classes: Sequence[str],
    written_as: str,
    made: Mapping[str, Any],
    *,
    keep_metadata: bool = False,
) -> Steps[ExportedSet]:
    """Write fields as the next round of a set; the rounds before stay as they are."""
    folder = yield from write_round_steps(
        out,
        fields,
        tuple(classes),
        written_as=written_as,
        made=made,
        pixels=lambda labelled: read_image(labelled.path),
        keep_metadata=keep_metadata,
    )
    cells = Counter[tuple[str, str]]()
    for labelled in fields:
        for cell in labelled.cells:
            cells[labelled.split, cell.label] += 1
    return ExportedSet(folder, len(fields), cells)


@dataclass(frozen=True, slots=True)
class _Project:
    """What an export needs of a project, read at once."""

    taxonomy: Taxonomy
    tables: list[tuple[Slide, CellTable, dict[str, str | None]]]
    """The slides that are wanted, with the sha256 of their fields' images."""
    imported: dict[str, str]
    """Splits of the slides that came with them."""
    partly: frozenset[str]
    """Fields that came with cells missing."""
    slides: list[str]
    readings: list[str]


def _opened(path: str | Path, slides: Sequence[str], reading: str) -> _Project:
    """Read a project, which is not changed."""
    with closing(open_workspace(path, read_only=True)) as workspace:
        check_journal(workspace)
        every = workspace.slides()
        tables = []
        readings: list[str] = []
        for slide in every:
            readings += workspace.readings(slide.name)
            if not slides or slide.name in slides:
                facts = workspace.image_facts(slide.name)
                hashes = {fov_id: sha256 for fov_id, (_size, _time, sha256) in facts.items()}
                tables.append((slide, workspace.table(slide.name, reading), hashes))
        return _Project(
            workspace.taxonomy,
            tables,
            splits_of(workspace),
            partly_labelled(workspace),
            [slide.name for slide in every],
            readings,
        )


@dataclass(slots=True)
class _Taken:
    """What the projects give a set."""

    fields: list[LabelledField] = field(default_factory=list)
    """Fields with labelled cells; all are in train until the splits of the slides are known."""
    places: set[tuple[str, str]] = field(default_factory=set)
    """Slide and id of all fields that can be read, with labelled cells or without."""
    failures: list[Failure] = field(default_factory=list)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many are left out, by what they are and why."""


def _taken_steps(
    opened: Sequence[_Project], *, reviewed: bool, keep_metadata: bool
) -> Steps[_Taken]:
    """Look at the fields of all slides."""
    taken = _Taken()
    for project in opened:
        for slide, table, hashes in project.tables:
            for done, fov in enumerate(slide.fields, start=1):
                yield Progress("reading projects", done, len(slide.fields))
                taken.places.add((slide.name, fov.fov_id))
                cells, complete = _cells_of(
                    fov, table, project, reviewed=reviewed, left_out=taken.left_out
                )
                if not cells:
                    continue
                try:
                    labelled = _labelled(
                        slide, fov, cells, complete=complete, reviewed=hashes.get(fov.fov_id)
                    )
                    if not keep_metadata:
                        labelled = _nameless(labelled)
                except (ReadError, OSError) as error:
                    taken.failures.append(Failure(fov.path, str(error)))
                    taken.places.remove((slide.name, fov.fov_id))
                else:
                    taken.fields.append(labelled)
    return taken


def _cells_of(
    fov: FieldOfView,
    table: CellTable,
    project: _Project,
    *,
    reviewed: bool,
    left_out: Counter[tuple[str, str]],
) -> tuple[tuple[Cell, ...], bool]:
    """The cells of a field that the set gets, and whether all of the field's are among them."""
    every = table.of_field(fov.fov_id)
    cells: list[Cell] = []
    put_aside = 0
    for cell in every:
        if reviewed and cell.annotation is None:
            left_out["cell", "that nobody reviewed"] += 1
        elif project.taxonomy.class_of(cell.label):
            cells.append(cell)
        else:
            left_out["cell", f"labelled {cell.label}"] += 1
            # What a person excluded is known to be no cell of a class, so the field is complete.
            put_aside += cell.label == NOT_CLASSED
    complete = len(cells) + put_aside == len(every) and fov.fov_id not in project.partly
    return tuple(cells), complete


def _labelled(
    slide: Slide, fov: FieldOfView, cells: tuple[Cell, ...], *, complete: bool, reviewed: str | None
) -> LabelledField:
    """The field, unless its image is not the one whose cells were reviewed."""
    height, width = image_size(fov.path)
    sha256 = sha256_of(fov.path)
    if reviewed not in (None, sha256):
        raise ReadError(
            f"{fov.path}: not the image that was reviewed any more; put that back, then export "
            "again."
        )
    return LabelledField(
        _plain(f"{slide.name}__{fov.path.name}"),
        fov.path,
        height,
        width,
        "train",
        cells,
        slide.name,
        fov.fov_id,
        sha256,
        complete,
    )


def _nameless(labelled: LabelledField) -> LabelledField:
    """A field as it goes into a set without names of people."""
    with labelled.path.open("rb") as file:
        kept = is_strippable(file.read(16))
    # Kinds whose metadata cannot be left out become PNG, see storage.rounds.
    name = labelled.name if kept else f"{labelled.name}.png"
    return replace(labelled, name=name, cells=tuple(map(_with_code, labelled.cells)))


def _with_code(cell: Cell) -> Cell:
    """A cell with a code for its annotator, which tells the same person from others."""
    said = cell.annotation
    if said is None or not said.annotator or _CODE.fullmatch(said.annotator):
        return cell
    digest = hashlib.sha256(said.annotator.encode("utf-8", "surrogatepass")).hexdigest()
    return cell.annotated(replace(said, annotator=f"reader-{digest[:6]}"))


def _places(before: RoundBefore, opened: Iterable[_Project]) -> dict[str, str]:
    """Places of the classes that are not among the leukocytes of a differential."""
    places = dict(before.places)
    for project in opened:
        for cell_class in project.taxonomy.classes:
            if cell_class.place is not Place.LEUKOCYTE:
                places[cell_class.name] = cell_class.place.value
    return places


def _classes(
    opened: Sequence[_Project], before: RoundBefore, staying: Iterable[LabelledField]
) -> tuple[str, ...]:
    """The classes of the projects, and those of the round before that a cell still has."""
    labels: set[str] = set()
    for labelled in staying:
        labels.update(cell.label for cell in labelled.cells)
    classes: dict[str, None] = {}
    for project in opened:
        classes |= dict.fromkeys(project.taxonomy.names)
    classes |= dict.fromkeys(name for name in before.classes if name in labels)
    return tuple(classes)


def _with_unique_ids(fields: Iterable[LabelledField]) -> list[LabelledField]:
    """The fields, in which no two cells have one id."""
    taken: set[str] = set()
    unique: list[LabelledField] = []
    for labelled in fields:
        cells: list[Cell] = []
        for cell in labelled.cells:
            cell_id = cell.cell_id
            # Crops of one project may have the id of the cell that they were all cut from.
            if cell_id in taken:
                cell_id = f"{cell_id}-{labelled.sha256[:8]}"
            cells.append(replace(cell, cell_id=cell_id))
        taken.update(cell.cell_id for cell in cells)
        unique.append(replace(labelled, cells=tuple(cells)))
    return unique


def _plain(name: str) -> str:
    """A file name that every system takes.

    Examples
    --------
    >>> _plain("Mr. X / 2__a 1.png")
    'Mr.-X-2__a-1.png'
    """
    path = Path(re.sub(r"[^\w.]+", "-", name).strip("-.") or "field")
    # Systems limit a name to 255 bytes, and a letter may take four; a cut letter is dropped.
    stem = path.stem[:100].encode("utf-8", "replace").decode()[:100]
    return f"{stem}{path.suffix.lower()}"


def _named(fields: Iterable[LabelledField]) -> tuple[LabelledField, ...]:
    """The fields in order, each with a stem of its own, whatever the case of letters."""
    taken: set[str] = set()
    named: list[LabelledField] = []
    for labelled in sorted(fields, key=lambda labelled: (labelled.slide, labelled.fov_id)):
        path = Path(labelled.name)
        name, stem = path.name, path.stem
        # Formats name a field's files by its stem, and some systems do not tell A from a.
        if stem.casefold() in taken:
            digest = hashlib.sha256((labelled.sha256 + labelled.fov_id).encode()).hexdigest()
            stem = f"{stem}-{digest[:8]}"
            name = f"{stem}{path.suffix}"
        taken.add(stem.casefold())
        named.append(replace(labelled, name=name))
    return tuple(named)


def _labels(fields: Iterable[LabelledField]) -> dict[str, str]:
    """The label of each cell, by its id."""
    labels: dict[str, str] = {}
    for labelled in fields:
        for cell in labelled.cells:
            labels[cell.cell_id] = cell.label
    return labels
