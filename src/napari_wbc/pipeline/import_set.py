"""Training sets, ours or another tool's, become projects; what each label will become is told first."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.preset import Preset
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Annotation, Cell
from napari_wbc.model.geometry import BBox, iou_matrix
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import Step, now
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.model.training_set import SPLITS, LabelledField
from napari_wbc.pipeline.analyze import Failure
from napari_wbc.storage.rounds import SetContent, read_set
from napari_wbc.storage.unpack import unpacked
from napari_wbc.storage.workspace import Workspace, create_workspace, open_workspace
from napari_wbc.storage.workspace.images import sha256_of
from napari_wbc.train.dataset import one_cell_box

__all__ = [
    "ImportedSet",
    "Incoming",
    "import_set_steps",
    "look_steps",
    "partly_labelled",
    "splits_of",
    "suggested_class",
]

SPELLINGS = {"ig": "immature granulocyte", "nrbc": "erythroblast", "normoblast": "erythroblast"}
"""Data sets' names of classes that no rule below finds."""
SAME = 0.9
"""IoU from which a box is that of a cell that is there already."""
LEFT_OUT = ""
"""What a label becomes that is not wanted."""
SPLIT_KEY = "splits"
"""Under which a project keeps the splits of slides that came with them."""
PARTLY_KEY = "partly_labelled"
"""Under which it keeps the fields that came with cells missing."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What an import would bring.

    Parameters
    ----------
    content : SetContent
    counts : mapping of str to int
        Cells by label.
    suggested : mapping of str to str or None
        Class that each label would become; None where a person has to say.
    """

    content: SetContent
    counts: Mapping[str, int]
    suggested: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class ImportedSet:
    """What an import brought into a project.

    Parameters
    ----------
    project : Path
    slides : tuple of str
    cells : int
        That are labelled by the set.
    left_out : int
        Cells whose label was not wanted.
    unreviewed : int
        Cells that only a model labelled; they come with its prediction, whatever the mapping says.
    failures : tuple of Failure
        Fields whose image cannot be read.
    """

    project: Path
    slides: tuple[str, ...]
    cells: int
    left_out: int
    unreviewed: int
    failures: tuple[Failure, ...]


def suggested_class(label: str, taxonomy: Taxonomy) -> str | None:
    """The class that a data set means by a label, None where that is not clear.

    Examples
    --------
    >>> suggested_class("Eosinophils", EIGHT_CLASSES), suggested_class("WBC", EIGHT_CLASSES)
    ('eosinophil', None)
    """
    plain = re.sub(r"[\s_-]+", " ", label).strip().casefold()
    for name in (label, plain, plain.removesuffix("s"), SPELLINGS.get(plain, "")):
        if (found := taxonomy.class_of(name)) is not None:
            return found
    return None


def look_steps(
    path: str | Path, *, taxonomy: Taxonomy = EIGHT_CLASSES, written_as: str = ""
) -> Steps[Incoming]:
    """Read a training set and say what each of its labels would become; nothing is written.

    Parameters
    ----------
    path : str or Path
        Folder, file or .zip of a training set.
    taxonomy : Taxonomy
        Classes of the project.
    written_as : str
        One of :data:`~napari_wbc.storage.rounds.FORMATS`; told from the files where empty.

    Raises
    ------
    WbcError
        If it is no training set, or holds what cannot be trusted.
    """
    yield Progress("reading the set", 0, 0)
    with _read(Path(path), written_as) as content:
        return _incoming(content, taxonomy)


def _incoming(content: SetContent, taxonomy: Taxonomy) -> Incoming:
    counts = Counter(cell.label for field in content.fields for cell in field.cells)
    return Incoming(content, counts, {label: suggested_class(label, taxonomy) for label in counts})


