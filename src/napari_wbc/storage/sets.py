"""Reading training sets: ours of any format, or somebody else's; and the rounds of a set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import check_plain
from napari_wbc.files.visible import visible
from napari_wbc.model.cell import Annotation, Cell
from napari_wbc.model.geometry import Outline
from napari_wbc.model.matching import counterparts, same_box, same_places
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.training_set import LabelledField
from napari_wbc.model.words import counted
from napari_wbc.storage.formats.image_folder import NO_CLASSES
from napari_wbc.storage.formats.manifest import (
    MANIFEST,
    Manifest,
    check_files_steps,
    read_manifest_steps,
)
from napari_wbc.storage.formats.registry import CROPS, READERS, format_of, sign_of
from napari_wbc.storage.formats.splits import split_named

T = TypeVar("T")
MAX_DEPTH = 8
"""Of folders around a set."""
_ROUND = re.compile(r"round-([1-9]\d{0,5})")


@dataclass(frozen=True, slots=True)
class SetContent:
    """What a training set holds; its name is that of the folder.

    Parameters
    ----------
    format : str
        One of :data:`READERS`.
    classes : tuple of str
        Labels in the order of the set, or of the alphabet where it has none.
    made : mapping
        Provenance, as the manifest tells it; empty without one.
    """

    name: str
    format: str
    fields: tuple[LabelledField, ...]
    classes: tuple[str, ...]
    made: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    """What was left out, and why, a line each."""


def rounds_of(folder: Path) -> tuple[Path, ...]:
    """The rounds in a folder, the earliest first."""
    if not folder.is_dir():
        return ()
    rounds: dict[int, Path] = {}
    for path in folder.iterdir():
        match = _ROUND.fullmatch(path.name)
        if match and path.is_dir():
            rounds[int(match[1])] = path
    return tuple(rounds[number] for number in sorted(rounds))


def newest_round(folder: Path) -> Path | None:
    """The last round in a folder, None where there is none."""
    rounds = rounds_of(folder)
    return rounds[-1] if rounds else None


def read_set(path: Path, written_as: str = "") -> SetContent:
    """:func:`read_set_steps`, at once."""
    return run(read_set_steps(path, written_as))


def read_set_steps(path: Path, written_as: str = "") -> Steps[SetContent]:
    """Read a training set: ours of any format, or somebody else's.

    A cell that stands twice is one cell. What cannot be used is left out, and a note says so.

    Parameters
    ----------
    path : Path
        Folder of a set (its newest round is read), of a round, or of another tool, or one with such
        a folder in it; or a file of a set, which is then the only one that is read.
    written_as : str
        One of :data:`READERS`; told from the files where empty.

    Raises
    ------
    WbcError
        If it is none, or holds what cannot be trusted.
    """
    if not path.exists():
        raise ReadError(f"{path}: no such file or folder; check the path.")
    check_plain(path)
    named = path if path.is_file() and path.name != MANIFEST else None
    outer = set_folder(path)
    root = outer if named else _deepest(outer)
    # Resolved, since the folder may be told as "." or through a link.
    name = outer.resolve().name
    if named is None and (newest := newest_round(root)) is not None:
        root = newest
    elif _ROUND.fullmatch(name):
        name = root.resolve().parent.name
    manifest = (yield from read_manifest_steps(root)) if (root / MANIFEST).is_file() else None
    kind = written_as or _kind_of(path, root, manifest if named is None else None)
    if kind not in READERS:
        raise WbcError(f"{path}: no format {kind!r}; choose one of: {', '.join(READERS)}.")
    notes: list[str] = []
    # The manifest of crops describes the fields that they were cut from, not the crops themselves.
    unchanged = False
    if manifest and not named and kind != CROPS:
        unchanged = not (yield from _changed_steps(root, manifest))
    if manifest and unchanged:
        fields = manifest.fields
    else:
        fields = yield from _noted_steps(READERS[kind](root, named), notes)
        fields, note = _without_copies(fields)
        notes += filter(None, [note])
        yield Progress("reading the set", len(fields), len(fields), note)
        fields = _completed(fields, manifest) if manifest else fields
    labels = set[str]()
    for field in fields:
        labels.update(cell.label for cell in field.cells)
    if not labels:
        raise ReadError(
            f"{path}: no labelled cell in this set ({kind}); check the path and the format."
        )
    if manifest is None:
        return SetContent(name, kind, fields, tuple(sorted(labels)), {}, tuple(notes))
    listed = filter(labels.__contains__, manifest.classes)
    classes = tuple(dict.fromkeys((*listed, *sorted(labels))))
    return SetContent(name, kind, fields, classes, manifest.made, tuple(notes))


def _kind_of(path: Path, root: Path, manifest: Manifest | None) -> str:
    """The format of a set, as its manifest says, or told from its files."""
    if manifest:
        return str(manifest.made.get("written_as", "wbc"))
    return format_of(root, path if path.is_file() else root)


def set_folder(path: Path) -> Path:
    """The folder that holds the set of which a folder or a file is told."""
    root = path if path.is_dir() else path.parent
    inner = root.name.lower() in ("annotations", "geojson") or _beside_other_splits(root)
    return root.parent if path.is_file() and inner else root


def _beside_other_splits(folder: Path) -> bool:
    """Whether a folder is a split of a set that has others: ``valid`` beside ``train``."""
    split = split_named(folder.name)
    beside = filter(Path.is_dir, visible(folder.parent, "*")) if split else ()
    return any(split_named(other.name) not in ("", split) for other in beside)


def _deepest(root: Path) -> Path:
    """The folder of a set that lies alone in other folders, as in most archives."""
    folder = root
    for _ in range(MAX_DEPTH):
        if rounds_of(folder) or (folder / MANIFEST).is_file() or sign_of(folder, flat=True):
            break
        inner = list(filter(Path.is_dir, visible(folder, "*")))
        # Among several, the one that holds a set; unless they hold parts of one together.
        if len(inner) > 1 and not sign_of(folder):
            inner = list(filter(sign_of, inner))
        if len(inner) != 1 or _is_part(inner[0].name):
            break
        # A folder without folders is a class with its images, or is what was asked for.
        if not any(map(Path.is_dir, visible(inner[0], "*"))) and not sign_of(inner[0]):
            break
        folder = inner[0]
    return folder


def _is_part(name: str) -> bool:
    """Whether a folder of this name holds a part of a set."""
    return bool(split_named(name)) or (name.lower() in NO_CLASSES and name.lower() != "data")


def _noted_steps(steps: Steps[T], notes: list[str]) -> Steps[T]:
    """The same steps; what they note is kept too."""
    result: list[T] = []

    # A `for` loop drops what a generator returns.
    def caught() -> Steps[None]:
        result.append((yield from steps))

    for progress in caught():
        notes += filter(None, [progress.note])
        yield progress
    return result[0]


def _without_copies(fields: Sequence[LabelledField]) -> tuple[tuple[LabelledField, ...], str]:
    """The fields with each cell once, and a note if one was there twice."""
    results: list[LabelledField] = []
    copies = 0
    doubt = ""
    for field in fields:
        cells = list(field.cells)
        gone = set[int]()
        for i, k in same_places(cells):
            first, second = cells[i], cells[k]
            gone.add(k)
            if first.label != second.label and not doubt:
                edges = ", ".join(map("{:g}".format, second.detection.bbox.edges))
                doubt = (
                    f"; {field.name} has one box with two labels, {first.label} and "
                    f"{second.label}, at ({edges}), and the first is kept: check it"
                )
        copies += len(gone)
        kept = tuple(cell for k, cell in enumerate(cells) if k not in gone)
        results.append(replace(field, cells=kept) if gone else field)
    note = f"{counted(copies)} left out that stood there twice{doubt}" if copies else ""
    return tuple(results), note


def _changed_steps(root: Path, manifest: Manifest) -> Steps[bool]:
    """Whether another tool changed a set; an image that is missing alone is no change of labels."""
    images = {field.path for field in manifest.fields}
    names = yield from check_files_steps(root, manifest)
    return any((root / name) not in images or (root / name).exists() for name in names)


def _completed(fields: Sequence[LabelledField], manifest: Manifest) -> tuple[LabelledField, ...]:
    """Fields that another tool may have changed, with what only the manifest knows of them."""
    by_name = {field.name: field for field in manifest.fields}
    completed: list[LabelledField] = []
    for field in fields:
        result = field
        if listed := by_name.get(field.name):
            result = replace(
                field,
                slide=listed.slide,
                fov_id=listed.fov_id,
                sha256=listed.sha256,
                complete=listed.complete,
                cells=_completed_cells(field.cells, listed.cells),
            )
        completed.append(result)
    return tuple(completed)


def _completed_cells(cells: Sequence[Cell], listed: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells of a field; those of the manifest are as they were but for the label."""
    completed: list[Cell] = []
    for cell, match in zip(cells, counterparts(cells, listed), strict=True):
        if match is None:
            completed.append(cell)
            continue
        # No format but ours says what located a cell; a tool that moved it did not locate it.
        drawn = replace(cell.detection, located_by=match.detection.located_by)
        result = match
        if not same_box(cell, match):
            result = match.moved(drawn)
        elif not _same_outline(cell.detection.outline, match.detection.outline):
            result = replace(match, detection=drawn)
        if result.label != cell.label:
            result = result.annotated(Annotation(cell.label))
        completed.append(result)
    return tuple(completed)


def _same_outline(read: Outline | None, listed: Outline | None) -> bool:
    """Whether an outline is the one that was written, which the format may have rounded or lost."""
    if read is None or listed is None:
        return read is None
    if len(read.vertices) != len(listed.vertices):
        return False
    return bool(np.allclose(read.vertices, listed.vertices, rtol=0, atol=0.5 + 1e-6))
