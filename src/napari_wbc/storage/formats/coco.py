"""Training sets as COCO (Lin et al. 2014): one JSON file a split.

Boxes are ``[x, y, width, height]`` and polygons ``[x1, y1, x2, y2, ...]`` in pixels of the image,
the upper left corner of the upper left pixel being (0, 0); masks are runs down the columns. Cells'
ids, the detector's score and the slide stand in fields of their own, which other programs skip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.guard import image_size, inside
from napari_wbc.files.json_fields import Record, check_object, is_nan, numbers, part
from napari_wbc.files.visible import visible, with_suffix
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledField
from napari_wbc.model.words import counted
from napari_wbc.storage.formats.coco_masks import Mask, mask_ring, read_mask
from napari_wbc.storage.formats.images import Images
from napari_wbc.storage.formats.json_kinds import COCO, of_kind
from napari_wbc.storage.formats.left_out import LeftOut, WholeSetError
from napari_wbc.storage.formats.manifest import MANIFEST
from napari_wbc.storage.formats.reading import (
    MAX_CELLS,
    area_of,
    check_count,
    check_fields,
    check_told_size,
    finished_steps,
    labelled_cell,
    naming,
    outline_of,
    plain_names,
    told_id,
    whole_set,
    with_own_ids,
)
from napari_wbc.storage.formats.splits import split_named, split_of_place

MAX_RUNS_OF_FILE = 5_000_000
"""Of all masks together; each column that a mask goes over is one more."""


def write_coco_steps(
    root: Path,
    fields: Sequence[LabelledField],
    classes: Sequence[str],
    *,
    masks: Literal["polygon", "rle"] = "polygon",
) -> Steps[None]:
    """Write ``annotations/{train,val,test}.json``, those that have fields.

    Category ids are 1, 2, ... in the order of the classes. Outlines are written as ``polygon``,
    exactly, or as ``rle``: compressed masks of whole pixels.
    """
    check_fields(fields, classes)
    categories = dict(zip(classes, count(1), strict=False))
    # Ids of images and annotations are unique over all splits, so that files can be merged.
    ids = count(1)
    for split in SPLITS:
        yield Progress("writing labels", 0, len(fields))
        images: list[Record] = []
        annotations: list[Record] = []
        for number, field in enumerate(fields, start=1):
            if field.split != split:
                continue
            image = {"id": number, "file_name": field.name}
            size = {"height": field.height, "width": field.width}
            images.append({**image, **size, "slide": field.slide})
            for cell in field.cells:
                head = {"id": next(ids), "image_id": number, "category_id": categories[cell.label]}
                annotations.append(head | _annotation(cell, field, masks))
        # A set without fields is an empty file, so that it is a set.
        if not images and (fields or split != SPLITS[0]):
            continue
        content = {
            "info": {"description": "napari-wbc training set"},
            "images": images,
            "annotations": annotations,
            "categories": [{"id": i, "name": name} for name, i in categories.items()],
        }
        path = root / "annotations" / f"{split}.json"
        write_text(path, json.dumps(content, ensure_ascii=False) + "\n")


def _annotation(cell: Cell, field: LabelledField, masks: str) -> Record:
    box = cell.detection.bbox
    outline = cell.detection.outline
    segmentation: object = []
    area = box.area
    if outline:
        ring = outline.array()[:, ::-1]
        flat: list[float] = ring.ravel().tolist()
        segmentation = [flat]
        area = area_of(ring)
        if masks == "rle":
            rle, pixels = _rle(flat, field.height, field.width)
            # A sliver between the centres of pixels stays a polygon.
            if pixels:
                segmentation = rle
                area = pixels
    return {
        "bbox": [box.left, box.top, box.width, box.height],
        "area": area,
        "iscrowd": 0,
        "segmentation": segmentation,
        "cell_id": cell.cell_id,
        "score": cell.detection.score,
    }


def _rle(polygon: list[float], height: int, width: int) -> tuple[Record, float]:
    from faster_coco_eval.core import mask

    rle = mask.frPyObjects([polygon], height, width)[0]
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}, float(mask.area(rle))


def read_coco_steps(root: Path, named: Path | None = None) -> Steps[tuple[LabelledField, ...]]:
    """Read a COCO set, ours or somebody else's.

    The JSON files lie in ``annotations``, or in ``train``, ``valid`` and ``test``, or in the folder
    itself; the split is told by the name of the file or of its folder, or is ``train``. Images lie
    anywhere in the folder. Of several polygons of one cell the largest is its outline; a mask
    becomes the outline of its pixels; crowds are left out.

    Parameters
    ----------
    root : Path
        Folder of the set.
    named : Path, optional
        The one JSON file that is read; all of the set where None.
    """
    root = Path(root)
    left_out = LeftOut()
    found = Images(root)
    files: list[_File] = []
    places: list[str] = []
    for path, data in _files(root, named, left_out).items():
        images: dict[str, _Image] = {}
        with naming(path):
            for number, image in _images(found, path, data, left_out):
                images[number] = image
                if image.place:
                    places.append(image.place)
                yield Progress("reading the set", 0, len(places))
        files.append(_File(path, data, images))
    # Names need the images of all files, so fields are made after all were read.
    names = plain_names(places)
    fields: list[LabelledField] = []
    for file in files:
        with naming(file.path):
            made = yield from _fields_steps(root, file, names, left_out)
            fields += whole_set(file.path, made)
    return (yield from finished_steps(root, fields, left_out))


@dataclass(slots=True)
class _Image:
    place: str
    """Relative to the set; empty where the image is left out."""
    size: tuple[int, int]
    split: str
    slide: str
    cells: list[Cell]
    complete: bool = True


class _File(NamedTuple):
    path: Path
    data: object
    images: dict[str, _Image]


def _files(root: Path, named: Path | None, left_out: LeftOut) -> dict[Path, object]:
    """The JSON files of COCO and what they hold."""
    inner = [path for path in visible(root, "*/*") if path.name != MANIFEST]
    groups = (
        [path for path in inner if path.parent.name.lower() == "annotations"],
        [path for path in inner if split_named(path.parent.name)],
        [path for path in visible(root, "*") if path.name != MANIFEST],
        inner,
    )
    for group in groups:
        paths = with_suffix(group, ".json")
        for path in paths:
            inside(root, path.relative_to(root).as_posix())
        # COCO's own folder also holds captions and keypoints of the same images.
        instances = [path for path in paths if path.name.startswith("instances")]
        if contents := of_kind(instances or paths, COCO, named, left_out):
            return contents
    raise ReadError(f"{root}: no JSON file of COCO; choose the folder that holds 'annotations'.")


def _images(
    found: Images, path: Path, data: object, left_out: LeftOut
) -> Iterator[tuple[str, _Image]]:
    place = path.relative_to(found.root)
    split = split_of_place(place.as_posix())
    # As "train2017" of "instances_train2017.json".
    suffix = path.stem.rpartition("_")[2]
    beside = place.parent.as_posix()
    folders = (beside, ".", "images", f"images/{split}", suffix, f"images/{suffix}", "data")
    seen = set[str]()
    for record in part(data, "images", list):
        number = ""
        image = _Image("", (0, 0), split, "", [])
        with left_out.item(path):
            check_object(record)
            number = _id(record, "id")
            if number in seen:
                raise WholeSetError(
                    f"{path}: the image id {number[:40]!r} stands twice; give each image its own."
                )
            seen.add(number)
            name = part(record, "file_name", str)
            with naming(f"{path}, {name[:80]!r}"):
                image_path = found.find(folders, name)
                image.size = image_size(image_path)
                check_told_size((record.get("height"), record.get("width")), image.size)
                image.slide = part(record, "slide", str, "")
            image.place = image_path.relative_to(found.root).as_posix()
        if number:
            yield number, image


def _fields_steps(
    root: Path, file: _File, names: dict[str, str], left_out: LeftOut
) -> Steps[list[LabelledField]]:
    path, data, images = file
    categories = _categories(path, data, left_out)
    annotations = part(data, "annotations", list)
    check_count(annotations, MAX_CELLS, "annotations")
    boxes: dict[str, set[tuple[str, BBox]]] = {}
    runs = 0
    for i, record in enumerate(annotations, start=1):
        yield Progress("reading the set", i, len(annotations))
        with left_out.item(f"{path}, annotation {i}"):
            check_object(record)
            crowd = str(record.get("iscrowd") or 0)
            # A crowd is a region of many cells, none of which can be told apart.
            if crowd == "1":
                continue
            number = _id(record, "image_id")
            category = _id(record, "category_id")
            if number not in images or category not in categories:
                raise WbcError(
                    f"there is no image {number[:40]!r} or no category {category[:40]!r}; "
                    "correct the id."
                )
            image = images[number]
            # The cells of an image that is left out are left out with it.
            if not image.place:
                continue
            complete, image.complete = image.complete, False
            segmentation = record.get("segmentation")
            if isinstance(segmentation, dict):
                mask = read_mask(segmentation, *image.size)
                record["segmentation"] = mask
                runs += len(mask.edges) + mask.columns
            if runs > MAX_RUNS_OF_FILE:
                raise WholeSetError(
                    f"{path}: its masks have more than {MAX_RUNS_OF_FILE:,} runs; part it into "
                    "smaller files, or export polygons."
                )
            if crowd != "0":
                raise WbcError("iscrowd is neither 0 nor 1; correct it.")
            detection = _detection(record)
            name = names[image.place]
            label = categories[category]
            image.cells.append(
                labelled_cell(told_id(record, "cell_id"), name, label, detection, image.size)
            )
            image.complete = complete
            boxes.setdefault(_record_id(record), set()).add((number, detection.bbox))
    left_out.notes += _ids_of_several(path, boxes)
    fields: list[LabelledField] = []
    for image in filter(lambda image: image.place, images.values()):
        name = names[image.place]
        fields.append(
            LabelledField(
                name,
                root / image.place,
                *image.size,
                image.split,
                with_own_ids(image.cells),
                image.slide,
                name,
                complete=image.complete,
            )
        )
    return fields


def _record_id(record: Record) -> str:
    """The number of an annotation, which need not have one."""
    number = record.get("id")
    return "" if number is None else str(number)[:40]


def _ids_of_several(path: Path, boxes: dict[str, set[tuple[str, BBox]]]) -> list[str]:
    """A note of ids that stand for several boxes, if there are any."""
    several = [number for number, places in boxes.items() if number and len(places) > 1]
    if not several:
        return []
    # A program may have joined files whose numbers begin anew, or kept a box that was moved.
    return [
        f"{path.name}: {counted(len(several), 'annotation id')} with several boxes, {several[0]} "
        "the first; each box is a cell."
    ]


def _categories(path: Path, data: object, left_out: LeftOut) -> dict[str, str]:
    """Names of the categories by id; Roboflow gives its root the name of a class."""
    categories: dict[str, str] = {}
    for i, record in enumerate(part(data, "categories", list), start=1):
        with left_out.item(f"{path}, category {i}"):
            check_object(record)
            number = _id(record, "id")
            name = part(record, "name", str)
            if categories.setdefault(number, name) != name:
                raise WholeSetError(
                    f"{path}: the category {number[:40]!r}, {name[:60]!r}, stands twice; "
                    "remove one."
                )
    return categories


def _detection(record: Record) -> Detection:
    outline = _outline(record.get("segmentation"))
    score = record.get("score")
    # Some programs write null or NaN where nothing was measured.
    score = 1.0 if score is None or is_nan(score) else numbers([score], "score")[0]
    # Some tools write no box, or an empty list, beside a polygon.
    if outline and not record.get("bbox"):
        return Detection(outline.bbox, outline, score)
    box = numbers(record.get("bbox"), "bbox")
    if len(box) != 4:
        raise WbcError(f"bbox has {len(box)} numbers; give x, y, width and height.")
    left, top, wide, high = box
    return Detection(BBox(top, left, top + high, left + wide), outline, score)


def _outline(shape: object) -> Outline | None:
    """Outline of a segmentation: polygons or a mask; None where there is none."""
    if isinstance(shape, Mask):
        return outline_of([mask_ring(shape)])
    # Some tools write one empty polygon where there is none.
    if not shape or shape == [[]]:
        return None
    if not isinstance(shape, list):
        raise WbcError("segmentation is neither a list of polygons nor a mask; correct it.")
    rings: list[npt.NDArray[np.float64]] = []
    for polygon in shape:
        flat = numbers(polygon, "a polygon")
        if len(flat) % 2:
            raise WbcError(
                "a polygon has an odd number of coordinates; give x1, y1, x2, y2 and so on."
            )
        rings.append(np.reshape(flat, (-1, 2)))
    return outline_of(rings)


def _id(record: Record, key: str) -> str:
    """An id as a text; some tools write 1 here and "1" or 1.0 there."""
    value = record.get(key)
    # True is an int in Python.
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        raise WbcError(f"{key} is missing or neither a number nor a text; correct it.")
    return f"{value:.17g}" if isinstance(value, float) else str(value)
