"""Reviewed projects become training sets, and each of their slides is there to learn, to check or to test."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_wbc import __version__
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.files.guard import image_size
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import now
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import NOT_CLASSED, Place, Taxonomy
from napari_wbc.model.training_set import (
    BY_SLIDE,
    SPLITS,
    LabelledCell,
    LabelledField,
    farthest,
    split_of,
    splits_told,
)
from napari_wbc.model.words import counted
from napari_wbc.pipeline.incoming import partly_labelled, splits_of
from napari_wbc.storage.formats.manifest import (
    MANIFEST,
    ListedField,
    listed_fields,
    read_manifest_steps,
)
from napari_wbc.storage.rounds import (
    CROPS,
    newest_round,
    read_set_steps,
    rounds_of,
    write_round_steps,
)
from napari_wbc.storage.workspace import open_workspace
from napari_wbc.train.dataset import read_training_set_steps
from napari_wbc.weights.card import RESEARCH_USE, training_images
from napari_wbc.weights.library import Library

__all__ = [
    "FEWEST",
    "ExportedSet",
    "SetSlide",
    "SetSummary",
    "export_set_steps",
    "move_slide_steps",
    "ready_steps",
    "ready_to_learn",
    "set_summary",
]

FEWEST = 10
"""Labelled cells from which training goes on."""
LEARNT = SPLITS[0]
"""The side that is learnt."""
MEANT = {"train": "to learn", "val": "to check", "test": "to test"}
"""What the sides are for."""


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


@dataclass(frozen=True, slots=True)
class SetSlide:
    """A slide of a training set.

    Parameters
    ----------
    name : str
        Empty for fields of which the slide is not known.
    split : str
    cells : int
        That are labelled.
    """

    name: str
    split: str
    cells: int


@dataclass(frozen=True, slots=True)
class SetSummary:
    """What the newest round of a training set holds.

    Parameters
    ----------
    folder : Path, optional
        Of the round; None where there is no set yet, or it is another program's.
    slides : tuple of SetSlide
        That have labelled cells, in order.
    cells : mapping of str to int
        Labelled cells by split; an image may keep another side than its slide has.
    """

    folder: Path | None = None
    slides: tuple[SetSlide, ...] = ()
    cells: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))

    @property
    def line(self) -> str:
        """One line that says so.

        Examples
        --------
        >>> slides = SetSlide("a", "train", 20), SetSlide("b", "test", 1)
        >>> SetSummary(Path(), slides, {"train": 20, "val": 0, "test": 1}).line
        '21 cells of 2 slides: 20 to learn, 0 to check, 1 to test'
        """
        n = sum(self.cells.values())
        sides = ", ".join(f"{self.cells[split]} {meant}" for split, meant in MEANT.items())
        return f"{counted(n, 'cell')} of {counted(len(self.slides), 'slide')}: {sides}"


def set_summary(folder: str | Path) -> SetSummary:
    """What a training set holds, by the manifest of its newest round alone.

    Raises
    ------
    WbcError
        If that is damaged.
    """
    newest = newest_round(Path(folder))
    if newest is None or not (newest / MANIFEST).is_file():
        return SetSummary()
    fields, made = listed_fields(newest)
    sides = splits_told(made.get("slides"))
    cells, splits = Counter[str](), dict[str, str]()
    for listed in fields:
        cells[listed.slide] += listed.cells
        splits[listed.slide] = farthest(listed.split, splits.get(listed.slide, ""))
    return SetSummary(
        newest,
        tuple(
            SetSlide(name, sides.get(name, splits[name]), cells[name])
            for name in sorted(cells)
            if cells[name]
        ),
        _cells_by_split(fields),
    )


def _cells_by_split(fields: Sequence[ListedField]) -> dict[str, int]:
    cells = Counter[str]()
    for listed in fields:
        cells[listed.split] += listed.cells
    return {split: cells[split] for split in SPLITS}


def ready_to_learn(sets: Sequence[str | Path], *, detector: bool = False) -> str:
    """:func:`ready_steps`, at once."""
    return run(ready_steps(sets, detector=detector))


def ready_steps(sets: Sequence[str | Path], *, detector: bool = False) -> Steps[str]:
    """Say why a model cannot learn from training sets; no image is looked at.

    Parameters
    ----------
    sets : sequence of path
    detector : bool
        Whether it is a detector, which learns from fields of which every cell was reviewed.

    Returns
    -------
    str
        One sentence; empty where it can.

    Raises
    ------
    WbcError
        If one cannot be read.
    """
    fields: list[ListedField] = []
    for path in map(Path, sets):
        if not path.exists():
            return f"{path}: no such file or folder; check the path, or add reviewed cells first."
        yield Progress("reading labels", 0, 0)
        root = newest_round(path) or path
        if (root / MANIFEST).is_file():
            fields += listed_fields(root)[0]
        else:
            fields += _as_listed((yield from read_training_set_steps(path)))
    return _lacking(fields, "this set" if len(sets) == 1 else "these sets", detector=detector)


def _lacking(fields: Sequence[ListedField], those: str, *, detector: bool) -> str:
    """Why a model cannot learn from the fields of sets; empty where it can."""
    cells = _cells_by_split(fields)
    if not any(cells.values()):
        return f"No cell of {those} is labelled; label cells, and add them first."
    if not cells[LEARNT]:
        return f"No slide of {those} is there to learn from: {_all_kept(cells)}. Move a slide to train."
    whole = [
        field.split for field in fields if field.complete and field.cells and field.split != "test"
    ]
    if detector and len(whole) < 2:
        return "A detector learns from fields of which every cell was reviewed; review two or more."
    if detector and LEARNT not in whole:
        return f"No field to learn from is reviewed as a whole in {those}; review one of a slide in train."
    n = cells[LEARNT] + cells["val"]
    if n >= FEWEST:
        return ""
    test = f" beside {cells['test']} that are kept for testing" if cells["test"] else ""
    return (
        f"Fine-tuning needs {FEWEST} labelled cells or more, and there are {n}{test}; label more."
    )


def _all_kept(cells: Mapping[str, int]) -> str:
    """For what the cells are kept that are not there to learn from."""
    kept = {"for validation": cells["val"], "for testing": cells["test"]}
    parts = [(n, what) for what, n in kept.items() if n]
    if len(parts) == 1:
        ((n, what),) = parts
        return f"{f'all {n} cells are' if n > 1 else 'its only cell is'} kept {what}"
    (val, check), (test, final) = parts
    return f"{counted(val, 'cell')} {'is' if val == 1 else 'are'} kept {check} and {test} {final}"


def _as_listed(cells: Iterable[LabelledCell]) -> list[ListedField]:
    """Fields of labelled cells as a manifest would list them; a label of nothing is none of a cell."""
    counts = Counter[tuple[Path, str, str, bool]]()
    for cell in cells:
        counts[cell.path, cell.split, cell.slide, cell.complete] += bool(cell.label)
    return [
        ListedField(slide, split, "", complete, n)
        for (_path, split, slide, complete), n in counts.items()
    ]


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

    Fields of the round before that none of the projects has stay in the set; those that one has are
    replaced.

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
        ``by-slide``: found from its name, so that it is the same in every round; only where the set
        has nothing to learn from yet, its first slide is. Or ``train``, ``val`` or ``test`` for all
        slides that the set has not yet. A slide that was imported from a set with splits keeps its
        own in either case.
    reviewed : bool
        Only cells that a person labelled; else the model's labels too.

    Returns
    -------
    ExportedSet

    Raises
    ------
    WbcError
        If there is no reviewed cell, an argument is wrong, the round before is damaged, or nothing
        can be written there; the rounds before stay as they are.
    """
    if split not in (BY_SLIDE, *SPLITS):
        raise WbcError(f"No split {split!r}; choose {BY_SLIDE}, {', '.join(SPLITS)}.")
    if not projects:
        raise WbcError("No project given; name at least one project file.")
    out = Path(out)
    before = yield from _before_steps(out, written_as)
    opened: list[_Opened] = []
    for project in projects:
        yield Progress("reading projects", len(opened), len(projects))
        opened.append(_opened(project, slides, reading))
    _check_named("slide", slides, [name for one in opened for name in one.slides])
    _check_named(
        "reading", [reading] if reading else [], [name for one in opened for name in one.readings]
    )
    taken = yield from _taken_steps(opened, reviewed=reviewed)
    sides = _sides(before, opened, taken.fields, split)
    fresh = _sided(taken.fields, sides, before.images)
    again = len(taken.fields) - len(fresh)
    taken.left_out["field", "whose image comes again, with later labels"] = again
    # Labels that were taken back leave the set: a field of the projects stays only where it cannot
    # be read.
    stay = [
        f
        for f in before.fields
        if f.sha256 not in fresh and (f.slide, f.fov_id) not in taken.places
    ]
    if not (fresh or (stay and len(stay) < len(before.fields))):
        raise WbcError(
            "No reviewed cell in these projects; label cells first, or export the model's labels too."
        )
    fields = _named(_by_one_id((*stay, *fresh.values())))
    taxonomies = [one.taxonomy for one in opened]
    made = {
        "program": f"napari-wbc {__version__}",
        "when": now(),
        "projects": [Path(project).name for project in projects],
        "reading": reading,
        "reviewed_only": reviewed,
        "slides": sides,
        "moved": before.moved,
        "gone": before.gone(fields),
        "places": {**before.places, **_places(taxonomies)},
        "use": RESEARCH_USE,
    }
    staying = {cell.label for labelled in stay for cell in labelled.cells}
    classes = dict.fromkeys(name for taxonomy in taxonomies for name in taxonomy.names)
    classes |= dict.fromkeys(name for name in before.classes if name in staying)
    folder = yield from write_round_steps(
        out,
        fields,
        tuple(classes),
        written_as=written_as,
        made=made,
        pixels=lambda field: read_image(field.path),
    )
    return ExportedSet(
        folder,
        len(fields),
        _counts(fields),
        *_changes(before.fields, fields),
        tuple(f"{counted(n, what)} {why}" for (what, why), n in taken.left_out.items() if n),
        tuple(taken.failures),
    )


