"""Rounds of a training set: folders ``round-1``, ``round-2`` ..., in any format, with a manifest each.

Invariant: a round appears whole, by one rename, or not at all, and is never written to again; so
weights can name what they were trained on, and an interrupted export leaves the rounds before it as
they were.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import make_folder, sha256_of, sync
from napari_wbc.files.guard import inside
from napari_wbc.model.cell import Annotation, Cell
from napari_wbc.model.geometry import Outline, iou_matrix
from napari_wbc.model.matching import SAME, counterparts
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.slide import IMAGE_SUFFIXES
from napari_wbc.model.training_set import SPLITS, LabelledField
from napari_wbc.storage.formats import coco, csv_set, geojson, image_folder, voc, yolo
from napari_wbc.storage.formats.manifest import (
    MANIFEST,
    Manifest,
    check_files_steps,
    read_manifest,
    read_manifest_steps,
    write_manifest_steps,
)

__all__ = [
    "CROPS",
    "FORMATS",
    "SetContent",
    "fingerprint_steps",
    "newest_round",
    "read_set",
    "read_set_steps",
    "rounds_of",
    "write_round_steps",
]

Pixels = Callable[[LabelledField], npt.NDArray[np.uint8]]
_ROUND = re.compile(r"round-([1-9]\d{0,5})")
_PART = ".part"
CROPS = "image-folder"
"""The format that holds crops and no fields."""
LABEL_FILES = frozenset({".csv", ".geojson", ".json", ".txt", ".xml", ".yaml", ".yml"})
"""Suffixes of files that say what the images of a set show."""


@dataclass(frozen=True, slots=True)
class _Format:
    """One format: where it wants an image, its writer and its reader."""

    place: Callable[[LabelledField], str]
    write: Callable[[Path, Sequence[LabelledField], Sequence[str]], Steps[None]]
    read: Callable[[Path], Steps[tuple[LabelledField, ...]]]


def _nothing(_root: Path, _fields: Sequence[LabelledField], _classes: Sequence[str]) -> Steps[None]:
    """Our own format is the manifest, which every round has."""
    yield from ()


def _table(root: Path, fields: Sequence[LabelledField], classes: Sequence[str]) -> Steps[None]:
    yield Progress("writing labels", 0, len(fields))
    csv_set.write_csv_set(root, fields, classes)


def _polygons(root: Path, fields: Sequence[LabelledField], classes: Sequence[str]) -> Steps[None]:
    yield Progress("writing labels", 0, len(fields))
    coco.write_coco(root, fields, classes)


def _runs(root: Path, fields: Sequence[LabelledField], classes: Sequence[str]) -> Steps[None]:
    yield Progress("writing labels", 0, len(fields))
    coco.write_coco(root, fields, classes, masks="rle")


def _by_manifest(root: Path) -> Steps[tuple[LabelledField, ...]]:
    return (yield from read_manifest_steps(root)).fields


FORMATS: Mapping[str, _Format] = {
    "wbc": _Format(csv_set.image_place, _nothing, _by_manifest),
    "coco": _Format(coco.image_place, _polygons, coco.read_coco_steps),
    "coco-rle": _Format(coco.image_place, _runs, coco.read_coco_steps),
    "voc": _Format(voc.image_place, voc.write_voc_steps, voc.read_voc_steps),
    "yolo": _Format(yolo.image_place, yolo.write_yolo_steps, yolo.read_yolo_steps),
    "geojson": _Format(
        geojson.image_place, geojson.write_geojson_set_steps, geojson.read_geojson_set_steps
    ),
    "csv": _Format(csv_set.image_place, _table, csv_set.read_csv_set_steps),
    CROPS: _Format(image_folder.image_place, _nothing, image_folder.read_image_folder_steps),
}
"""By name; ``wbc`` is our own."""


@dataclass(frozen=True, slots=True)
class SetContent:
    """What a training set holds.

    Parameters
    ----------
    name : str
        Of the set's folder or file.
    format : str
        One of :data:`FORMATS`.
    fields : tuple of LabelledField
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
    inside_it = (path for path in folder.iterdir() if _ROUND.fullmatch(path.name) and path.is_dir())
    return tuple(sorted(inside_it, key=lambda path: int(path.name.removeprefix("round-"))))


