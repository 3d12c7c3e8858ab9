"""Training sets as COCO (Lin et al. 2014): one JSON file a split.

Boxes are ``[x, y, width, height]`` and polygons ``[x1, y1, x2, y2, ...]`` in pixels of the image,
the upper left corner of the upper left pixel being (0, 0); masks are runs down the columns. Cells'
ids, the detector's score and the slide stand in fields of their own, which other programs skip.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
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
from napari_wbc.model.training_set import SPLITS, LabelledField
from napari_wbc.storage.formats.csv_set import image_place
from napari_wbc.storage.formats.manifest import MANIFEST
from napari_wbc.storage.formats.reading import (
    MAX_CELLS,
    SPLIT_NAMES,
    area_of,
    check_fields,
    labelled_cell,
    naming,
    outline_of,
    plain_names,
    split_of_place,
    whole_set,
)

__all__ = ["image_place", "read_coco_steps", "write_coco_steps"]

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

    Parameters
    ----------
    root, fields, classes
        As of any writer; category ids are 1, 2, ... in the order of the classes.
    masks : str
        How outlines are written: ``polygon``, exactly, or ``rle``, as compressed masks of whole
        pixels.
    """
    check_fields(fields, classes)
    categories = {name: i for i, name in enumerate(classes, start=1)}
    # Ids of images and annotations are unique over all splits, so that files can be merged.
    numbered = list(enumerate(fields, start=1))
    ids = count(1)
    for split in SPLITS:
        yield Progress("writing labels", 0, len(fields))
        chosen = [(i, field) for i, field in numbered if field.split == split]
        # A set without fields is an empty file, so that it is a set.
        if not chosen and (fields or split != SPLITS[0]):
            continue
        annotations: list[Record] = []
        for i, field in chosen:
            for cell in field.cells:
                head = {"id": next(ids), "image_id": i, "category_id": categories[cell.label]}
                annotations.append(head | _annotation(cell, field, masks))
        content = {
            "info": {"description": "napari-wbc training set"},
            "images": [_image(i, field) for i, field in chosen],
            "annotations": annotations,
            "categories": [{"id": i, "name": name} for name, i in categories.items()],
        }
        path = root / "annotations" / f"{split}.json"
        write_text(path, json.dumps(content, ensure_ascii=False) + "\n")


def _image(number: int, field: LabelledField) -> Record:
    return {
        "id": number,
        "file_name": field.name,
        "height": field.height,
        "width": field.width,
        "slide": field.slide,
    }


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
    files = [(path, read_json(path)) for path in _files(root)]
    images: list[dict[Id, _Image]] = []
    places: list[str] = []
    for path, data in files:
        with naming(path):
            of_file: dict[Id, _Image] = {}
            for number, image in _images(root, path, data):
                of_file[number] = image
                places.append(image.place)
                yield Progress("reading the set", 0, len(places))
            images.append(of_file)
    # Names need the images of all files, so fields are made after all were read.
    names = plain_names(places)
    fields: list[LabelledField] = []
    for (path, data), of_file in zip(files, images, strict=True):
        with naming(path):
            fields += whole_set(path, (yield from _fields_steps(root, path, data, of_file, names)))
    return whole_set(root, fields)


@dataclass(frozen=True, slots=True)
class _Image:
    place: str
    height: int
    width: int
    split: str
    slide: str


def _files(root: Path) -> list[Path]:
    for folders in (["annotations"], list(SPLIT_NAMES), ["."]):
        found = chain.from_iterable((root / folder).glob("*.json") for folder in folders)
        paths = sorted(p for p in found if p.name != MANIFEST and not p.name.startswith("."))
        # COCO's own folder also holds captions and keypoints of the same images.
        instances = [path for path in paths if path.name.startswith("instances")]
        if paths:
            return [inside(root, path.relative_to(root).as_posix()) for path in instances or paths]
    raise ReadError(f"{root}: no JSON file of COCO; choose the folder that holds 'annotations'.")