def move_slide_steps(
    folder: str | Path, slide: str, split: str, *, models: Library | None = None
) -> Steps[ExportedSet]:
    """Write a round in which a slide is on another side, with all its images, and stays there.

    Parameters
    ----------
    folder : str or Path
        Of the set.
    slide : str
        Its name.
    split : str
        ``train``, ``val`` or ``test``.
    models : Library, optional
        Whose models must not have been trained or chosen on the slide, as far as their cards tell;
        the person's own where None.

    Returns
    -------
    ExportedSet

    Raises
    ------
    WbcError
        If the set has no such slide, it is on that side already, a model was trained on it, or the
        round cannot be written; the set is then as it was.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise WbcError(f"No split {split!r}; choose {', '.join(SPLITS)}.")
    summary = set_summary(folder)
    if summary.folder is None:
        raise WbcError(
            f"{folder}: no training set that napari-wbc wrote; add reviewed cells first."
        )
    names = [existing.name for existing in summary.slides if existing.name]
    if slide not in names:
        raise WbcError(
            f"{folder}: no slide {slide!r} in this set; it has: {', '.join(names) or 'none'}."
        )
    images = yield from _images_of_steps(folder, slide)
    for model in (models or Library()).models():
        yield Progress("looking for models that know the slide", 0, 0)
        if model.card and images & training_images(model.card):
            raise WbcError(
                f"{slide} stays where it is, since {model.name} was trained on it; "
                "move a slide that no model has used."
            )
    _, made = listed_fields(summary.folder)
    written_as = str(made.get("written_as", "wbc"))
    before = yield from _before_steps(folder, written_as)
    own = {labelled.split for labelled in before.fields if labelled.slide == slide}
    if own == {split} == {before.sides.get(slide)}:
        raise WbcError(f"{slide} is in {split} already; choose another side for it.")
    fields = [
        replace(labelled, split=split) if labelled.slide == slide else labelled
        for labelled in before.fields
    ]
    gone = {
        sha256: split if sha256 in images else side for sha256, side in before.gone(fields).items()
    }
    new = yield from write_round_steps(
        folder,
        fields,
        before.classes,
        written_as=written_as,
        made={
            **before.made,
            "program": f"napari-wbc {__version__}",
            "when": now(),
            "slides": {**before.sides, slide: split},
            "moved": {**before.moved, slide: split},
            "gone": gone,
        },
        pixels=lambda labelled: read_image(labelled.path),
    )
    return ExportedSet(new, len(fields), _counts(fields))


def _counts(fields: Iterable[LabelledField]) -> Counter[tuple[str, str]]:
    """Cells by split and label."""
    return Counter((labelled.split, cell.label) for labelled in fields for cell in labelled.cells)


def _images_of_steps(folder: Path, slide: str) -> Steps[frozenset[str]]:
    """sha256 of the images that a slide has or had in any round of a set."""
    images: set[str] = set()
    rounds = rounds_of(folder)
    for done, folder_of_round in enumerate(rounds, start=1):
        yield Progress("reading labels", done, len(rounds))
        if (folder_of_round / MANIFEST).is_file():  # an old round may have been deleted in part
            fields, _ = listed_fields(folder_of_round)
            images |= {listed.sha256 for listed in fields if listed.slide == slide}
    return frozenset(images - {""})


@dataclass(slots=True)
class _Taken:
    """What the projects give a set."""

    fields: list[LabelledField] = field(default_factory=list)
    """With labelled cells, and on no side yet."""
    places: set[tuple[str, str]] = field(default_factory=set)
    """Slide and id of all fields that can be read, with labelled cells or without."""
    failures: list[Failure] = field(default_factory=list)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """What it is that is left out, and why."""


def _taken_steps(opened: Sequence[_Opened], *, reviewed: bool) -> Steps[_Taken]:
    """Look at the fields of all slides."""
    taken = _Taken()
    for project in opened:
        for slide, table, facts in project.tables:
            known = {fov: sha256 for fov, (_size, _time, sha256) in facts.items()}
            for done, here in enumerate(slide.fields, start=1):
                yield Progress("reading projects", done, len(slide.fields))
                taken.places.add((slide.name, here.fov_id))
                cells, complete = _cells_of(
                    here, table, project, reviewed=reviewed, left_out=taken.left_out
                )
                if not cells:
                    continue
                labelled = _labelled(slide, here, cells, known.get(here.fov_id), complete=complete)
                if isinstance(labelled, Failure):
                    taken.failures.append(labelled)
                    taken.places.remove((slide.name, here.fov_id))
                else:
                    taken.fields.append(labelled)
    return taken


def _sides(
    before: _Before, opened: Sequence[_Opened], fields: Sequence[LabelledField], split: str
) -> dict[str, str]:
    """The side of each slide that the set had or has.

    Where nothing is there to learn from, the first of the new slides is, whatever its name says.
    """
    imported: dict[str, str] = {}
    for project in opened:
        for name, side in project.imported.items():
            imported[name] = farthest(side, imported.get(name, ""))
    sides, fresh = dict(before.sides), list[str]()
    for name in dict.fromkeys(labelled.slide for labelled in fields):
        existing = before.moved.get(name) or farthest(
            before.sides.get(name, ""), imported.get(name, "")
        )
        sides[name] = existing or (split_of(name) if split == BY_SLIDE else split)
        fresh += [] if existing else [name]
    after = _sided(fields, sides, before.images).values()
    if split == BY_SLIDE and not any(
        labelled.split == LEARNT for labelled in (*before.fields, *after)
    ):
        sides |= dict.fromkeys(fresh[:1], LEARNT)
    return sides


def _sided(
    fields: Iterable[LabelledField], sides: Mapping[str, str], images: Mapping[str, str]
) -> dict[str, LabelledField]:
    """The fields by their image, the later ones in place of earlier ones.

    Each is on the side that its image had before, or else on that of the slide of any of these that
    is farthest from train.
    """
    by_image: dict[str, LabelledField] = {}
    for labelled in fields:
        image = labelled.sha256
        twin = by_image.get(image)
        side = images.get(image) or farthest(sides[labelled.slide], twin.split if twin else "")
        by_image[image] = replace(labelled, split=side)
    return by_image


def _places(taxonomies: Iterable[Taxonomy]) -> dict[str, str]:
    """Where classes stand that are not among the leukocytes of a differential."""
    classes = [cell_class for taxonomy in taxonomies for cell_class in taxonomy.classes]
    return {each.name: each.place.value for each in classes if each.place is not Place.LEUKOCYTE}


@dataclass(frozen=True, slots=True)
class _Before:
    """The round before, as another tool may have changed it; what was in an earlier round keeps its side."""

    fields: tuple[LabelledField, ...] = ()
    classes: tuple[str, ...] = ()
    sides: Mapping[str, str] = field(default_factory=dict)
    """Of slides, also while they are out of the set."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Sides of images by sha256, also while they are out of the set."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Sides of the slides that a person moved, wherever they came from."""
    places: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)

    def gone(self, fields: Iterable[LabelledField]) -> dict[str, str]:
        """Sides of the images that are none of some fields'."""
        left = self.images.keys() - {labelled.sha256 for labelled in fields}
        return {sha256: self.images[sha256] for sha256 in sorted(left)}


