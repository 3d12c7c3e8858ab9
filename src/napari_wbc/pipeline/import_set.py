"""Training sets, ours or another tool's, become projects; what each label will become is told first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.files.unpack import unpacked
from napari_wbc.model.cell import Annotation, Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.labels import is_no_leukocyte, plain_label, usual_name
from napari_wbc.model.matching import counterparts
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import Step, now
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.model.training_set import LabelledField, farthest, splits_told
from napari_wbc.model.words import counted
from napari_wbc.pipeline.incoming import (
    PARTLY_KEY,
    SPLIT_KEY,
    There,
    check_images_steps,
    has_splits,
    kept_steps,
    partly_labelled,
    placed_steps,
    splits_of,
)
from napari_wbc.storage.rounds import SetContent, read_set_steps
from napari_wbc.storage.workspace import Workspace, create_workspace, open_workspace

__all__ = [
    "ImportedSet",
    "Incoming",
    "import_set_steps",
    "look_steps",
    "suggested_class",
]

SHORT = {"ig": "immature granulocyte"}
"""Data sets' names of classes that no rule below finds."""
LEFT_OUT = ""
"""What a label becomes that is not wanted."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What an import would bring.

    Parameters
    ----------
    content : SetContent
    counts : Counter of str
        Cells by label.
    suggested : mapping of str to str or None
        Class that each label would become; None where a person has to say.
    """

    content: SetContent
    counts: Counter[str]
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

    @property
    def told(self) -> str:
        """One line that says so."""
        what = f"{counted(self.cells, 'cell')} of {counted(len(self.slides), 'slide')}"
        text = f"{what} imported into {self.project}"
        if self.unreviewed:
            text += (
                f"; {self.unreviewed} more come as a model called them, which no mapping changes"
            )
        return f"{text}; {self.left_out} left out" if self.left_out else text


def suggested_class(label: str, taxonomy: Taxonomy) -> str | None:
    """The class that a data set means by a label, None where that is not clear.

    Examples
    --------
    >>> suggested_class("Eosinophils", EIGHT_CLASSES), suggested_class("WBC", EIGHT_CLASSES)
    ('eosinophil', None)
    """
    plain = plain_label(label)
    spaced = re.sub(r"[\s_-]+", " ", label).strip().casefold()
    for name in (label, spaced, plain, SHORT.get(plain, ""), usual_name(label)):
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
    with _unpacked(Path(path)) as folder:
        content = yield from _read_steps(Path(path), folder, written_as)
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

    Cells that the project has (by id, or a box of IoU 0.9) get the label of the set; others are
    added. Each slide is one step of the journal, so it can be undone. Images of a folder stay where
    they are, those of a .zip go into a folder beside the project. A set's splits are remembered
    slide by slide, so that an export keeps them; fields of one slide in several splits become a
    slide each.

    Parameters
    ----------
    path : str or Path
        Folder, file or .zip of a training set.
    project : str or Path
        Project file that no workbench has open.
    mapping : mapping of str to str
        Label of the set to class of the project, or to ``""`` for cells that are left out; what is
        suggested holds for the others.
    taxonomy : Taxonomy, optional
        Classes of a new project; eight where None. One that is there has its own.
    written_as : str
        As in :func:`look_steps`.

    Raises
    ------
    WbcError
        If a label has no class, a class is none of the project, the set cannot be trusted, the
        project cannot be written or has other classes, or one of its fields is another image; the
        project is then as it was.
    """
    project = Path(project)
    yield Progress("reading the set", 0, 0)
    with _unpacked(Path(path)) as folder:
        content = yield from _read_steps(Path(path), folder, written_as)
        there = There.read(project)
        classes = _classes(project, there.taxonomy, taxonomy)
        wanted = _mapped(_incoming(content, classes), mapping or {}, classes, path)
        fields, failures = yield from placed_steps(content, there)
        yield from check_images_steps(Path(path), fields, there)
        fresh: list[Path] = []
        workspace = _project(project, classes) if project.exists() else None
        try:
            if _is_zip(Path(path)):
                fields = yield from kept_steps(
                    fields, project.with_name(f"{project.stem}-images"), fresh
                )
            if workspace is None:
                workspace = _project(project, classes)
                fresh.append(project)
            with workspace.together():
                if has_splits(content):
                    workspace.put(SPLIT_KEY, _sides(fields, content.made, splits_of(workspace)))
                partly = _partly(fields, wanted, there, partly_labelled(workspace))
                workspace.put(PARTLY_KEY, sorted(partly))
                cells = yield from _write_steps(workspace, fields, wanted, there, content.name)
        except BaseException as error:
            if workspace is not None:
                workspace.close()
            _remove(fresh)
            if isinstance(error, OSError):
                raise WbcError(
                    f"{error.filename}: gone while it was imported; import again."
                ) from error
            raise
        workspace.close()
    every = [cell for field in fields for cell in field.cells]
    left_out = sum(wanted[cell.label] == LEFT_OUT for cell in every)
    unreviewed = sum(_by_model(cell) and wanted[cell.label] != LEFT_OUT for cell in every)
    slides = tuple(sorted({field.slide for field in fields}))
    return ImportedSet(project, slides, cells - unreviewed, left_out, unreviewed, failures)


def _sides(
    fields: Sequence[LabelledField], made: Mapping[str, Any], before: Mapping[str, str]
) -> dict[str, str]:
    """The split of each slide: the one farthest from train that was ever told."""
    own = splits_told(made.get("slides"))
    sides = dict(before)
    for field in fields:  # an image may keep another side than its slide has
        side = own.get(field.slide, field.split)
        sides[field.slide] = farthest(side, sides.get(field.slide, ""))
    return sides


def _partly(
    fields: Sequence[LabelledField], wanted: Mapping[str, str], there: There, before: frozenset[str]
) -> frozenset[str]:
    """Fields of which cells are missing, in the project as it will be; what is no leukocyte may be."""
    whole = {
        field.fov_id
        for field in fields
        if field.complete
        and all(wanted[cell.label] or is_no_leukocyte(cell.label) for cell in field.cells)
    }
    # Of a field that is there with as many cells, the project's own tell.
    n = Counter(fov_id for _slide, fov_id in there.cells.values())
    told = {field.fov_id for field in fields if n[field.fov_id] >= len(field.cells) > 0}
    return before - whole | {field.fov_id for field in fields} - whole - told


def _remove(fresh: Sequence[Path]) -> None:
    """Take away what was made, folders last."""
    for path in reversed(fresh):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Where the files of a set lie; those of a zip are there for as long as this lasts."""
    if not _is_zip(path):
        yield path
        return
    with unpacked(path) as root:
        inside = [one for one in root.iterdir() if not one.name.startswith((".", "__MACOSX"))]
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else root


