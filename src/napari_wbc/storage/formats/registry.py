"""The formats of training sets by name, and how a set is recognized.

To add a format, put it in a file beside this one, and name it in the tables below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari_wbc.errors import ReadError
from napari_wbc.files.guard import read_bytes, read_json, read_yaml
from napari_wbc.files.visible import visible
from napari_wbc.model.progress import Steps
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats import (
    coco,
    csv_set,
    geojson,
    image_folder,
    label_studio,
    labelme,
    voc,
    yolo,
)
from napari_wbc.storage.formats.json_kinds import (
    ADVICE,
    COCO,
    GEOJSON,
    LABEL_STUDIO,
    LABELME,
    json_kind,
)
from napari_wbc.storage.formats.manifest import read_manifest_steps
from napari_wbc.storage.formats.reading import image_place

CROPS = "image-folder"
"""The format that holds crops and no fields."""


Reader = Callable[[Path, Path | None], Steps[tuple[LabelledField, ...]]]


@dataclass(frozen=True, slots=True)
class Format:
    """One format: where it wants an image, its writer and its reader."""

    place: Callable[[LabelledField], str]
    write: Callable[[Path, Sequence[LabelledField], Sequence[str]], Steps[None]]
    read: Reader


def _nothing(_root: Path, _fields: Sequence[LabelledField], _classes: Sequence[str]) -> Steps[None]:
    yield from ()


def _by_manifest(root: Path, _named: Path | None) -> Steps[tuple[LabelledField, ...]]:
    return (yield from read_manifest_steps(root)).fields


FORMATS: Mapping[str, Format] = {
    # Our own format is the manifest, which every round has.
    "wbc": Format(image_place, _nothing, _by_manifest),
    "coco": Format(image_place, coco.write_coco_steps, coco.read_coco_steps),
    "coco-rle": Format(
        image_place, partial(coco.write_coco_steps, masks="rle"), coco.read_coco_steps
    ),
    "voc": Format(voc.image_place, voc.write_voc_steps, voc.read_voc_steps),
    "yolo": Format(yolo.image_place, yolo.write_yolo_steps, yolo.read_yolo_steps),
    "geojson": Format(image_place, geojson.write_geojson_set_steps, geojson.read_geojson_set_steps),
    "csv": Format(image_place, csv_set.write_csv_set_steps, csv_set.read_csv_set_steps),
    # Crops are cut while the round is filled, when the pixels of a field are at hand.
    CROPS: Format(image_folder.image_place, _nothing, image_folder.read_image_folder_steps),
}
"""Those that are written and read, by name; ``wbc`` is our own."""
READERS: Mapping[str, Reader] = {
    **{name: written.read for name, written in FORMATS.items()},
    LABELME: labelme.read_labelme_steps,
    LABEL_STUDIO: label_studio.read_label_studio_steps,
}
"""Of all formats, by name."""


def _is_yaml_of_classes(path: Path) -> bool:
    data = read_yaml(path, any_encoding=True)
    return isinstance(data, dict) and "names" in data


def _is_voc(path: Path) -> bool:
    # Of a UTF-16 text every other byte is null; CVAT's own XML has <annotations>.
    data = read_bytes(path, voc.MAX_BYTES).replace(b"\0", b"")
    return re.search(rb"<annotation[\s>/]", data) is not None


def _is_table_of_cells(path: Path) -> bool:
    # One without the columns counts as damaged.
    csv_set.read_table(path, csv_set.NEEDED)
    return True


def _json_format(path: Path) -> str:
    kind = json_kind(read_json(path, foreign=True))
    return kind if kind in (COCO, GEOJSON, LABELME, LABEL_STUDIO) else ""


def _is_of_another_program(path: Path) -> bool:
    # The reader of COCO names that program.
    return json_kind(read_json(path, foreign=True)) in ADVICE


# What tells a format, the most telling first: a set of QuPath or YOLO may hold other JSON and CSV
# files too. Each has patterns of files, and what one of these must hold, where that is to be asked;
# the answer may be the name of the format.
_Sign = tuple[str, tuple[str, ...], Callable[[Path], bool | str] | None]
_SIGNS: tuple[_Sign, ...] = (
    ("geojson", ("*.geojson", "geojson/*.geojson"), None),
    ("yolo", ("*.yaml", "*.yml"), _is_yaml_of_classes),
    ("yolo", ("obj.data", "obj.names", "classes.txt", "labels/classes.txt"), None),
    (
        "yolo",
        ("labels/*.txt", "labels/*/*.txt", "*/labels/*.txt", "*/labels/*/*.txt"),
        yolo.is_label_file,
    ),
    ("voc", ("*.xml", "*/*.xml", "*/*/*.xml"), _is_voc),
    ("coco", ("*.json", "*/*.json"), _json_format),
    (CROPS, ("crops.csv",), None),
    ("csv", ("*.csv", "*.tsv", "*/*.csv", "*/*.tsv"), _is_table_of_cells),
    ("geojson", ("**/*.geojson",), None),
    ("coco", ("*.json", "*/*.json"), _is_of_another_program),
)
_SUFFIXES = {
    ".geojson": "geojson",
    ".csv": "csv",
    ".tsv": "csv",
    ".xml": "voc",
    ".yaml": "yolo",
    ".yml": "yolo",
    ".data": "yolo",
}
"""Formats of files that a person names; of JSON there are several."""


def format_of(root: Path, path: Path) -> str:
    """The format of a set without a manifest, by its file, or by the files that only it has."""
    if path.is_file():
        if path.name == image_folder.TABLE:
            return CROPS
        if path.suffix.lower() == ".json":
            return _json_format(path) or "coco"
        if path.name.lower() == "classes.txt":
            return "yolo"
        if kind := _SUFFIXES.get(path.suffix.lower()):
            return kind
        raise ReadError(
            f"{path}: no training set; name its folder, or a JSON, GeoJSON, XML, CSV or YAML file."
        )
    if kind := sign_of(root):
        return kind
    # Where nothing else is there, the reader of a damaged file says what is wrong with it.
    return CROPS if image_folder.has_images(root) else sign_of(root, damaged=True) or CROPS


def sign_of(root: Path, *, damaged: bool = False, flat: bool = False) -> str:
    """The format of which a folder has a file; empty where it has none, or only images.

    ``damaged`` says whether a file that cannot be read counts; ``flat``, whether only the files
    count that are in no other folder.
    """
    for kind, patterns, holds in _SIGNS:
        wanted = [pattern for pattern in patterns if not flat or "/" not in pattern]
        for path in filter(Path.is_file, visible(root, *wanted)):
            try:
                found = holds is None or holds(path)
                if found:
                    return found if isinstance(found, str) else kind
            except ReadError:
                if damaged:
                    return kind
    return ""