def _before_steps(out: Path, written_as: str) -> Steps[_Before]:
    """The round before the one that will be written; nothing where there is none."""
    newest = newest_round(out)
    if newest is None:
        return _Before()
    manifest = yield from read_manifest_steps(newest)
    if manifest.made.get("written_as") == CROPS:  # of which the fields are known only from there
        if written_as != CROPS:
            raise WbcError(
                f"{newest}: this set holds crops and no fields; choose another folder, or {CROPS}."
            )
        fields, classes = manifest.fields, manifest.classes
    else:
        content = yield from read_set_steps(newest)
        fields, classes = content.fields, content.classes
    sides, images, by_person = (
        splits_told(manifest.made.get(key)) for key in ("slides", "gone", "moved")
    )
    written = {labelled.name: labelled.split for labelled in manifest.fields}
    moved = {
        labelled.slide
        for labelled in fields
        if written.get(labelled.name) not in (None, labelled.split)
    }
    of_images: dict[str, str] = {}
    for labelled in fields:
        of_images[labelled.slide] = farthest(labelled.split, of_images.get(labelled.slide, ""))
        images[labelled.sha256] = labelled.split
    # An image that keeps its side does not take its slide along, unless somebody put it elsewhere.
    sides |= {
        slide: side for slide, side in of_images.items() if slide not in sides or slide in moved
    }
    places = manifest.made.get("places")
    places = (
        {str(name): str(place) for name, place in places.items()}
        if isinstance(places, dict)
        else {}
    )
    return _Before(
        fields,
        classes,
        sides,
        images,
        {slide: side for slide, side in by_person.items() if slide not in moved},
        places,
        manifest.made,
    )


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


