"""Training sets as Pascal VOC: one XML file an image.

Boxes are 1-based and inclusive, as the VOC development kit has them: ``xmin`` is our left + 1, and
``xmax`` our right; vertices of a ``<polygon>`` (Roboflow's) are points, and so are 1 larger than
ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

import defusedxml.ElementTree as SafeET
from defusedxml import DefusedXmlException

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.guard import image_size, inside, one_line, read_text
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.reading import (
    SPLIT_NAMES,
    check_count,
    check_fields,
    check_size,
    find_image,
    labelled_cell,
    naming,
    number,
    whole_set,
)

MAX_BYTES = 20_000_000
MAX_OBJECTS = 20_000


def image_place(field: LabelledField) -> str:
    """Where the image of a field belongs, relative to the set."""
    return f"JPEGImages/{field.name}"


def write_voc_steps(
    root: Path, fields: Sequence[LabelledField], classes: Sequence[str]
) -> Steps[None]:
    """Write ``Annotations/*.xml`` and ``ImageSets/Main/{train,val,test}.txt``."""
    check_fields(fields, classes)
    lists = dict.fromkeys(SPLITS, "")
    for done, (field, name) in enumerate(zip(fields, _names(fields), strict=True), start=1):
        lists[field.split] += f"{name}\n"
        write_text(root / "Annotations" / f"{name}.xml", _xml(field))
        yield Progress("writing labels", done, len(fields))
    for split, text in lists.items():
        write_text(root / "ImageSets" / "Main" / f"{split}.txt", text)


def _names(fields: Sequence[LabelledField]) -> list[str]:
    """Stems of the images, or whole names where a stem would not tell which image is meant."""
    # Of "a.png" and "a.jpg" both names are whole; nor may a stem be another image's whole name.
    taken = Counter[str]()
    for field in fields:
        taken.update([field.name.casefold(), PurePosixPath(field.name).stem.casefold()])
    names: list[str] = []
    for field in fields:
        stem = PurePosixPath(field.name).stem
        alone = taken[stem.casefold()] == 1 + (stem == field.name)
        names.append(stem if alone else field.name)
    return names


def _xml(field: LabelledField) -> str:
    root = ET.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", field.name)
    size = ET.SubElement(root, "size")
    _add_all(size, {"width": field.width, "height": field.height, "depth": 3})
    _add(root, "segmented", "0")
    for cell in field.cells:
        box = cell.detection.bbox
        outline = cell.detection.outline
        item = ET.SubElement(root, "object")
        _add(item, "name", cell.label)
        _add(item, "cell_id", cell.cell_id)
        edges = {"xmin": box.left + 1, "ymin": box.top + 1, "xmax": box.right, "ymax": box.bottom}
        _add_all(ET.SubElement(item, "bndbox"), edges)
        if outline:
            polygon = ET.SubElement(item, "polygon")
            for i, (row, col) in enumerate(outline.vertices, start=1):
                _add_all(polygon, {f"x{i}": col + 1, f"y{i}": row + 1})
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _add(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text


def _add_all(parent: ET.Element, values: dict[str, float]) -> None:
    for tag, value in values.items():
        # Whole numbers as VOC's own files have them: readers that call int() refuse "12.0".
        _add(parent, tag, str(int(value)) if value == int(value) else repr(float(value)))


def read_voc_steps(root: Path) -> Steps[tuple[LabelledField, ...]]:
    """Read a Pascal VOC set, ours or somebody else's.

    The XML files lie in ``Annotations`` with images in ``JPEGImages`` or ``images``, or beside
    their images, in one folder or in ``train``, ``valid`` and ``test``. The split is that of
    ``ImageSets/Main``, or that of the folder, or else ``train``.
    """
    files = list(_files(root))
    splits = _splits(root, {file.stem for file, _, _ in files})
    if not files and not splits and not (root / "ImageSets" / "Main").is_dir():
        raise ReadError(
            f"{root}: no XML file of Pascal VOC; choose the folder that holds Annotations."
        )
    fields = []
    for file, places, split in files:
        with naming(file):
            inside(root, file.relative_to(root).as_posix())
            fields.append(_field(root, file, places, splits.get(file.stem, split)))
        yield Progress("reading the set", len(fields), len(files))
    return whole_set(root, fields)


def _files(root: Path) -> Iterator[tuple[Path, Sequence[str], str]]:
    """XML files, the folders of their images, and their split."""
    if (root / "Annotations").is_dir():
        for file in sorted(root.glob("Annotations/[!.]*.xml")):
            yield file, ("JPEGImages", "images"), "train"
        return
    for folder, split in {".": "train", **SPLIT_NAMES}.items():
        for file in sorted((root / folder).glob("[!.]*.xml")):
            yield file, [folder], split


def _splits(root: Path, stems: set[str]) -> dict[str, str]:
    """Split of each file that ImageSets/Main names."""
    folder = root / "ImageSets" / "Main"
    lists = dict(zip(SPLITS, SPLITS, strict=True))
    # VOC's own trainval.txt is the two together; it counts where neither is there.
    if not (folder / "train.txt").is_file() and not (folder / "val.txt").is_file():
        lists["train"] = "trainval"
    splits: dict[str, str] = {}
    for split, stem in lists.items():
        file = folder / f"{stem}.txt"
        if not file.is_file():
            continue
        for line in read_text(inside(root, file.relative_to(root).as_posix())).splitlines():
            # A stem may begin or end with a blank.
            name = line if line in stems else line.strip()
            if not name:
                continue
            if name not in stems:
                raise ReadError(
                    f"{file}: {name[:80]!r} has no XML file; add it, or take out the line."
                )
            if splits.setdefault(name, split) != split:
                raise ReadError(f"{file}: {name[:80]!r} is in another split too; keep it in one.")
    return splits


def _field(root: Path, file: Path, places: Sequence[str], split: str) -> LabelledField:
    try:
        tree = SafeET.fromstring(read_text(file, max_bytes=MAX_BYTES), forbid_dtd=True)
    except (ET.ParseError, DefusedXmlException, ValueError) as error:
        reason = one_line(error) or "it has a DTD"
        raise WbcError(f"not readable XML ({reason}); export it again.") from error
    name = _text(tree, "filename")
    if "/" in name:
        raise WbcError(f"the image {name[:80]!r} is a path; write its plain name.")
    image = find_image(root, places, [name])
    size = image_size(image)
    if (given := tree.find("size")) is not None:
        check_size((number(_text(given, "height")), number(_text(given, "width"))), size)
    objects = tree.findall("object")
    check_count(objects, MAX_OBJECTS, "objects")
    cells = tuple(_cell(item, name, size) for item in objects)
    return LabelledField(name, image, *size, split, cells, fov_id=name)


def _cell(item: ET.Element, fov: str, size: tuple[int, int]) -> Cell:
    edges = item.find("bndbox")
    if edges is None:
        raise WbcError("an object has no bndbox; add it.")
    left = number(_text(edges, "xmin")) - 1
    top = number(_text(edges, "ymin")) - 1
    box = BBox(top, left, number(_text(edges, "ymax")), number(_text(edges, "xmax")))
    polygons = list(filter(len, item.findall("polygon")))
    # Of several parts none is the outline; the box stands for all.
    outline = _outline(polygons[0]) if len(polygons) == 1 else None
    detection = Detection(box, outline)
    return labelled_cell(item.findtext("cell_id") or "", fov, _text(item, "name"), detection, size)


def _outline(polygon: ET.Element) -> Outline:
    values = {coordinate.tag: number(coordinate.text or "") - 1 for coordinate in polygon}
    # A dict holds a tag once, so it is shorter than the polygon where one stands twice.
    if len(values) < len(polygon) or len(values) % 2:
        raise WbcError("a polygon has a coordinate twice, or an odd number of them; correct it.")
    numbers = range(1, len(values) // 2 + 1)
    try:
        return Outline(tuple((values[f"y{i}"], values[f"x{i}"]) for i in numbers))
    except KeyError as error:
        raise WbcError(f"a polygon has no {error}; write x1, y1, x2, y2 and so on.") from error


def _text(parent: ET.Element, tag: str) -> str:
    text = parent.findtext(tag)
    if not text:
        raise WbcError(f"<{parent.tag}> has no {tag}; add it.")
    return text
