"""Training sets, ours or another tool's, become projects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from unicodedata import normalize

from filelock import Timeout

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import all_or_nothing, missing_folders
from napari_wbc.files.locks import held
from napari_wbc.files.unpack import unpacked
from napari_wbc.model.failure import Failure
from napari_wbc.model.labels import is_no_leukocyte, plain_label, usual_name
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.model.training_set import LabelledField
from napari_wbc.model.words import counted
from napari_wbc.pipeline.incoming import (
    PARTLY_KEY,
    There,
    check_images_steps,
    kept_steps,
    partly_labelled,
    placed_steps,
)
from napari_wbc.pipeline.merge_set import (
    LEFT_OUT,
    by_model,
    doubts_note,
    merge_fields_steps,
)
from napari_wbc.pipeline.split_rule import SPLIT_KEY, has_splits, imported_splits, splits_of
from napari_wbc.storage.sets import SetContent, read_set_steps
from napari_wbc.storage.workspace import Workspace, create_workspace, lock_of, open_workspace

ABBREVIATIONS = {"ig": "immature granulocyte"}
"""Data sets' names of classes that are no spelling of them."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Incoming:
    """What an import would bring."""

    content: SetContent
    counts: Counter[str]
    """Number of cells by label."""
    suggested: Mapping[str, str | None]
    """Class that each label would become; None where a person has to choose."""


@dataclass(frozen=True, slots=True)
class ImportedSet:
    """What an import brought into a project."""

    project: Path
    slides: tuple[str, ...]
    cells: int
    """Cells that the set labels."""
    left_out: int
    """Cells whose label was not wanted."""
    unreviewed: int
    """Cells that only a model labelled. They keep its prediction, whatever the mapping says."""
    failures: tuple[Failure, ...]
    """Fields whose image cannot be read."""
    notes: tuple[str, ...] = ()
    """What of the set was left out, and what a person should look at, a line each."""

    @property
    def summary(self) -> str:
        """The import in one line."""
        cells = f"{counted(self.cells)} of {counted(len(self.slides), 'slide')}"
        text = f"{cells} imported into {self.project}"
        if self.unreviewed:
            text += f"; {self.unreviewed} more keep a model's prediction, which no mapping changes"
        return f"{text}; {self.left_out} left out" if self.left_out else text


def suggested_class(label: str, taxonomy: Taxonomy) -> str | None:
    """The class that a data set means by a label; None where that is not clear.

    Examples
    --------
    >>> suggested_class("Eosinophils", EIGHT_CLASSES), suggested_class("WBC", EIGHT_CLASSES)
    ('eosinophil', None)
    """
    plain = plain_label(label)
    spaced = re.sub(r"[\s_-]+", " ", label).strip().casefold()
    # Names of folders come from a Mac with their letters taken apart.
    composed = normalize("NFC", label)
    for name in (label, composed, spaced, plain, ABBREVIATIONS.get(plain, ""), usual_name(label)):
        if (class_name := taxonomy.class_of(name)) is not None:
            return class_name
    return None


def look_steps(
    path: str | Path, *, taxonomy: Taxonomy = EIGHT_CLASSES, written_as: str = ""
) -> Steps[Incoming]:
    """Read a training set and suggest a class for each of its labels; nothing is written.

    Parameters
    ----------
    path : str or Path
        Folder, file or .zip of a training set.
    taxonomy : Taxonomy
        Classes of the project.
    written_as : str
        One of :data:`~napari_wbc.storage.formats.registry.READERS`; recognized by its files
        where empty.

    Raises
    ------
    WbcError
        If it is no training set, or is damaged or unsafe to read.
    """
    yield Progress("reading the set", 0, 0)
    with _unpacked(Path(path)) as folder:
        content = yield from _read_steps(Path(path), folder, written_as)
        return _incoming(content, taxonomy)


def _incoming(content: SetContent, taxonomy: Taxonomy) -> Incoming:
    """The labels of a set, counted, with a class for each."""
    counts = Counter[str]()
    for field in content.fields:
        counts.update(cell.label for cell in field.cells)
    return Incoming(content, counts, {label: suggested_class(label, taxonomy) for label in counts})


