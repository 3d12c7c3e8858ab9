"""Which program's training set a JSON file is, told by what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_wbc.errors import ReadError
from napari_wbc.files.guard import read_json
from napari_wbc.storage.formats.left_out import LeftOut

COCO = "coco"
GEOJSON = "geojson"
LABELME = "labelme"
LABEL_STUDIO = "label-studio"
_KEYS = (
    (COCO, {"images", "annotations"}),
    (GEOJSON, {"type", "features"}),
    (LABELME, {"shapes", "imagePath"}),
    (LABELME, {"shapes", "version"}),
    (LABEL_STUDIO, {"data", "annotations"}),
    (LABEL_STUDIO, {"data", "completions"}),
    # JSON-MIN
    (LABEL_STUDIO, {"annotator", "lead_time"}),
    ("VGG Image Annotator", {"_via_img_metadata"}),
    ("CreateML", {"image", "annotations"}),
)
"""Kinds, and fields of the object that a file holds, or of those in its list."""
ADVICE = {
    "VGG Image Annotator": "export the annotations as COCO there, and import that",
    "CreateML": "convert it to COCO or YOLO, in Roboflow for example, and import that",
}
"""What to do with the files of programs that are not read."""


def json_kind(data: object) -> str:
    """The kind of a file's content, one of those above; empty if it is none.

    Examples
    --------
    >>> json_kind({"images": [], "annotations": [], "categories": []}), json_kind({"note": "?"})
    ('coco', '')
    """
    record = data[0] if isinstance(data, list) and data else data
    if not isinstance(record, dict):
        return ""
    if record.get("type") in ("Feature", "FeatureCollection"):
        return GEOJSON
    for kind, keys in _KEYS:
        # A list of COCO's objects is none of its files.
        if keys <= record.keys() and (kind != COCO or isinstance(data, dict)):
            return kind
    return ""


def of_kind(
    paths: Sequence[Path], kind: str, named: Path | None, left_out: LeftOut
) -> dict[Path, object]:
    """What the JSON files of a kind hold; a file that a person named is the only one.

    Others are no part of the set; where none is of the kind, those that are of none come back,
    since they may be damaged ones.

    Raises
    ------
    ReadError
        If they are another program's, which it names.
    """
    contents: dict[Path, object] = {}
    unknown: dict[Path, object] = {}
    others: list[str] = []
    for path in paths if named is None else [named]:
        try:
            data = read_json(path, foreign=True)
        except ReadError as error:
            if named is not None:
                raise
            left_out.add(str(error))
            continue
        found = json_kind(data)
        if found == kind:
            contents[path] = data
        elif found in ADVICE:
            others.append(f"{path}: this is the JSON of {found}; {ADVICE[found]}.")
        else:
            unknown[path] = data
    if contents:
        return contents
    if others:
        raise ReadError(others[0])
    if not unknown and left_out.count:
        raise ReadError(left_out.first)
    return unknown
