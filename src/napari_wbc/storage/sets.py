"""Reading training sets: ours of any format, or somebody else's; and the rounds of a set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell
from napari_wbc.model.geometry import Outline, iou_matrix
from napari_wbc.model.matching import SAME, counterparts
from napari_wbc.model.progress import Steps, run
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.manifest import (
    MANIFEST,
    Manifest,
    check_files_steps,
    read_manifest_steps,
)
from napari_wbc.storage.formats.registry import CROPS, FORMATS, format_of

_ROUND = re.compile(r"round-([1-9]\d{0,5})")


@dataclass(frozen=True, slots=True)
class SetContent:
    """What a training set holds; its name is that of the folder.

    Parameters
    ----------
    format : str
        One of :data:`FORMATS`.
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

    Parameters
    ----------
    path : Path
        Folder of a set (its newest round is read), of a round, or of another tool, or a file of it.
    written_as : str
        One of :data:`FORMATS`; told from the files where empty.

    Raises
    ------
    WbcError
        If it is none, or holds what cannot be trusted.
    """
    if not path.exists():
        raise ReadError(f"{path}: no such file or folder; check the path.")
    root = set_folder(path)
    # Resolved, since the folder may be told as "." or through a link.
    name = root.resolve().name
    if (newest := newest_round(root)) is not None:
        root = newest
    elif _ROUND.fullmatch(name):
        name = root.resolve().parent.name
    manifest = (yield from read_manifest_steps(root)) if (root / MANIFEST).is_file() else None
    kind = written_as or (
        str(manifest.made.get("written_as", "wbc")) if manifest else format_of(root, path)
    )
    if kind not in FORMATS:
        raise WbcError(f"{path}: no format {kind!r}; choose one of: {', '.join(FORMATS)}.")
    # The manifest of crops describes the fields that they were cut from, not the crops themselves.
    if manifest and kind != CROPS and not (yield from _changed_steps(root, manifest)):
        fields = manifest.fields
    else:
        fields = yield from FORMATS[kind].read(root)
        fields = _completed(fields, manifest) if manifest else fields
    labels = set[str]()
    for field in fields:
        labels.update(cell.label for cell in field.cells)
    if not labels:
        raise ReadError(
            f"{path}: no labelled cell in this set ({kind}); check the path and the format."
        )
    if manifest is None:
        return SetContent(name, kind, fields, tuple(sorted(labels)), {})
    listed = filter(labels.__contains__, manifest.classes)
    classes = tuple(dict.fromkeys((*listed, *sorted(labels))))
    return SetContent(name, kind, fields, classes, manifest.made)


def set_folder(path: Path) -> Path:
    """The folder that holds the set of which a folder or a file is told."""
    root = path if path.is_dir() else path.parent
    return root.parent if path.suffix == ".json" and root.name == "annotations" else root


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
        if iou_matrix([cell.detection.bbox], [match.detection.bbox])[0, 0] < SAME:
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
    return bool(np.allclose(read.vertices, listed.vertices, rtol=0, atol=0.5))
