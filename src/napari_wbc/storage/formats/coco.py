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
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.guard import image_size, inside, read_json
from napari_wbc.files.json_fields import Record, items, numbers, part
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.manifest import MANIFEST
from napari_wbc.storage.formats.reading import (
    MAX_CELLS,
    SPLIT_NAMES,
    area_of,
    check_count,
    check_fields,
    check_size,
    find_image,
    labelled_cell,
    naming,
    outline_of,
    plain_names,
    split_of_place,
    whole_set,
)

MAX_RUNS = 100_000
"""Of one mask; that of a cell has a few hundred, one of noise would take hours to outline."""
Id = int | str


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


def read_coco_steps(root: Path) -> Steps[tuple[LabelledField, ...]]:
    """Read a COCO set, ours or somebody else's.

    The JSON files lie in ``annotations``, or in ``train``, ``valid`` and ``test``, or in the folder
    itself; the split is told by the name of the file or of its folder, or is ``train``. Images lie
    beside the JSON file, in the folder itself, or in ``images``, ``images/SPLIT`` or the likes of
    ``train2017``. Of several polygons of one cell the largest is its outline; a mask becomes the
    outline of its pixels; crowds are left out.
    """
    root = Path(root)
    files: list[tuple[Path, object, dict[Id, _Image]]] = []
    places: list[str] = []
    for path in _files(root):
        data = read_json(path)
        images: dict[Id, _Image] = {}
        with naming(path):
            for number, image in _images(root, path, data):
                images[number] = image
                places.append(image.place)
                yield Progress("reading the set", 0, len(places))
        files.append((path, data, images))
    # Names need the images of all files, so fields are made after all were read.
    names = plain_names(places)
    fields: list[LabelledField] = []
    for path, data, images in files:
        with naming(path):
            fields += whole_set(path, (yield from _fields_steps(root, path, data, images, names)))
    return whole_set(root, fields)


@dataclass(frozen=True, slots=True)
class _Image:
    place: str
    size: tuple[int, int]
    split: str
    slide: str
    cells: list[Cell]


def _files(root: Path) -> list[Path]:
    for folders in (["annotations"], [*SPLIT_NAMES], ["."]):
        paths: list[Path] = []
        for folder in folders:
            paths += (root / folder).glob("[!.]*.json")
        paths = [path for path in sorted(paths) if path.name != MANIFEST]
        for path in paths:
            inside(root, path.relative_to(root).as_posix())
        # COCO's own folder also holds captions and keypoints of the same images.
        instances = [path for path in paths if path.name.startswith("instances")]
        if paths:
            return instances or paths
    raise ReadError(f"{root}: no JSON file of COCO; choose the folder that holds 'annotations'.")


def _images(root: Path, path: Path, data: object) -> Iterator[tuple[Id, _Image]]:
    place = path.relative_to(root)
    split = split_of_place(place.as_posix())
    # As "train2017" of "instances_train2017.json".
    suffix = path.stem.rpartition("_")[2]
    beside = place.parent.as_posix()
    folders = (beside, ".", "images", f"images/{split}", suffix, f"images/{suffix}")
    seen = set[Id]()
    for record in items(data, "images"):
        number = _id(record, "id")
        if number in seen:
            raise WbcError(f"the image id {number!r} stands twice; give each image its own.")
        seen.add(number)
        name = part(record, "file_name", str)
        with naming(f"{path}, {name[:80]}"):
            image = find_image(root, folders, [name])
            size = image_size(image)
            check_size((part(record, "height", int), part(record, "width", int)), size)
        slide = part(record, "slide", str, "")
        yield number, _Image(image.relative_to(root).as_posix(), size, split, slide, [])


