"""Kinds of files that people have, and what each reader makes of them: a table of docs/formats.md.

``python -m tests.storage.formats.kinds`` measures the table and writes it into the docs.
"""

from __future__ import annotations

import json
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from tests.storage.formats.sets import BOX, HEIGHT, WIDTH, boxes, image, litter, put

from napari_wbc.errors import WbcError
from napari_wbc.storage.sets import read_set

DOCS = Path(__file__).resolve().parents[3] / "docs" / "formats.md"
BEGIN = "<!-- measured by tests/storage/formats/kinds.py -->\n"
END = "<!-- end -->\n"
NAN = float("nan")
READ = "read"
LEFT_OUT = "left out"
REFUSED = "refused"
NONE = "–"


@dataclass(frozen=True)
class Item:
    """A cell as a tool says it."""

    left: float = 2
    top: float = 1
    right: float = 22
    bottom: float = 11
    label: str = "monocyte"
    score: float | None = None
    listed: bool = True
    """Whether its class is among those that the set lists."""


@dataclass(frozen=True)
class Picture:
    """An image with its cells as a tool says them."""

    name: str = "a.png"
    items: Sequence[Item] = (Item(),)
    size: tuple[float | None, float | None] = (HEIGHT, WIDTH)
    label_file: str = ""
    """Stem of its own file of labels; that of the image where empty."""
    number: Callable[[float], object] = field(default=lambda value: value)
    """How a number is written in JSON."""

    @property
    def stem(self) -> str:
        return self.label_file or self.name.rpartition(".")[0]


Writer = Callable[[Path, Sequence[Picture]], None]


def write_coco(root: Path, pictures: Sequence[Picture]) -> None:
    images = []
    annotations = []
    for i, picture in enumerate(pictures, start=1):
        height, width = picture.size
        images.append({"id": i, "file_name": picture.name, "height": height, "width": width})
        for item in picture.items:
            box = item.left, item.top, item.right - item.left, item.bottom - item.top
            record = {"id": len(annotations) + 1, "image_id": picture.number(i), "iscrowd": 0}
            record |= {"category_id": 3 if item.listed else 9}
            record |= {"bbox": list(map(picture.number, box))}
            if item.score is not None:
                record["score"] = item.score
            annotations.append(record)
    labels = {item.label for picture in pictures for item in picture.items}
    categories = [{"id": 3, "name": label} for label in labels]
    content = {"images": images, "annotations": annotations, "categories": categories}
    put(root, "_annotations.coco.json", json.dumps(content))


def write_yolo(root: Path, pictures: Sequence[Picture]) -> None:
    for picture in pictures:
        lines = ""
        for item in picture.items:
            center = (item.left + item.right) / 2 / WIDTH, (item.top + item.bottom) / 2 / HEIGHT
            sides = (item.right - item.left) / WIDTH, (item.bottom - item.top) / HEIGHT
            score = () if item.score is None else (item.score,)
            words = map("{:.12g}".format, (*center, *sides, *score))
            lines += f"{0 if item.listed else 7} {' '.join(words)}\n"
        put(root, f"labels/{picture.stem}.txt", lines)
    (label,) = {item.label for picture in pictures for item in picture.items}
    put(root, "data.yaml", f"train: train.txt\nnames: [{label}]\n")
    put(root, "train.txt", "".join(f"{picture.name}\n" for picture in pictures))


def write_voc(root: Path, pictures: Sequence[Picture]) -> None:
    for picture in pictures:
        height, width = picture.size
        size = "" if height is None else f"<height>{height}</height><width>{width}</width>"
        objects = ""
        for item in picture.items:
            box = f"<xmin>{item.left + 1}</xmin><ymin>{item.top + 1}</ymin>"
            box += f"<xmax>{item.right}</xmax><ymax>{item.bottom}</ymax>"
            score = "" if item.score is None else f"<score>{item.score}</score>"
            objects += f"<object><name>{item.label}</name>{score}<bndbox>{box}</bndbox></object>"
        head = f"<filename>{picture.name}</filename><size>{size}</size>"
        put(root, f"{picture.stem}.xml", f"<annotation>{head}{objects}</annotation>")


