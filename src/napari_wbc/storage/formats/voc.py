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
import numpy as np
from defusedxml import DefusedXmlException

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.guard import image_size, inside, one_line, read_text
from napari_wbc.files.json_fields import number
from napari_wbc.files.visible import visible, with_suffix
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.images import Images, folded_name
from napari_wbc.storage.formats.left_out import LeftOut
from napari_wbc.storage.formats.reading import (
    check_count,
    check_fields,
    check_size,
    finished_steps,
    labelled_cell,
    with_own_ids,
)
from napari_wbc.storage.formats.splits import split_named, split_of_place

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
        # VOC has whole pixels, and many of its readers call int().
        edges = {"xmin": round(box.left) + 1, "ymin": round(box.top) + 1}
        edges["xmax"] = max(round(box.right), edges["xmin"])
        edges["ymax"] = max(round(box.bottom), edges["ymin"])
        _add_all(ET.SubElement(item, "bndbox"), edges)
        if outline:
            vertices = np.rint(outline.array()).astype(int)
            # An outline of less than a pixel would become a line.
            if np.ptp(vertices, axis=0).all():
                polygon = ET.SubElement(item, "polygon")
                for i, (row, col) in enumerate(vertices.tolist(), start=1):
                    _add_all(polygon, {f"x{i}": col + 1, f"y{i}": row + 1})
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _add(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text


def _add_all(parent: ET.Element, values: dict[str, int]) -> None:
    for tag, value in values.items():
        _add(parent, tag, str(value))


def read_voc_steps(root: Path, named: Path | None = None) -> Steps[tuple[LabelledField, ...]]:
    """Read a Pascal VOC set, ours or somebody else's.

    The XML files lie in ``Annotations`` with images anywhere in the set, or beside their images, in
    one folder or in ``train``, ``valid`` and ``test``. The split is that of ``ImageSets/Main``, or
    that of the folder, or else ``train``. An image is the one that has the name of its XML file, or
    that ``filename`` says.

    Parameters
    ----------
    root : Path
        Folder of the set.
    named : Path, optional
        The one XML file that is read; all of the set where None.
    """
    left_out = LeftOut()
    files = list(_files(root, named))
    lists = _lists(root)
    splits = _splits(lists, {file.stem for file, _ in files}, left_out) if named is None else {}
    if not files and not lists and not _folder(root, "Annotations"):
        raise ReadError(
            f"{root}: no XML file of Pascal VOC; choose the folder that holds Annotations."
        )
    images = Images(root)
    fields = []
    for file, split in files:
        with left_out.item(file):
            inside(root, file.relative_to(root).as_posix())
            fields.append(_field(images, file, splits.get(file.stem, split), left_out))
        yield Progress("reading the set", len(fields), len(files))
    return (yield from finished_steps(root, fields, left_out))


def _folder(root: Path, *names: str) -> Path | None:
    """A folder in a folder, whatever the case of its name; None where there is none."""
    folder = root
    for name in names:
        found = [path for path in visible(folder, "*") if path.name.lower() == name.lower()]
        if not found or not found[0].is_dir():
            return None
        folder = found[0]
    return folder


def _files(root: Path, named: Path | None) -> Iterator[tuple[Path, str]]:
    """XML files and their split."""
    annotations = _folder(root, "Annotations")
    if named is not None:
        yield named, split_of_place(named.parent.relative_to(root).as_posix())
        return
    if annotations:
        for file in with_suffix(visible(annotations, "**/*"), ".xml"):
            yield file, split_of_place(file.parent.relative_to(root).as_posix())
        return
    # Beside their images, or in folders of other names.
    for file in with_suffix(visible(root, "*", "*/*", "*/*/*"), ".xml"):
        yield file, split_of_place(file.parent.relative_to(root).as_posix())


def _lists(root: Path) -> dict[str, Path]:
    """The lists of ImageSets/Main, by split."""
    folder = _folder(root, "ImageSets", "Main") or _folder(root, "ImageSets")
    found: dict[str, Path] = {}
    for file in with_suffix(visible(folder, "*"), ".txt") if folder else ():
        if split := split_named(file.stem):
            found[split] = file
        # VOC's own trainval.txt is the two together; it counts where neither is there.
        elif file.stem.lower() == "trainval":
            found["trainval"] = file
    both = found.pop("trainval", None)
    if both and "train" not in found and "val" not in found:
        found["train"] = both
    return found


def _splits(lists: dict[str, Path], stems: set[str], left_out: LeftOut) -> dict[str, str]:
    """Split of each file that the lists name."""
    splits: dict[str, str] = {}
    folded = {folded_name(stem): stem for stem in stems}
    for split in filter(lists.__contains__, SPLITS):
        file = lists[split]
        for line in read_text(file, max_bytes=MAX_BYTES, any_encoding=True).splitlines():
            # A stem may begin or end with a blank; some tools write names with folder and suffix.
            plain = line.strip()
            usual = (line, plain, PurePosixPath(plain.replace("\\", "/")).stem)
            name = next(filter(stems.__contains__, usual), plain)
            name = folded.get(folded_name(name), name)
            if not name:
                continue
            if name not in stems:
                left_out.add(
                    f"{file}: {name[:80]!r} has no XML file; add it, or take out the line."
                )
            elif splits.setdefault(name, split) != split:
                raise ReadError(f"{file}: {name[:80]!r} is in another split too; keep it in one.")
    return splits


def _field(images: Images, file: Path, split: str, left_out: LeftOut) -> LabelledField:
    text = read_text(file, max_bytes=MAX_BYTES, any_encoding=True)
    try:
        tree = SafeET.fromstring(text, forbid_dtd=True)
    except (ET.ParseError, DefusedXmlException, ValueError) as error:
        reason = one_line(error) or "it has a DTD"
        raise WbcError(f"not readable XML ({reason}); export it again.") from error
    if tree.tag != "annotation":
        raise WbcError(f"this is no Pascal VOC but <{tree.tag[:40]}>; take it out of the set.")
    beside = file.parent.relative_to(images.root).as_posix()
    folders = ("JPEGImages", "images", beside, ".")
    image = images.find_of(folders, file, tree.findtext("filename") or "")
    size = image_size(image)
    if (given := tree.find("size")) is not None:
        # Some programs do not look, and write 0.
        height, width = (number(given.findtext(key) or "0") for key in ("height", "width"))
        check_size((height, width), size)
    objects = tree.findall("object")
    check_count(objects, MAX_OBJECTS, "objects")
    cells: list[Cell] = []
    before = left_out.count
    for i, item in enumerate(objects, start=1):
        with left_out.item(f"{file}, object {i}"):
            cells.append(_cell(item, image.name, size))
    complete = left_out.count == before
    name = image.name
    own = with_own_ids(cells)
    return LabelledField(name, image, *size, split, own, fov_id=name, complete=complete)


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