def newest_round(folder: Path) -> Path | None:
    """The last round in a folder, None where there is none."""
    rounds = rounds_of(folder)
    return rounds[-1] if rounds else None


def write_round_steps(
    folder: Path,
    fields: Sequence[LabelledField],
    classes: Sequence[str],
    *,
    written_as: str,
    made: Mapping[str, Any],
    pixels: Pixels,
) -> Steps[Path]:
    """Write the next round.

    Parameters
    ----------
    folder : Path
        Of the set.
    fields : sequence of LabelledField
        Their paths are where the images are now.
    classes : sequence of str
    written_as : str
        One of :data:`FORMATS`.
    made : mapping
        Provenance, as JSON values.
    pixels : callable
        Pixels of a field, for a format that holds crops.

    Returns
    -------
    Path
        Of the round.

    Raises
    ------
    WbcError
        If there is no such format, the set is being written to by another program, or it cannot be
        written; there is no new round then.
    """
    if written_as not in FORMATS:
        raise WbcError(f"No format {written_as!r}; choose one of: {', '.join(FORMATS)}.")
    make_folder(folder)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise WbcError(
            f"{folder}: another export into this set is running; wait for it."
        ) from error
    part = folder / _PART
    try:
        shutil.rmtree(part, ignore_errors=True)  # of an export that was interrupted
        before = newest_round(folder)
        number = int(before.name.removeprefix("round-")) + 1 if before else 1
        part.mkdir()
        yield from _fill_steps(
            part, before, fields, classes, written_as=written_as, made=made, pixels=pixels
        )
        yield from _sync_steps(part)
        done = folder / f"round-{number}"
        part.rename(done)
        sync(folder)
        return done
    except OSError as error:
        raise WbcError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another place."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        lock.release()


def _fill_steps(
    part: Path,
    before: Path | None,
    fields: Sequence[LabelledField],
    classes: Sequence[str],
    *,
    written_as: str,
    made: Mapping[str, Any],
    pixels: Pixels,
) -> Steps[None]:
    """All files of a round."""
    kind = FORMATS[written_as]
    if written_as == CROPS:
        # Of what comes from the round before, the crops alone are in the set, by the side that they
        # had.
        sides = {} if before is None else {before / side: side for side in SPLITS}
        for done, field in enumerate(fields, start=1):
            yield Progress("cutting crops", done, len(fields))
            if before is not None and (side := sides.get(field.path)):
                _take_crops(before, replace(field, split=side), field, part)
            else:
                image_folder.write_crops(part, field, pixels(field))
        image_folder.write_table(part, fields)
    else:
        known = _known_images(before)
        for done, field in enumerate(fields, start=1):
            yield Progress("copying images", done, len(fields))
            target = part / kind.place(field)
            target.parent.mkdir(parents=True, exist_ok=True)
            _take(known.get(field.sha256), field, target)
    yield from kind.write(part, fields, classes)
    made = {**made, "written_as": written_as}
    yield from write_manifest_steps(part, fields, classes, place=kind.place, made=made)


def _known_images(before: Path | None) -> dict[str, Path]:
    """Images of the round before, by sha256: an unchanged one takes no room twice."""
    if before is None:
        return {}
    try:
        files = read_manifest(before).files
    except WbcError:
        return {}  # a person may have deleted what is not needed; the images are copied then
    return {sha256: before / name for name, sha256 in files.items()}