def import_set_steps(
    path: str | Path,
    project: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    taxonomy: Taxonomy | None = None,
    written_as: str = "",
) -> Steps[ImportedSet]:
    """Bring a training set into a project, which is made where it is not there.

    Cells that the project has (by id, or a box of IoU 0.9) get the label of the set; others are added. Each
    slide is one step of the journal, so it can be undone. Images of a folder stay where they are, those of a
    .zip go into a folder beside the project. A set's splits are remembered slide by slide, so that an export
    keeps them; fields of one slide in several splits become a slide each.

    Parameters
    ----------
    path : str or Path
        Folder, file or .zip of a training set.
    project : str or Path
        Project file that no workbench has open.
    mapping : mapping of str to str
        Label of the set to class of the project, or to ``""`` for cells that are left out; what is suggested
        holds for the others.
    taxonomy : Taxonomy, optional
        Classes of a new project; eight where None. One that is there has its own.
    written_as : str
        As in :func:`look_steps`.

    Raises
    ------
    WbcError
        If a label has no class, a class is none of the project, the set cannot be trusted, the project
        cannot be written or has other classes, or one of its fields is another image; the project is then as
        it was.
    """
    project = Path(project)
    yield Progress("reading the set", 0, 0)
    with _read(Path(path), written_as) as content:
        classes = _classes(project, taxonomy)
        wanted = _mapped(_incoming(content, classes), mapping or {}, classes, path)
        fields, failures = yield from _checked_steps(content)
        workspace = _project(project, classes)
        try:
            _check_images(workspace, fields)
            if _is_zip(Path(path)):
                fields = yield from _kept_steps(fields, project.with_name(f"{project.stem}-images"))
            slides = {field.slide: field.split for field in fields}
            if content.made or {field.split for field in content.fields} != {"train"}:
                workspace.put(SPLIT_KEY, slides | splits_of(workspace))
            partly = {f.fov_id for f in fields if not f.complete or any(not wanted[c.label] for c in f.cells)}
            if partly:
                workspace.put(PARTLY_KEY, sorted(partly | partly_labelled(workspace)))
            # No pause between slides: all of them are in, or none that a person could have stopped before.
            cells = sum(
                _write(workspace, slide, [f for f in fields if f.slide == slide], wanted, content.name)
                for slide in slides
            )
        finally:
            workspace.close()
    every = [cell for field in fields for cell in field.cells]
    left_out = sum(wanted[cell.label] == LEFT_OUT for cell in every)
    unreviewed = sum(_by_model(cell) and wanted[cell.label] != LEFT_OUT for cell in every)
    return ImportedSet(project, tuple(sorted(slides)), cells - unreviewed, left_out, unreviewed, failures)


def splits_of(workspace: Workspace) -> dict[str, str]:
    """The splits of the slides of a project that came with them from a training set."""
    told = workspace.get(SPLIT_KEY)
    return {str(slide): side for slide, side in told.items() if side in SPLITS} if told else {}


def partly_labelled(workspace: Workspace) -> frozenset[str]:
    """Fields of a project that came with cells that nobody had reviewed, or that were left out."""
    told = workspace.get(PARTLY_KEY)
    return frozenset(map(str, told)) if told else frozenset()


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


@contextmanager
def _read(path: Path, written_as: str) -> Iterator[SetContent]:
    """What a set holds; the files of a zip are there for as long as this lasts."""
    if not _is_zip(path):
        yield read_set(path, written_as)
        return
    with unpacked(path) as root:
        inside = [one for one in root.iterdir() if not one.name.startswith((".", "__MACOSX"))]
        only = inside[0] if len(inside) == 1 and inside[0].is_dir() else root
        yield replace(read_set(only, written_as), name=path.stem)


def _classes(project: Path, taxonomy: Taxonomy | None) -> Taxonomy:
    """Classes of the project that is there, or of the one that will be."""
    if not project.exists():
        return taxonomy or EIGHT_CLASSES
    workspace = open_workspace(project, read_only=True)
    try:
        known = workspace.taxonomy
    finally:
        workspace.close()
    if taxonomy is not None and taxonomy.names != known.names:
        raise WbcError(
            f"{project}: its classes are {', '.join(known.names)}; import by them, or name another."
        )
    return known


