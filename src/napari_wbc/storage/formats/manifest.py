"""The manifest of a training set, ``manifest.json``: all of its fields, exactly, and their source.

It lies beside every format, names every file with its sha256, and gives back equal cells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of, write_text
from napari_wbc.files.guard import image_size, inside, read_json
from napari_wbc.files.json_fields import Record, items, numbers, part, texts
from napari_wbc.model.cell import Cell
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.codec import parts_of, with_parts
from napari_wbc.storage.formats.images import Images
from napari_wbc.storage.formats.reading import (
    check_lines,
    check_place,
    check_size,
    naming,
    whole_set,
)

MANIFEST = "manifest.json"
FORMAT = "napari-wbc training set"
VERSION = 1
SHA256 = re.compile("[0-9a-f]{64}")
FIELD_PARTS = {
    "height": int,
    "width": int,
    "split": str,
    "slide": str,
    "fov_id": str,
    "sha256": str,
    "complete": bool,
}
"""What is written of a field as it is, and its type."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says.

    Parameters
    ----------
    made : mapping
        How the set was made: program, version, time, sources.
    files : mapping of str to str
        sha256 of every other file of the set, by its place, relative, with ``/``.
    """

    fields: tuple[LabelledField, ...]
    classes: tuple[str, ...]
    made: Mapping[str, Any]
    files: Mapping[str, str]


class ListedField(NamedTuple):
    """What a manifest says of a field, with the mere labels of its cells."""

    slide: str
    split: str
    sha256: str
    complete: bool
    labels: tuple[str, ...]
    """Of its cells."""

    @property
    def cells(self) -> int:
        """How many it has."""
        return len(self.labels)


def write_manifest_steps(
    root: Path,
    fields: Sequence[LabelledField],
    classes: Sequence[str],
    *,
    place: Callable[[LabelledField], str],
    made: Mapping[str, Any],
) -> Steps[None]:
    """Write ``manifest.json``, after all other files of the set, which it names with their sha256.

    ``place`` is the format's ``image_place``; ``made`` says how the set was made, in values that
    JSON knows.
    """
    others = sorted(path for path in root.rglob("*") if path.is_file() and path != root / MANIFEST)
    files: dict[str, str] = {}
    try:
        for path in others:
            files[path.relative_to(root).as_posix()] = sha256_of(path)
            yield Progress("writing labels", len(files), len(others))
    except OSError as error:
        raise WbcError(
            f"{error.filename}: cannot be read ({error.strerror}); write the set again."
        ) from error
    records: list[Record] = []
    for field in fields:
        record: Record = {"name": field.name, "image": place(field)}
        for key in FIELD_PARTS:
            record[key] = getattr(field, key)
        records.append(record | {"cells": list(map(_cell_record, field.cells))})
    content = {
        "format": FORMAT,
        "version": VERSION,
        "made": dict(made),
        "classes": list(classes),
        "fields": records,
        "files": files,
    }
    write_text(root / MANIFEST, json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")


def _cell_record(cell: Cell) -> Record:
    """A cell with its label in any case; it has no annotator if only the model said it."""
    parts = json.loads(parts_of(cell))
    annotation = parts["annotation"] or {"label": cell.label, "annotator": None, "when": None}
    return {
        "cell_id": cell.cell_id,
        "fov_id": cell.fov_id,
        **parts["detection"],
        **annotation,
        "prediction": parts["prediction"],
    }


def read_manifest(root: Path) -> Manifest:
    """:func:`read_manifest_steps`, at once."""
    return run(read_manifest_steps(root))


def read_manifest_steps(root: Path) -> Steps[Manifest]:
    """Read ``manifest.json``.

    Images that are missing are left to :func:`check_files_steps`; those that are there have the
    size that it says.
    """
    root = Path(root)
    path = root / MANIFEST
    data = _data(path)
    with naming(path):
        made = part(data, "made", dict)
        classes = texts(data, "classes")
        files = part(data, "files", dict)
        if "" in classes or len(set(classes)) < len(classes):
            raise WbcError("a class has no name, or stands twice; correct the classes.")
        check_lines(*classes)
        for name, sha256 in files.items():
            inside(root, name)
            if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
                raise WbcError(f"the file {name[:80]!r} has no sha256; export the set again.")
        records = items(data, "fields")
        fields: list[LabelledField] = []
        images = Images(root)
        for record in records:
            fields.append(_field(root, record, images))
            yield Progress("reading labels", len(fields), len(records))
        whole = whole_set(path, fields)
        # Of our own manifest two cells of one id are damage.
        if whole != tuple(fields):
            raise WbcError("the cells of two fields have one id; export the set again.")
        return Manifest(whole, classes, made, files)


def _data(path: Path) -> Record:
    """What a manifest holds, if it is one."""
    data = read_json(path)
    with naming(path):
        if part(data, "format", str) != FORMAT:
            raise WbcError(f"this is no {FORMAT}; choose a folder that napari-wbc exported.")
        version = part(data, "version", int)
        if version > VERSION:
            raise WbcError("made by a newer napari-wbc; update.")
        if version < 1:
            raise WbcError(f"there is no version {version} of a {FORMAT}; export it again.")
    return dict(data)


def listed_fields(root: Path) -> tuple[tuple[ListedField, ...], Record]:
    """What ``manifest.json`` alone says of the fields with their labels, and of their making."""
    path = Path(root) / MANIFEST
    data = _data(path)
    fields: list[ListedField] = []
    with naming(path):
        for record in items(data, "fields"):
            parts = _field_parts(record)
            labels = [part(cell, "label", str) for cell in items(record, "cells")]
            fields.append(
                ListedField(
                    parts["slide"],
                    parts["split"],
                    parts["sha256"],
                    parts["complete"],
                    tuple(labels),
                )
            )
        return tuple(fields), part(data, "made", dict)


def _field_parts(record: Record) -> Record:
    parts: Record = {}
    for key, kind in FIELD_PARTS.items():
        parts[key] = part(record, key, kind)
    return parts


def _field(root: Path, record: Record, images: Images) -> LabelledField:
    name = part(record, "name", str)
    with naming(f"{root / MANIFEST}, {name[:80]!r}"):
        image = inside(root, record.get("image"))
        # A system may have composed the letters of its name, or taken them apart.
        if not image.is_file():
            with suppress(WbcError):
                image = images.find((image.parent.relative_to(root).as_posix(),), image.name)
        parts = _field_parts(record)
        if parts["sha256"] and not SHA256.fullmatch(parts["sha256"]):
            raise WbcError("the image's sha256 is none; export the set again.")
        if image.is_file():
            check_size((parts["height"], parts["width"]), image_size(image))
        cells = tuple(map(_cell, items(record, "cells")))
        for cell in cells:
            check_place(cell.detection, (parts["height"], parts["width"]), beside=True)
        return LabelledField(name, image, cells=cells, **parts)


def _cell(record: Record) -> Cell:
    box = numbers(record.get("box"), "a box")
    if len(box) != 4:
        raise WbcError(f"a box has {len(box)} numbers; give top, left, bottom and right.")
    outline = record.get("outline")
    if outline is not None:
        outline = [numbers(vertex, "a vertex") for vertex in part(record, "outline", list)]
        if not set(map(len, outline)) <= {2}:
            raise WbcError("an outline has a vertex that is no row and column; correct it.")
    annotation = None
    label = part(record, "label", str)
    # Without both, the label is the model's, which the prediction has too.
    if record.get("annotator") is not None or record.get("when") is not None:
        annotator = part(record, "annotator", str)
        when = part(record, "when", str)
        annotation = {"label": label, "annotator": annotator, "when": when}
    prediction = record.get("prediction")
    if prediction is not None:
        prediction = _prediction(part(record, "prediction", dict))
    detection = {
        "box": box,
        "outline": outline,
        "score": _number(record, "score"),
        "drawn": part(record, "drawn", bool),
        "located_by": record.get("located_by"),
    }
    parts: Record = {"fov_id": part(record, "fov_id", str), "detection": detection}
    parts |= {"prediction": prediction, "annotation": annotation}
    # Every part was checked, so that the codec, which trusts project files, can make the cell.
    return with_parts(part(record, "cell_id", str), None, json.dumps(parts))


def _number(record: Record, key: str) -> float:
    return numbers([record.get(key)], key)[0]


def _prediction(record: Record) -> Record:
    unlike = record.get("unlikeness")
    return {
        "names": texts(record, "names"),
        "probabilities": numbers(record.get("probabilities"), "probabilities"),
        "threshold": _number(record, "threshold"),
        "model_id": part(record, "model_id", str),
        "unlikeness": None if unlike is None else _number(record, "unlikeness"),
        "weights": part(record, "weights", str),
    }


def check_files_steps(root: Path, manifest: Manifest) -> Steps[list[str]]:
    """Places of the files of a set that are missing, or not as they were when it was written."""
    changed: list[str] = []
    for done, (name, sha256) in enumerate(manifest.files.items(), start=1):
        path = inside(root, name)
        try:
            # A pipe in its place would be waited for.
            same = path.is_file() and sha256_of(path) == sha256
        except OSError:
            same = False
        if not same:
            changed.append(name)
        yield Progress("reading the set", done, len(manifest.files))
    return changed
