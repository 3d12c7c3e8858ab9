"""The formats of training sets by name, and how a set is recognized.

To add a format, put it in a file beside this one, and name it in the tables below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from napari_wbc.errors import ReadError
from napari_wbc.model.progress import Steps
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats import coco, csv_set, geojson, image_folder, voc, yolo
from napari_wbc.storage.formats.manifest import read_manifest_steps
from napari_wbc.storage.formats.reading import image_place

CROPS = "image-folder"
"""The format that holds crops and no fields."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format: where it wants an image, its writer and its reader."""

    place: Callable[[LabelledField], str]
    write: Callable[[Path, Sequence[LabelledField], Sequence[str]], Steps[None]]
    read: Callable[[Path], Steps[tuple[LabelledField, ...]]]


def _nothing(_root: Path, _fields: Sequence[LabelledField], _classes: Sequence[str]) -> Steps[None]:
    yield from ()


def _by_manifest(root: Path) -> Steps[tuple[LabelledField, ...]]:
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
"""By name; ``wbc`` is our own."""


# The files that only one format has, the most telling first: a set of QuPath or YOLO may hold other
# JSON and CSV files too.
_SIGNS = (
    ("geojson", "*.geojson geojson/*.geojson"),
    ("yolo", "*.yaml *.yml classes.txt labels/*.txt labels/*/*.txt */labels/*.txt"),
    ("voc", "*.xml */*.xml"),
    ("coco", "*.json */*.json"),
    (CROPS, "crops.csv"),
    ("csv", "*.csv"),
)


def format_of(root: Path, path: Path) -> str:
    """The format of a set without a manifest, by its file, or by the files that only it has."""
    if path.is_file():
        for kind, patterns in _SIGNS:
            # Of VOC a file is one field only.
            if f"*{path.suffix.lower()}" in patterns.split() and kind != "voc":
                return kind
        raise ReadError(
            f"{path}: no training set; name its folder, or a JSON, GeoJSON, CSV or YAML file."
        )
    for kind, patterns in _SIGNS:
        if any(chain.from_iterable(map(root.glob, patterns.split()))):
            return kind
    return CROPS