def _check_images(workspace: Workspace, fields: Sequence[LabelledField]) -> None:
    """Refuse a field that the project has with another image, before anything is written."""
    there = {f.fov_id: (slide.name, f) for slide in workspace.slides() for f in slide.fields}
    facts = {slide: workspace.image_facts(slide) for slide in {name for name, _ in there.values()}}
    for field in fields:
        slide, known = there.get(field.fov_id, ("", None))
        if known is None:
            continue
        if slide != field.slide:
            raise WbcError(
                f"{field.path}: the project has {field.fov_id!r} in the slide {slide!r}; rename it."
            )
        try:
            there_sha256 = facts[slide].get(field.fov_id, (None, None, None))[2] or sha256_of(known.path)
        except OSError as error:
            raise WbcError(
                f"{known.path}: the project's image cannot be read ({error.strerror or error}); put it back."
            ) from error
        if there_sha256 != field.sha256:
            raise WbcError(
                f"{field.path}: the project has another image as {field.fov_id!r}; rename one of them."
            )


def _project(path: Path, taxonomy: Taxonomy) -> Workspace:
    workspace = open_workspace(path) if path.exists() else create_workspace(path, taxonomy)
    if workspace.read_only:
        why = workspace.read_only
        workspace.close()
        raise WbcError(f"{path}: nothing can be imported, since {why}; close it elsewhere first.")
    return workspace


def _mapped(
    incoming: Incoming, mapping: Mapping[str, str], taxonomy: Taxonomy, path: str | Path
) -> dict[str, str]:
    """Class of each label, or nothing for one that is left out."""
    unknown = [label for label in mapping if label not in incoming.counts]
    if unknown:
        raise WbcError(
            f"{path}: no label {', '.join(unknown)} in this set; it has: {', '.join(incoming.counts)}."
        )
    wanted = {**incoming.suggested, **mapping}
    unclear = [label for label, name in wanted.items() if name is None]
    if unclear:
        raise WbcError(
            f"{path}: say which class these labels are, or that they are left out: {', '.join(unclear)}; "
            f"the classes are: {', '.join(taxonomy.names)}."
        )
    wrong = sorted({name for name in wanted.values() if name and name not in taxonomy.labels})
    if wrong:
        raise WbcError(f"{path}: no class {', '.join(wrong)}; the classes are: {', '.join(taxonomy.names)}.")
    return {label: name or LEFT_OUT for label, name in wanted.items()}


def _checked_steps(content: SetContent) -> Steps[tuple[list[LabelledField], tuple[Failure, ...]]]:
    """Fields whose image can be read, with slide, id and sha256."""
    fields: list[LabelledField] = []
    failures: list[Failure] = []
    sides: dict[str, set[str]] = {}
    for field in content.fields:
        sides.setdefault(field.slide or content.name, set()).add(field.split)
    for done, field in enumerate(content.fields, start=1):
        note = ""
        try:
            image = read_image(field.path)
            slide, sha256 = field.slide or content.name, sha256_of(field.path)
            if len(sides[slide]) > 1:  # a slide is on one side
                slide = f"{slide} ({field.split})"
            # An id that comes without a slide is a file's name, which another set may have too.
            fov_id = field.fov_id if field.slide and field.fov_id else f"{slide}/{field.name}"
            cells = tuple(_boxed(cell, field, image) for cell in field.cells)
            path = field.path.resolve()
            fields.append(replace(field, slide=slide, fov_id=fov_id, path=path, sha256=sha256, cells=cells))
        except (ReadError, OSError) as error:
            note = str(error)
            failures.append(Failure(field.path, note))
        yield Progress("reading images", done, len(content.fields), note)
    if not fields:
        raise WbcError(f"{content.name}: none of its images can be read; see {failures[0].message}")
    return fields, tuple(failures)