def import_set_steps(
    path: str | Path,
    project: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    taxonomy: Taxonomy | None = None,
    written_as: str = "",
) -> Steps[ImportedSet]:
    """Import a training set into a project, which is created if it does not exist.

    Cells that the project has, by id, or by a box of an IoU of 0.3 or more, get the label and the
    place that the set says; others are added. Where it is not clear which of the two a cell is, a
    note says so. The import of each slide can be undone. Images of a folder stay where they are;
    those of a .zip are copied to a folder beside the project. The project keeps the split of each
    slide for the next export. Fields of one slide in several splits become a slide each.

    Parameters
    ----------
    path : str or Path
        Folder, file or .zip of a training set.
    project : str or Path
        Project file that no workbench has open.
    mapping : mapping of str to str
        Label of the set to class of the project, or to ``""`` for cells that are left out. Other
        labels become the suggested class.
    taxonomy : Taxonomy, optional
        Classes of a new project; eight where None. An existing project has its own.
    written_as : str
        As in :func:`look_steps`.

    Raises
    ------
    WbcError
        If a label has no class, a class is not in the project, the set is damaged or unsafe to
        read, the project cannot be written or has other classes, or one of its fields has another
        image, or another program is importing into it. The project is then as it was.
    """
    project = Path(project)
    steps = _import_steps(Path(path), project, mapping or {}, taxonomy, written_as)
    try:
        with all_or_nothing() as fresh:
            fresh.extend(missing_folders(project.parent))
            project.parent.mkdir(parents=True, exist_ok=True)
            # The project itself, which may not be there yet, is locked only when it is written to.
            with held(project.with_name(f".{project.name}.import.lock"), passing=True):
                return (yield from steps)
    except Timeout as error:
        raise WbcError(
            f"{project}: another program is importing into it; wait for it, then import again."
        ) from error
    except OSError as error:
        raise WbcError(
            f"{error.filename or path}: lost while it was imported ({error.strerror or error}); "
            "import again."
        ) from error


def _import_steps(
    path: Path,
    project: Path,
    mapping: Mapping[str, str],
    taxonomy: Taxonomy | None,
    written_as: str,
) -> Steps[ImportedSet]:
    """:func:`import_set_steps`, while no other program imports into the project."""
    yield Progress("reading the set", 0, 0)
    with _unpacked(path) as folder:
        content = yield from _read_steps(path, folder, written_as)
        there = There.read(project)
        classes = _classes(project, there.taxonomy, taxonomy)
        wanted = _mapped(_incoming(content, classes), mapping, classes, path)
        placed = placed_steps(content, there)
        fields, failed = yield from _told_steps(placed, path, folder)
        failures = tuple(_told(failure, path, folder) for failure in failed)
        yield from check_images_steps(path, fields, there)
        # What is made on the way is removed if anything fails, so a new project comes last.
        with all_or_nothing() as fresh, ExitStack() as opened:
            workspace = None
            if project.exists():
                workspace = opened.enter_context(_opened(project, classes))
            if _is_zip(path):
                images = project.with_name(f"{project.stem}-images")
                fields = yield from kept_steps(fields, images, fresh)
            if workspace is None:
                workspace = opened.enter_context(_opened(project, classes))
            with workspace.together():
                if has_splits(content):
                    splits = imported_splits(fields, content.made, splits_of(workspace))
                    workspace.put(SPLIT_KEY, splits)
                partly = _partly(fields, wanted, there, partly_labelled(workspace))
                workspace.put(PARTLY_KEY, sorted(partly))
                cells, doubts = yield from merge_fields_steps(
                    workspace, fields, wanted, there, content.name
                )
    left_out, unreviewed = _not_labelled(fields, wanted)
    slides = tuple(sorted({field.slide for field in fields}))
    note = doubts_note(doubts)
    if note:
        yield Progress("writing labels", len(fields), len(fields), note)
    notes = (*content.notes, *filter(None, [note]))
    return ImportedSet(project, slides, cells - unreviewed, left_out, unreviewed, failures, notes)


def _not_labelled(fields: Iterable[LabelledField], wanted: Mapping[str, str]) -> tuple[int, int]:
    """How many cells are left out by their label, and how many only a model labelled."""
    left_out = 0
    unreviewed = 0
    for field in fields:
        for cell in field.cells:
            if wanted[cell.label] == LEFT_OUT:
                left_out += 1
            else:
                unreviewed += by_model(cell)
    return left_out, unreviewed