def _read_steps(path: Path, folder: Path, written_as: str) -> Steps[SetContent]:
    """What a set holds, by its own name or that of its zip."""
    content = yield from read_set_steps(folder, written_as)
    return replace(content, name=path.stem) if _is_zip(path) else content


def _classes(project: Path, known: Taxonomy | None, taxonomy: Taxonomy | None) -> Taxonomy:
    """Classes of the project that is there, or of the one that will be."""
    if known is None:
        return taxonomy or EIGHT_CLASSES
    if taxonomy is not None and taxonomy.names != known.names:
        raise WbcError(
            f"{project}: its classes are {', '.join(known.names)}; import by them, or name another."
        )
    return known


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
        raise WbcError(
            f"{path}: no class {', '.join(wrong)}; the classes are: {', '.join(taxonomy.names)}."
        )
    return {label: name or LEFT_OUT for label, name in wanted.items()}


def _write_steps(
    workspace: Workspace,
    fields: Sequence[LabelledField],
    wanted: Mapping[str, str],
    there: There,
    source: str,
) -> Steps[int]:
    """Put fields into a project, slide by slide; how many cells they label there."""
    slides = {slide.name: slide for slide in workspace.slides()}
    ids = {cell_id: slide for cell_id, (slide, _fov_id) in there.cells.items()}
    labelled = done = 0
    groups: dict[str, list[LabelledField]] = {}
    for field in fields:
        groups.setdefault(field.slide, []).append(field)
    for name, here in groups.items():
        known = slides[name].fields if name in slides else ()
        fresh = {
            f.fov_id: FieldOfView(f.fov_id, f.path) for f in here if f.fov_id not in there.fields
        }
        workspace.put_slide(Slide(name, (*known, *fresh.values())))
        old, merged = workspace.table(name), list[Cell]()
        for field in here:
            done += 1
            yield Progress("writing labels", done, len(fields))
            cells = [
                _labelled(cell, field.fov_id, wanted[cell.label], source)
                for cell in field.cells
                if wanted[cell.label] != LEFT_OUT
            ]
            labelled += len(cells)
            cells = [
                cell if ids.get(cell.cell_id, name) == name else _renamed(cell) for cell in cells
            ]
            merged += _merged(old, field.fov_id, cells)
        new = old.with_cells(merged)
        ids |= dict.fromkeys(new, name)
        step = Step(workspace.last + 1, f"import {source}", "import", diff(old, new), when=now())
        if step.change:
            workspace.write(name, [step])
        workspace.put_image_facts(
            [
                {"key": f.fov_id, "size": s.st_size, "modified": s.st_mtime_ns, "sha256": f.sha256}
                for f in here
                if f.fov_id in fresh
                for s in (f.path.stat(),)
            ]
        )
    return labelled


def _renamed(cell: Cell) -> Cell:
    """The cell with an id of its own, where another slide has a cell of that id."""
    return replace(cell, cell_id=Cell.new(cell.fov_id, cell.detection).cell_id)


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
    found: list[Cell] = []
    for cell, known in zip(cells, counterparts(cells, table.of_field(fov_id)), strict=True):
        if known is not None:
            found.append(known.annotated(cell.annotation) if cell.annotation else known)
        else:
            found.append(_renamed(cell) if cell.cell_id in table else cell)
    return found