def _take(known: Path | None, field: LabelledField, target: Path) -> None:
    """The image of a field: a link to that of the round before, if it is the same still, else a copy."""
    try:
        if known is not None and known.is_file() and sha256_of(known) == field.sha256:
            _link(known, target)
        else:
            shutil.copyfile(field.path, target)
            if field.sha256 and sha256_of(target) != field.sha256:
                raise ReadError(
                    f"{field.path}: not the image that was labelled any more; put that back."
                )
    except OSError as error:
        if os.access(field.path, os.R_OK):
            raise  # the disk is full, for instance
        raise ReadError(
            f"{field.path}: the image cannot be copied ({error.strerror or error})."
        ) from error


def _take_crops(before: Path, had: LabelledField, field: LabelledField, part: Path) -> None:
    """The crops of a field from where the round before had them."""
    places = zip(image_folder.crop_places(had), image_folder.crop_places(field), strict=True)
    for old, new in places:
        source, target = inside(before, old), part / new
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _link(source, target)
        except OSError as error:
            if os.access(source, os.R_OK):
                raise
            raise ReadError(
                f"{source}: this crop cannot be copied ({error.strerror or error}); put it back."
            ) from error


def _link(source: Path, target: Path) -> None:
    """A link to a file that does not change any more; a copy where there are no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sync_steps(root: Path) -> Steps[None]:
    """Have the disk hold every file, before the rename tells of them."""
    if os.name != "posix":
        return
    for folder, _, names in os.walk(root):
        for name in names:
            sync(Path(folder, name))
            yield Progress("writing labels", 0, 0)
        sync(Path(folder))


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
    root, name = _root(path), _root(path).resolve().name
    if (newest := newest_round(root)) is not None:
        root = newest
    elif _ROUND.fullmatch(name):
        name = root.resolve().parent.name
    manifest = (yield from read_manifest_steps(root)) if (root / MANIFEST).is_file() else None
    kind = written_as or (
        str(manifest.made.get("written_as", "wbc")) if manifest else _told_format(root, path)
    )
    if kind not in FORMATS:
        raise WbcError(f"{path}: no format {kind!r}; choose one of: {', '.join(FORMATS)}.")
    if manifest and kind != CROPS and not (yield from _changed_steps(root, manifest)):
        fields = manifest.fields
    else:
        fields = yield from FORMATS[kind].read(root)
        fields = _completed(fields, manifest) if manifest else fields
    if not any(field.cells for field in fields):
        raise ReadError(
            f"{path}: no labelled cell in this set ({kind}); check the path and the format."
        )
    labels = {cell.label for field in fields for cell in field.cells}
    ordered = dict.fromkeys((*(manifest.classes if manifest else ()), *sorted(labels)))
    classes = tuple(label for label in ordered if label in labels)
    return SetContent(name, kind, fields, classes, manifest.made if manifest else {})


def _root(path: Path) -> Path:
    """The folder that holds the set of which a path is told."""
    root = path if path.is_dir() else path.parent
    return root.parent if path.suffix == ".json" and root.name == "annotations" else root


def _changed_steps(root: Path, manifest: Manifest) -> Steps[bool]:
    """Whether another tool changed a set; an image that is missing alone is no change of labels."""
    images = {field.path for field in manifest.fields}
    names = yield from check_files_steps(root, manifest)
    return any((root / name) not in images or (root / name).exists() for name in names)


def _completed(fields: Sequence[LabelledField], manifest: Manifest) -> tuple[LabelledField, ...]:
    """Fields that another tool may have changed, with what only the manifest knows of them."""
    known = {field.name: field for field in manifest.fields}
    return tuple(
        replace(
            field,
            slide=own.slide,
            fov_id=own.fov_id,
            sha256=own.sha256,
            complete=own.complete,
            cells=_known_cells(field.cells, own.cells),
        )
        if (own := known.get(field.name))
        else field
        for field in fields
    )


def _known_cells(cells: Sequence[Cell], known: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells of a field; those that were there are as they were but for the label."""
    found: list[Cell] = []
    for cell, own in zip(cells, counterparts(cells, known), strict=True):
        if own is None:
            found.append(cell)
            continue
        now = own
        as_drawn = replace(cell.detection, located_by=own.detection.located_by)
        if iou_matrix([cell.detection.bbox], [own.detection.bbox])[0, 0] < SAME:
            now = own.moved(as_drawn)
        elif not _same_outline(cell.detection.outline, own.detection.outline):
            now = replace(own, detection=as_drawn)
        found.append(now if now.label == cell.label else now.annotated(Annotation(cell.label)))
    return tuple(found)