def _partly(
    fields: Sequence[LabelledField], wanted: Mapping[str, str], there: There, before: frozenset[str]
) -> frozenset[str]:
    """Fields of the project as it will be of which leukocytes are missing."""
    existing = Counter(fov_id for _slide, fov_id in there.cells.values())
    partly = set(before)
    for field in fields:
        left_out = {cell.label for cell in field.cells if wanted[cell.label] == LEFT_OUT}
        if field.complete and all(map(is_no_leukocyte, left_out)):
            partly.discard(field.fov_id)
        # A field that the project has with as many cells stays as its own cells say.
        elif not existing[field.fov_id] >= len(field.cells) > 0:
            partly.add(field.fov_id)
    return frozenset(partly)


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The folder of a set; that of a .zip is temporary, and errors name the .zip instead."""
    if not _is_zip(path):
        yield path
        return
    with unpacked(path) as folder:
        try:
            yield folder
        except WbcError as error:
            if str(folder) not in str(error):
                raise
            raise type(error)(str(error).replace(str(folder), str(path))) from error


def _read_steps(path: Path, folder: Path, written_as: str) -> Steps[SetContent]:
    """What a set holds; one of a .zip has the name of that, not of the temporary folder."""
    content = yield from _told_steps(read_set_steps(folder, written_as), path, folder)
    if not _is_zip(path):
        return content
    notes = tuple(note.replace(str(folder), str(path)) for note in content.notes)
    return replace(content, name=path.stem, notes=notes)


def _told_steps(steps: Steps[T], path: Path, folder: Path) -> Steps[T]:
    """The same steps, whose notes name a .zip instead of the folder that it is unpacked into."""
    result: list[T] = []

    # A `for` loop drops what a generator returns.
    def caught() -> Steps[None]:
        result.append((yield from steps))

    for progress in caught():
        yield replace(progress, note=progress.note.replace(str(folder), str(path)))
    return result[0]


def _told(failure: Failure, path: Path, folder: Path) -> Failure:
    """A failure whose file is named in a .zip instead of where that is unpacked."""
    texts = [text.replace(str(folder), str(path)) for text in (str(failure.path), failure.message)]
    return Failure(Path(texts[0]), texts[1])


def _classes(project: Path, existing: Taxonomy | None, taxonomy: Taxonomy | None) -> Taxonomy:
    """The classes of the existing project, or of the new one."""
    classes = existing or taxonomy or EIGHT_CLASSES
    if taxonomy is not None and taxonomy.names != classes.names:
        names = ", ".join(classes.names)
        raise WbcError(f"{project}: its classes are {names}; import by them, or name another.")
    return classes


@contextmanager
def _opened(path: Path, taxonomy: Taxonomy) -> Iterator[Workspace]:
    """The project, made if it is missing; what of it is new is gone if the import fails."""
    with all_or_nothing() as fresh:
        new = [one for one in (path, lock_of(path)) if not one.exists()]
        opened = create_workspace(path, taxonomy) if path in new else open_workspace(path)
        with closing(opened) as workspace:
            if workspace.read_only:
                raise WbcError(
                    f"{path}: nothing can be imported, since {workspace.read_only}; close it "
                    "elsewhere first."
                )
            fresh.extend(new)
            yield workspace


def _mapped(
    incoming: Incoming, mapping: Mapping[str, str], taxonomy: Taxonomy, path: str | Path
) -> dict[str, str]:
    """Class of each label, or nothing for one that is left out."""
    if unknown := [label for label in mapping if label not in incoming.counts]:
        raise WbcError(
            f"{path}: no label {', '.join(unknown)} in this set; it has: "
            f"{', '.join(incoming.counts)}."
        )
    wanted = {**incoming.suggested, **mapping}
    classes: dict[str, str] = {}
    unclear: list[str] = []
    for label, name in wanted.items():
        if name is None:
            unclear.append(label)
        else:
            classes[label] = name
    if unclear:
        raise WbcError(
            f"{path}: say which class these labels are, or that they are left out: "
            f"{', '.join(unclear)}; the classes are: {', '.join(taxonomy.names)}."
        )
    if wrong := set(classes.values()) - {LEFT_OUT, *taxonomy.labels}:
        names = ", ".join(sorted(wrong))
        raise WbcError(f"{path}: no class {names}; the classes are: {', '.join(taxonomy.names)}.")
    return classes