def write_geojson(root: Path, pictures: Sequence[Picture]) -> None:
    for picture in pictures:
        features = []
        for item in picture.items:
            x = item.left, item.right, item.right, item.left, item.left
            y = item.top, item.top, item.bottom, item.bottom, item.top
            ring = [list(map(picture.number, point)) for point in zip(x, y, strict=True)]
            properties = {"classification": {"name": item.label} if item.label else None}
            if item.score is not None:
                properties["measurements"] = {"detection score": item.score}
            geometry = {"type": "Polygon", "coordinates": [ring]}
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
        height, width = picture.size
        content = {"type": "FeatureCollection", "image": picture.name, "features": features}
        content |= {"height": height, "width": width}
        put(root, f"{picture.stem}.geojson", json.dumps(content))


def write_csv(root: Path, pictures: Sequence[Picture]) -> None:
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for picture in pictures:
        height, width = ("" if side is None else side for side in picture.size)
        head = f"{picture.name},{width},{height}"
        edges = [f"{i.label},{i.left},{i.top},{i.right},{i.bottom}" for i in picture.items]
        rows += [f"{head},{cell}" for cell in edges or [",,,,"]]
    put(root, "_annotations.csv", "\n".join(rows))


def write_labelme(root: Path, pictures: Sequence[Picture]) -> None:
    for picture in pictures:
        shapes = []
        for item in picture.items:
            corners = (item.left, item.top), (item.right, item.bottom)
            points = [list(map(picture.number, corner)) for corner in corners]
            shapes.append({"label": item.label, "points": points, "shape_type": "rectangle"})
        height, width = picture.size
        content = {"version": "5.5.0", "shapes": shapes, "imagePath": picture.name}
        content |= {"imageHeight": height, "imageWidth": width, "imageData": None}
        put(root, f"{picture.stem}.json", json.dumps(content))


def write_label_studio(root: Path, pictures: Sequence[Picture]) -> None:
    tasks = []
    for picture in pictures:
        height, width = picture.size
        regions = []
        for item in picture.items:
            value = {
                "x": item.left / WIDTH * 100,
                "y": item.top / HEIGHT * 100,
                "width": (item.right - item.left) / WIDTH * 100,
                "height": (item.bottom - item.top) / HEIGHT * 100,
            }
            value = {key: picture.number(side) for key, side in value.items()}
            value["rectanglelabels"] = [item.label] if item.label else []
            size = {"original_height": height, "original_width": width}
            regions.append({"type": "rectanglelabels", "value": value, **size})
        address = f"/data/upload/4/3f2a1b9c-{picture.name}"
        address = address if picture.name.isascii() and "/" not in picture.name else picture.name
        address = picture.name if "\\" in picture.name else address
        tasks.append({"data": {"image": address}, "annotations": [{"result": regions}]})
    put(root, "export.json", json.dumps(tasks))


def write_crops(root: Path, pictures: Sequence[Picture]) -> None:
    """Nothing: the folders say all."""


WRITERS: dict[str, Writer] = {
    "coco": write_coco,
    "yolo": write_yolo,
    "voc": write_voc,
    "geojson": write_geojson,
    "csv": write_csv,
    "image-folder": write_crops,
    "labelme": write_labelme,
    "label-studio": write_label_studio,
}
CROPS = "image-folder"
JSON = ("coco", "geojson", "labelme", "label-studio")
ONE_FILE = ("coco", "csv", "label-studio")
"""Formats that have all images in one file."""


def place_of(reader: str, name: str, folder: str = "") -> str:
    """Where a format has an image."""
    if reader == CROPS:
        return f"{folder or 'train'}/monocyte/{name}"
    return f"{folder}/{'images/' if reader == 'yolo' else ''}{name}" if folder else f"images/{name}"


Make = Callable[[Path, str], bool]
"""Makes a set of a kind for a reader in a folder; false where there is no such set."""


def simple(
    picture: Picture, only: Sequence[str] = (*WRITERS,), *, found: str = "images/a.png"
) -> Make:
    """One image as a tool says it, which lies at a place in or beside the set."""

    def make(root: Path, reader: str) -> bool:
        if reader not in only or reader == CROPS:
            return False
        image(root, found)
        WRITERS[reader](root, [picture])
        return True

    return make


def with_item(item: Item, only: Sequence[str] = (*WRITERS,)) -> Make:
    """A good cell and another one."""
    return simple(Picture(items=(Item(), item)), only)