def _images(root: Path, path: Path, data: object) -> Iterator[tuple[Id, _Image]]:
    place = path.relative_to(root)
    split = split_of_place(place.as_posix())
    # As "train2017" of "instances_train2017.json".
    suffix = path.stem.rpartition("_")[2]
    beside = place.parent.as_posix()
    folders = dict.fromkeys((beside, ".", "images", f"images/{split}", suffix, f"images/{suffix}"))
    seen = set[Id]()
    for record in items(data, "images"):
        number = _id(record, "id")
        name = part(record, "file_name", str)
        if number in seen:
            raise WbcError(f"the image id {number!r} stands twice; give each image its own.")
        seen.add(number)
        present = _image_place(root, folders, name)
        height, width = image_size(root / present)
        size = part(record, "height", int), part(record, "width", int)
        if size != (height, width):
            raise WbcError(
                f"the size of {name} is {size[1]} x {size[0]}, the image's {width} x {height}; "
                "correct it."
            )
        yield number, _Image(present, height, width, split, part(record, "slide", str, ""))


def _image_place(root: Path, folders: Iterable[str], name: str) -> str:
    inside(root, name)
    for folder in folders:
        path = inside(root, f"{folder}/{name}")
        if path.is_file():
            return path.relative_to(root).as_posix()
    raise WbcError(
        f"there is no image {name[:80]!r}; put it beside the JSON file or into 'images'."
    )


def _fields_steps(
    root: Path, path: Path, data: object, images: dict[Id, _Image], names: dict[str, str]
) -> Steps[list[LabelledField]]:
    categories = dict(_categories(data))
    cells: dict[Id, list[Cell]] = {number: [] for number in images}
    annotations = items(data, "annotations")
    if len(annotations) > MAX_CELLS:
        raise WbcError(
            f"{len(annotations):,} annotations, more than {MAX_CELLS:,}; part it into sets."
        )
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
            size = (image.height, image.width)
            cell_id = part(record, "cell_id", str, "")
            detection = _detection(record, *size)
            name = names[image.place]
            cell = labelled_cell(cell_id, name, categories[category], detection, size)
            cells[number].append(cell)
    fields: list[LabelledField] = []
    for number, image in images.items():
        name = names[image.place]
        size = (image.height, image.width)
        path = root / image.place
        of_image = tuple(cells[number])
        fields.append(LabelledField(name, path, *size, image.split, of_image, image.slide, name))
    return fields


def _categories(data: object) -> Iterator[tuple[Id, str]]:
    ids = set[Id]()
    names = set[str]()
    for record in items(data, "categories"):
        number = _id(record, "id")
        name = part(record, "name", str)
        if number in ids or name in names:
            raise WbcError(f"the category {number!r}, {name[:60]!r}, stands twice; remove one.")
        ids.add(number)
        names.add(name)
        yield number, name


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
    if not isinstance(counts, list) or not all(type(n) is int and n >= 0 for n in counts):
        raise WbcError(
            "the counts of a mask are neither a text nor whole numbers; export it again."
        )
    if sum(counts) != height * width or len(counts) > MAX_RUNS:
        raise WbcError(f"a mask of {len(counts)} runs does not fit its image; export it again.")
    ends = np.cumsum(counts, dtype=np.int64)[1::2]
    runs = np.stack([ends - counts[1::2], ends], axis=1)
    runs = runs[runs[:, 0] < runs[:, 1]]
    if not len(runs):
        raise WbcError("a mask has no pixel; remove the annotation.")
    # A run is at most the end of one column, some whole columns, and the start of another.
    first, top = np.divmod(runs[:, 0], height)
    last, bottom = np.divmod(runs[:, 1] - 1, height)
    bottom += 1
    zero = np.zeros_like(first)
    full = np.full_like(first, height)
    boxes = [
        np.stack([first, top, first + 1, np.where(first == last, bottom, full)]),
        np.stack([first + 1, zero, last, full])[:, last > first + 1],
        np.stack([last, zero, last + 1, bottom])[:, first != last],
    ]
    parts = shapely.get_parts(shapely.union_all(shapely.box(*np.concatenate(boxes, axis=1))))
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