def _by_one_id(fields: Iterable[LabelledField]) -> list[LabelledField]:
    """The fields; a cell whose id another field has already, as crops of one project may, gets its own."""
    taken: set[str] = set()
    found: list[LabelledField] = []
    for one in fields:
        cells = tuple(
            replace(cell, cell_id=f"{cell.cell_id}-{one.sha256[:8]}")
            if cell.cell_id in taken
            else cell
            for cell in one.cells
        )
        taken |= {cell.cell_id for cell in cells}
        found.append(replace(one, cells=cells))
    return found


def _check_named(what: str, wanted: Sequence[str], there: Sequence[str]) -> None:
    """Refuse the name of what no project has."""
    if unknown := [name for name in wanted if name not in there]:
        known = ", ".join(dict.fromkeys(filter(None, there))) or "none"
        raise WbcError(f"No {what} {', '.join(unknown)} in these projects; they have: {known}.")


def _cells_of(
    here: FieldOfView,
    table: CellTable,
    project: _Opened,
    *,
    reviewed: bool,
    left_out: Counter[tuple[str, str]],
) -> tuple[tuple[Cell, ...], bool]:
    """The cells of a field that the set gets, and whether all of the field's are among them."""
    taxonomy = project.taxonomy
    every = table.of_field(here.fov_id)
    cells = [cell for cell in every if cell.annotation is not None or not reviewed]
    kept = tuple(cell for cell in cells if taxonomy.class_of(cell.label))
    unclear = (cell.label for cell in cells if not taxonomy.class_of(cell.label))
    left_out.update(("cell", f"labelled {label}") for label in unclear)
    left_out["cell", "that nobody reviewed"] += len(every) - len(cells)
    sure = [cell for cell in cells if taxonomy.class_of(cell.label) or cell.label == NOT_CLASSED]
    return kept, len(sure) == len(every) and here.fov_id not in project.partly