def with_second(
    second: Picture, content: bytes | None = None, only: Sequence[str] = (*WRITERS,)
) -> Make:
    """A good image and another one, whose file holds something else, or is not there if empty."""

    def make(root: Path, reader: str) -> bool:
        if reader not in only:
            return False
        image(root, place_of(reader, "a.png"))
        place = place_of(reader, second.name)
        image(root, place) if content is None else put(root, place, content)
        if content == b"":
            (root / place).unlink()
        WRITERS[reader](root, [Picture(), second])
        return True

    return make


def changed(change: Callable[[bytes], bytes], label: str = "monocyte") -> Make:
    """Every text file of a set in another way."""

    def make(root: Path, reader: str) -> bool:
        image(root, place_of(reader, "a.png"))
        WRITERS[reader](root, [Picture(items=(Item(label=label),))])
        texts = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".png"]
        for path in texts:
            path.write_bytes(change(path.read_bytes()))
        return bool(texts)

    return make


def to_windows(data: bytes) -> bytes:
    text = data.decode()
    if text[0] in "{[":
        text = json.dumps(json.loads(text), ensure_ascii=False)
    return text.encode("cp1252")


def in_capitals(root: Path, reader: str) -> bool:
    image(root, place_of(reader, "A.PNG"))
    WRITERS[reader](root, [Picture("A.PNG")])
    for path in list(root.rglob("*.*")):
        # data.yaml names this one.
        if path.name != "train.txt":
            path.rename(path.with_suffix(path.suffix.upper()))
    return True


def in_split_folders(root: Path, reader: str) -> bool:
    for folder, name in (("train", "a.png"), ("valid", "b.png"), ("TEST", "c.png")):
        image(root, place_of(reader, name, folder))
        WRITERS[reader](root / folder, [Picture(name)])
    if reader == "yolo":
        for folder in ("train", "valid", "TEST"):
            (root / folder / "data.yaml").unlink()
            (root / folder / "train.txt").unlink()
        put(root, "data.yaml", "names: [monocyte]\n")
    return True


def in_two_splits(root: Path, reader: str) -> bool:
    if reader == CROPS:
        return False
    image(root, "images/a.png")
    if reader == "yolo":
        WRITERS[reader](root, [Picture()])
        put(root, "data.yaml", "train: train.txt\nval: val.txt\nnames: [monocyte]\n")
        put(root, "val.txt", "a.png\nb.png\n")
        image(root, "images/b.png")
        return True
    for folder in ("train", "valid"):
        WRITERS[reader](root / folder, [Picture()])
    return True


def deep(root: Path, reader: str) -> bool:
    put(root, "set/README.txt", "read me")
    image(root / "set/data", place_of(reader, "a.png"))
    WRITERS[reader](root / "set/data", [Picture()])
    return True


def with_litter(root: Path, reader: str) -> bool:
    image(root, place_of(reader, "a.png"))
    WRITERS[reader](root, [Picture()])
    litter(root)
    return True


def with_damaged_file(root: Path, reader: str) -> bool:
    """A second file of labels, which is none."""
    if reader in (CROPS, "csv"):
        return False
    image(root, place_of(reader, "a.png"))
    image(root, place_of(reader, "b.png"))
    WRITERS[reader](root, [Picture()])
    suffixes = {"yolo": "txt", "voc": "xml", "geojson": "geojson"}
    folder = "labels/" if reader == "yolo" else ""
    if reader == "yolo":
        put(root, "train.txt", "a.png\nb.png\n")
    put(root, f"{folder}b.{suffixes.get(reader, 'json')}", b"<annotation> 0 \xff\xfe {")
    return True


def turned(root: Path, reader: str) -> bool:
    """A photo that lies on its side, as Exif says."""
    place = root / place_of(reader, "a.jpg")
    place.parent.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(place, exif=exif)
    WRITERS[reader](root, [Picture("a.jpg")])
    return True


@dataclass(frozen=True)
class Kind:
    """One kind of input, with the boxes that a person has there."""

    name: str
    make: Make
    boxes: Sequence[tuple[float, ...]] = (BOX,)
    splits: Sequence[str] = ("train",)