def _fields_steps(
    root: Path, path: Path, data: object, images: dict[Id, _Image], names: dict[str, str]
) -> Steps[list[LabelledField]]:
    categories = _categories(data)
    annotations = items(data, "annotations")
    check_count(annotations, MAX_CELLS, "annotations")
    for i, record in enumerate(annotations, start=1):
        yield Progress("reading the set", i, len(annotations))
        with naming(f"{path}, annotation {i}"):
            number = _id(record, "image_id")
            category = _id(record, "category_id")
            if number not in images or category not in categories:
                raise WbcError(
                    f"there is no image {number!r} or no category {category!r}; correct the id."
                )
            image = images[number]
            if record.get("iscrowd", 0) not in (0, 1):
                raise WbcError("iscrowd is neither 0 nor 1; correct it.")
            # A crowd is a region of many cells, none of which can be told apart.
            if record.get("iscrowd"):
                continue
            cell_id = part(record, "cell_id", str, "")
            detection = _detection(record, *image.size)
            name = names[image.place]
            label = categories[category]
            image.cells.append(labelled_cell(cell_id, name, label, detection, image.size))
    fields: list[LabelledField] = []
    for image in images.values():
        name = names[image.place]
        path = root / image.place
        cells = tuple(image.cells)
        fields.append(LabelledField(name, path, *image.size, image.split, cells, image.slide, name))
    return fields


def _categories(data: object) -> dict[Id, str]:
    categories: dict[Id, str] = {}
    names = set[str]()
    for record in items(data, "categories"):
        number = _id(record, "id")
        name = part(record, "name", str)
        if number in categories or name in names:
            raise WbcError(f"the category {number!r}, {name[:60]!r}, stands twice; remove one.")
        categories[number] = name
        names.add(name)
    return categories


def _detection(record: Record, height: int, width: int) -> Detection:
    box = numbers(record.get("bbox"), "bbox")
    if len(box) != 4:
        raise WbcError(f"bbox has {len(box)} numbers; give x, y, width and height.")
    left, top, wide, high = box
    (score,) = numbers([record.get("score", 1.0)], "score")
    shape = record.get("segmentation")
    outline = None
    if isinstance(shape, dict):
        outline = outline_of([_mask_ring(shape, height, width)])
    elif shape:
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
        outline = outline_of(rings)
    return Detection(BBox(top, left, top + high, left + wide), outline, score)


def _mask_ring(rle: Record, height: int, width: int) -> npt.NDArray[np.float64]:
    """Pixel edges around the largest part of a mask, shape (N, 2), (x, y)."""
    if rle.get("size") != [height, width]:
        raise WbcError("the size of a mask is not that of its image; export it again.")
    counts = rle.get("counts")
    counts = _decoded(counts) if isinstance(counts, str) else counts
    if not isinstance(counts, list) or not set(map(type, counts)) <= {int}:
        raise WbcError(
            "the counts of a mask are neither a text nor whole numbers; export it again."
        )
    # A mask is cut at every column, so that the number of these counts too.
    fits = sum(counts) == height * width and max(len(counts), width) <= MAX_RUNS
    if not fits or min(counts) < 0:
        raise WbcError(f"a mask of {len(counts)} runs does not fit its image; export it again.")
    ends = np.cumsum(counts, dtype=np.int64)
    # Runs go on in the next column, so they are cut where a column ends.
    cuts = np.union1d(np.r_[0, ends], np.arange(0, height * width, height))
    start = cuts[:-1]
    # Every second run, from the second on, is of the mask.
    filled = np.searchsorted(ends, start, side="right") % 2 == 1
    left, top = np.divmod(start[filled], height)
    bottom = top + np.diff(cuts)[filled]
    if not len(left):
        raise WbcError("a mask has no pixel; remove the annotation.")
    parts = shapely.get_parts(shapely.union_all(shapely.box(left, top, left + 1, bottom)))
    ring: npt.NDArray[np.float64] = shapely.get_coordinates(
        max(parts, key=shapely.area).simplify(0).exterior
    )
    return ring


def _decoded(text: str) -> list[int]:
    """Run lengths from COCO's text, as ``rleFrString`` of its API reads them.

    Five bits a character, the sixth says that more follow; from the fourth number on each is the
    difference from the one before the last.
    """
    counts: list[int] = []
    value = bits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or bits > 30:
            raise WbcError("the counts of a mask are not as COCO writes them; export it again.")
        value |= (code & 31) << bits
        bits += 5
        if not code & 32:
            # The highest bit that was read is the sign.
            value -= (code & 16) and 1 << bits
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = bits = 0
    if bits:
        raise WbcError("the counts of a mask end in the middle of a number; export it again.")
    return counts


def _id(record: Record, key: str) -> Id:
    value = record.get(key)
    # True is an int in Python.
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise WbcError(f"{key} is missing or neither a number nor a text; correct it.")
    return value