def _labelled(
    slide: Slide, here: FieldOfView, cells: tuple[Cell, ...], known: str | None, *, complete: bool
) -> LabelledField | Failure:
    """A field with its cells, on no side yet, or why it cannot be taken."""
    try:
        height, width = image_size(here.path)
        sha256 = sha256_of(here.path)
    except (ReadError, OSError) as error:
        return Failure(here.path, str(error))
    if known not in (None, sha256):
        text = f"{here.path}: not the image that was reviewed any more; put that back, then export again."
        return Failure(here.path, text)
    name = _plain(f"{slide.name}__{here.path.name}")
    return LabelledField(
        name, here.path, height, width, LEARNT, cells, slide.name, here.fov_id, sha256, complete
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
    for one in sorted(fields, key=lambda one: (one.slide, one.fov_id)):
        name, stem = one.name, Path(one.name).stem
        if stem.casefold() in taken:
            stem = f"{stem}-{hashlib.sha256((one.sha256 + one.fov_id).encode()).hexdigest()[:8]}"
            name = f"{stem}{Path(name).suffix}"
        taken.add(stem.casefold())
        named.append(replace(one, name=name))
    return tuple(named)


def _changes(
    before: Iterable[LabelledField], after: Iterable[LabelledField]
) -> tuple[int, int, int]:
    """Cells that were added, relabelled, removed."""
    old, new = ({c.cell_id: c.label for f in fields for c in f.cells} for fields in (before, after))
    relabelled = sum(old[key] != label for key, label in new.items() if key in old)
    return len(new.keys() - old.keys()), relabelled, len(old.keys() - new.keys())