OVER = Item(50, 30, 65, 45)
EMPTY = Picture("b.png", ())
NFC = unicodedata.normalize("NFC", "Zellé.png")
NFD = unicodedata.normalize("NFD", "Zellé.png")
WITH_SIZE = ("coco", "voc", "geojson", "csv", "labelme", "label-studio")
ANNOTATED = tuple(set(WRITERS) - {CROPS})
TRAIN_TWICE = ("train", "train")
KINDS = (
    Kind(
        "image named as on Windows, `D:\\data\\a.png`",
        simple(Picture("D:\\data\\a.png", label_file="a")),
    ),
    Kind(
        "image named by a path of elsewhere, `../../up/a.png`",
        simple(Picture("../../up/a.png", label_file="a")),
    ),
    Kind("image outside the set", simple(Picture("../a.png", label_file="a"), found="../a.png")),
    Kind(
        "letters of its name composed in another way", simple(Picture(NFC), found=f"images/{NFD}")
    ),
    Kind("photo that its camera turned", turned),
    Kind("size of the image missing", simple(Picture(size=(None, None)), WITH_SIZE)),
    Kind("size 0", simple(Picture(size=(0, 0)), WITH_SIZE)),
    Kind("size 60.0", simple(Picture(size=(40.0, 60.0)), WITH_SIZE)),
    Kind(
        "another size than the image's",
        with_second(Picture("b.png", size=(41, 60)), None, WITH_SIZE),
    ),
    Kind("image missing", with_second(Picture("b.png"), b"", ANNOTATED)),
    Kind("image damaged", with_second(Picture("b.png"), b"no image")),
    Kind("image without cells", with_second(EMPTY, None, ANNOTATED), splits=TRAIN_TWICE),
    Kind("image in two splits", in_two_splits, (BOX,), ("val", "val")),
    Kind("cell over the edge of the image", with_item(OVER), (BOX, (30, 50, 45, 65))),
    Kind("cell without width", with_item(Item(5, 5, 5, 9))),
    Kind("cell at NaN", with_item(Item(NAN, 5, 15, 9))),
    Kind("cell outside its image", with_item(Item(200, 1, 220, 11))),
    Kind(
        "cell without a class",
        with_item(Item(30, 5, 40, 9, label=""), tuple(set(WRITERS) - {"yolo", "coco"})),
    ),
    Kind(
        "class that the set does not list",
        with_item(Item(30, 5, 40, 9, listed=False), ("coco", "yolo")),
    ),
    Kind("blanks around a class", simple(Picture(items=(Item(label=" monocyte "),)))),
    Kind("the same box twice", with_item(Item())),
    Kind(
        "confidence beside the box",
        simple(Picture(items=(Item(score=0.9),)), ("coco", "yolo", "voc", "geojson")),
    ),
    Kind('numbers as texts, `"12.5"`', simple(Picture(number=str), JSON)),
    Kind("UTF-8 with a mark (BOM)", changed(b"\xef\xbb\xbf".__add__)),
    Kind("UTF-16", changed(lambda data: data.decode().encode("utf-16"))),
    Kind("Windows-1252", changed(to_windows, "géant")),
    Kind("line ends of Windows", changed(lambda data: data.replace(b"\n", b"\r\n"))),
    Kind("suffixes in capitals", in_capitals),
    Kind(
        "`train`, `valid` and `TEST` folders",
        in_split_folders,
        3 * (BOX,),
        ("test", "train", "val"),
    ),
    Kind("set in folders of folders", deep),
    Kind("other files beside it", with_litter),
    Kind("one file of labels damaged", with_damaged_file),
)


def outcome(kind: Kind, reader: str) -> str:
    """What a reader makes of a kind: one of the words above; wrong data is an AssertionError."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "set")
        root.mkdir()
        if not kind.make(root, reader):
            return NONE
        try:
            content = read_set(root)
        except WbcError:
            return REFUSED
    expected = [(0, 0, HEIGHT, WIDTH) for _ in kind.boxes] if reader == CROPS else [*kind.boxes]
    assert content.format == reader, content.format
    assert boxes(content.fields) == expected, boxes(content.fields)
    assert all(label == label.strip() for label in content.classes)
    if content.notes:
        return LEFT_OUT
    assert sorted(field.split for field in content.fields) == sorted(kind.splits)
    return READ


def table() -> str:
    """The table of the docs, measured."""
    lines = [f"| kind | {' | '.join(WRITERS)} |", f"|{'---|' * (len(WRITERS) + 1)}"]
    for kind in KINDS:
        measured = [outcome(kind, reader) for reader in WRITERS]
        lines += [f"| {kind.name} | {' | '.join(measured)} |"]
    return "\n".join(lines) + "\n"


def told() -> str:
    """The table as the docs have it."""
    return DOCS.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCS.write_text(f"{before}{BEGIN}{table()}{END}{after}", encoding="utf-8")