def _boxed(cell: Cell, field: LabelledField, image: npt.NDArray[np.uint8]) -> Cell:
    """The cell of an image that shows one, and of which no box is known, where it is located."""
    whole = BBox(0, 0, field.height, field.width)
    if len(field.cells) > 1 or cell.detection.bbox != whole or cell.detection.outline is not None:
        return cell
    return replace(cell, detection=replace(cell.detection, bbox=one_cell_box(image, Preset())))


def _kept_steps(fields: Sequence[LabelledField], folder: Path) -> Steps[list[LabelledField]]:
    """The fields with their images in a folder that stays; what was copied goes again if not all can be."""
    kept: list[LabelledField] = []
    fresh: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for done, field in enumerate(fields, start=1):
            path = folder / field.name
            if path.exists() and sha256_of(path) != field.sha256:
                path = folder / f"{field.sha256[:8]}-{field.name}"
            if not path.exists() or sha256_of(path) != field.sha256:
                fresh.append(path)
                shutil.copyfile(field.path, path)
            kept.append(replace(field, path=path.resolve()))
            yield Progress("copying images", done, len(fields))
    except (OSError, GeneratorExit) as error:
        for path in fresh:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise WbcError(f"{folder}: images cannot be copied there ({error.strerror or error}).") from error
        raise
    return kept


def _write(
    workspace: Workspace, name: str, fields: list[LabelledField], wanted: Mapping[str, str], source: str
) -> int:
    """Put the fields of one slide into a project; how many cells they label there."""
    there = {f.fov_id: f for s in workspace.slides() if s.name == name for f in s.fields}
    fresh = {f.fov_id: FieldOfView(f.fov_id, f.path) for f in fields if f.fov_id not in there}
    workspace.put_slide(Slide(name, (*there.values(), *fresh.values())))
    old = workspace.table(name)
    new, labelled = old, 0
    for field in fields:
        cells = [
            _labelled(cell, field.fov_id, wanted[cell.label], source)
            for cell in field.cells
            if wanted[cell.label] != LEFT_OUT
        ]
        labelled += len(cells)
        new = new.with_cells(_merged(new, field.fov_id, cells))
    step = Step(workspace.last + 1, f"import {source}", "import", diff(old, new), when=now())
    if step.change:
        workspace.write(name, [step])
    workspace.put_image_facts(
        [
            {"key": f.fov_id, "size": s.st_size, "modified": s.st_mtime_ns, "sha256": f.sha256}
            for f in fields
            if f.fov_id in fresh
            for s in (f.path.stat(),)
        ]
    )
    return labelled


def _by_model(cell: Cell) -> bool:
    """Whether a model said so, and nobody has reviewed it."""
    return cell.annotation is None and cell.prediction is not None


def _labelled(cell: Cell, fov_id: str, label: str, source: str) -> Cell:
    if _by_model(cell):
        return replace(cell, fov_id=fov_id)
    said = cell.annotation or Annotation(cell.label)
    said = Annotation(label, said.annotator or f"import of {source}", said.when or now())
    return replace(cell, fov_id=fov_id, annotation=said)


def _merged(table: CellTable, fov_id: str, cells: list[Cell]) -> list[Cell]:
    """The cells, those that are there already as these with another annotation."""
    here = table.of_field(fov_id)
    overlaps = iou_matrix([c.detection.bbox for c in cells], [c.detection.bbox for c in here])
    taken: set[str] = set()
    found: list[Cell] = []
    for cell, row in zip(cells, overlaps, strict=True):
        known = table.get(cell.cell_id)
        if known is None and len(row) and row.max() >= SAME:
            known = here[int(row.argmax())]
        if known is not None and known.cell_id not in taken and known.fov_id == fov_id:
            taken.add(known.cell_id)
            found.append(known.annotated(cell.annotation) if cell.annotation else known)
        else:
            found.append(
                cell if known is None else replace(cell, cell_id=Cell.new(fov_id, cell.detection).cell_id)
            )
    return found