def _same_outline(read: Outline | None, known: Outline | None) -> bool:
    """Whether an outline is the one that was written: the format has none, or rounded its vertices."""
    if read is None or known is None:
        return read is None
    shape = len(read.vertices), len(known.vertices)
    return shape[0] == shape[1] and bool(
        np.allclose(read.vertices, known.vertices, rtol=0, atol=0.5)
    )


def _told_format(root: Path, path: Path) -> str:
    """The format of a set without a manifest, by the files that only it has."""
    if path.is_file():
        by_suffix = {
            ".json": "coco",
            ".geojson": "geojson",
            ".csv": "csv",
            ".yaml": "yolo",
            ".yml": "yolo",
        }
        if (kind := by_suffix.get(path.suffix.lower())) is None:
            raise ReadError(
                f"{path}: no training set; name its folder, or a JSON, GeoJSON, CSV or YAML file."
            )
        return kind
    signs = (
        ("geojson", ("*.geojson", "geojson/*.geojson")),
        (
            "yolo",
            ("*.yaml", "*.yml", "classes.txt", "labels/*.txt", "labels/*/*.txt", "*/labels/*.txt"),
        ),
        ("voc", ("*.xml", "Annotations/*.xml", "*/*.xml")),
        ("coco", ("*.json", "annotations/*.json", "*/*.json")),
        (CROPS, ("crops.csv",)),
        ("csv", ("*.csv",)),
    )
    for kind, patterns in signs:
        if any(next(root.glob(pattern), None) is not None for pattern in patterns):
            return kind
    return CROPS


def fingerprint_steps(path: Path) -> Steps[str]:
    """What tells a training set as it is now from the same one changed, without reading its images.

    Parameters
    ----------
    path : Path
        Of the set, as :func:`read_set` takes it. Of a CSV file the images are those that it names;
        else all that lie in the folder.

    Returns
    -------
    str
        Over names and contents of the files that hold labels, and names, sizes and times of images.

    Raises
    ------
    WbcError
        If a file that holds labels cannot be read.
    """
    digest = hashlib.sha256()
    suffix = "" if path.is_dir() else path.suffix.lower()
    if not path.exists() or (suffix and suffix not in LABEL_FILES):
        root, files = path.parent, [path]  # no training set, which whoever reads it says
    elif suffix == ".csv":
        root, files = path.parent, [path, *csv_set.images_named(path)]
    else:
        root = newest_round(_root(path)) or _root(path)
        files = yield from _files_steps(root)
    for done, file in enumerate(files, start=1):
        yield Progress("reading labels", done, len(files))
        digest.update(
            f"{os.path.relpath(file, root)}\n{_state(file)}\n".encode("utf-8", "surrogatepass")
        )
    return digest.hexdigest()


def _files_steps(root: Path) -> Steps[list[Path]]:
    """Labels and images in a folder and in those below it, in order; hidden ones are no part of a set."""
    files: list[Path] = []
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        here = (Path(folder, name) for name in sorted(names) if not name.startswith("."))
        files += [file for file in here if file.suffix.lower() in {*LABEL_FILES, *IMAGE_SUFFIXES}]
        yield Progress("reading labels", 0, 0)
    return files


def _state(file: Path) -> str:
    """What changes when a file does: its content where it holds labels, else size and time."""
    try:
        if file.suffix.lower() in LABEL_FILES:
            return sha256_of(file)
        status = file.stat()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise ReadError(
            f"{file}: cannot be read ({error.strerror or error}); check the path."
        ) from error
    return f"{status.st_size} {status.st_mtime_ns}"
