"""What a YOLO set says of itself: its classes, and the images of each split.

It stands in ``data.yaml``, as Ultralytics documents it (``path``, ``train``, ``val``, ``test`` and
``names``; a split is a folder, a text file that lists images, or a list of these), in ``obj.data``,
as Darknet has it and CVAT exports it, or is told by the names of files and folders.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.guard import MAX_YAML, inside, read_text, read_yaml
from napari_wbc.files.visible import visible, with_suffix
from napari_wbc.model.split import SPLITS, farthest
from napari_wbc.storage.formats.images import Images
from napari_wbc.storage.formats.left_out import LeftOut
from napari_wbc.storage.formats.reading import check_count, naming, visible_images
from napari_wbc.storage.formats.splits import split_named

MAX_LISTED = 100_000
"""Images of a list."""
YAML = (".yaml", ".yml")


def head_file(root: Path) -> Path | None:
    """The YAML file or the ``.data`` file of a set; None where there is none.

    Raises
    ------
    WbcError
        If there are several, and none has the usual name.
    """
    # In a folder of its own, "path" leads to that of the images.
    for pattern in ("*", "*/*"):
        if paths := with_suffix(visible(root, pattern), *YAML, ".data"):
            return _likeliest(paths)
    return None


def _likeliest(paths: Sequence[Path]) -> Path | None:
    """The file among some that tells of a YOLO set; None where none of them does."""
    usual = [path for path in paths if path.stem.lower() in ("data", "dataset")]
    # Other programs' settings may lie beside it.
    told = [path for path in paths if path.suffix.lower() == ".data" or _has_names(path)]
    found = usual or told or [path for path in paths if path.suffix.lower() in YAML]
    if len(found) > 1 and not usual:
        raise WbcError(f"{len(found)} YAML files and no data.yaml; give one this name.")
    return found[0] if found else None


def _has_names(path: Path) -> bool:
    try:
        data = read_yaml(path, any_encoding=True)
    except ReadError:
        return False
    return isinstance(data, dict) and "names" in data


@dataclass(frozen=True, slots=True)
class Head:
    """What the YAML or ``.data`` file of a set says.

    Parameters
    ----------
    root : Path
        Folder of the set.
    path : Path, optional
        The file; None where there is none.
    said : mapping
        What it says, by its keys.
    """

    root: Path
    path: Path | None
    said: Mapping[object, object]


def read_head(root: Path, path: Path | None) -> Head:
    """Read a YAML or ``.data`` file of a set; without one nothing is said."""
    if path is None:
        return Head(root, None, {})
    inside(root, path.relative_to(root).as_posix())
    if path.suffix.lower() == ".data":
        said: dict[object, object] = {}
        for line in read_text(path, max_bytes=MAX_YAML, any_encoding=True).splitlines():
            key, equals, value = line.partition("=")
            if equals:
                said[key.strip()] = value.strip()
        return Head(root, path, said)
    data = read_yaml(path, any_encoding=True)
    if not isinstance(data, dict) or "names" not in data:
        raise ReadError(f"{path}: says no names of classes; add 'names'.")
    return Head(root, path, data)


def classes_of(head: Head) -> tuple[str, ...]:
    """The classes of a set, in order."""
    root = head.root
    places = ["classes.txt", "labels/classes.txt", "obj.names"]
    if head.path and head.path.suffix.lower() == ".data":
        file = _found(head, str(head.said.get("names", "")))
        places = [file.relative_to(root).as_posix()] if file else places
    elif head.path:
        return _names(head.said["names"])
    for file in (*map(root.joinpath, places), *visible(root, "*/classes.txt")):
        if file.is_file():
            inside(root, file.relative_to(root).as_posix())
            text = read_text(file, max_bytes=MAX_YAML, any_encoding=True)
            return tuple(map(str.strip, text.rstrip().splitlines()))
    raise WbcError("neither data.yaml nor classes.txt; choose the folder that holds one.")


def _names(names: object) -> tuple[str, ...]:
    if isinstance(names, dict):
        # YAML reads the numbers of classes as numbers, or as texts where they are quoted.
        by_index = dict(zip(map(str, names), names.values(), strict=True))
        names = list(map(by_index.get, map(str, range(len(names)))))
    if not isinstance(names, list) or not set(map(type, names)) <= {str, int}:
        raise WbcError(
            "the YAML's 'names' is no list of names, nor 0: name, 1: name and so on; correct it."
        )
    return tuple(map(str, names))


def images_by_split(head: Head, images: Images, left_out: LeftOut) -> dict[Path, str]:
    """The split of each image of a set.

    What is held out stays so: an image that two splits name is in the one farther from train,
    unless both name the same images, since some sets have their training images as validation too.
    """
    told: dict[str, object] = {}
    for key, value in head.said.items():
        if (split := split_named(str(key))) and value:
            told[split] = value
    listed: dict[str, dict[Path, str]] = {}
    for split in SPLITS:
        # A name that is told and leads nowhere may be that of a folder on another computer.
        listed[split] = _told_images(head, told.get(split), images, left_out) or _usual_images(
            head.root, split, images, left_out
        )
    if not any(listed.values()):
        if len({str(value) for value in told.values()}) > 1:
            says = ", ".join(f"{split}: {str(value)[:60]}" for split, value in told.items())
            raise WbcError(
                f"{says} are not in this set, so which of its images are held out is not known; "
                "choose the folder that holds them, or correct these names."
            )
        folder = "images" if (head.root / "images").is_dir() else "."
        listed["train"] = _images_at(head.root, inside(head.root, folder), images, left_out)
    for split in told:
        if not listed[split]:
            said = f"{head.path}: {split}: {str(told[split])[:60]} is not in this set."
            left_out.notes.append(said)
    return _one_split_each(listed)


def _one_split_each(listed: Mapping[str, Mapping[Path, str]]) -> dict[Path, str]:
    splits: dict[Path, str] = {}
    before: list[set[Path]] = []
    for split, found in listed.items():
        if set(found) not in before:
            for image, below in found.items():
                splits[image] = farthest(split, below, splits.get(image, ""))
        before.append(set(found))
    return splits


def _told_images(head: Head, value: object, images: Images, left_out: LeftOut) -> dict[Path, str]:
    """The images that the file names for a split, each with the split of its folder, if any."""
    found: dict[Path, str] = {}
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, str) and (place := _found(head, entry)):
            found |= _images_at(head.root, place, images, left_out)
    return found


def _found(head: Head, entry: str) -> Path | None:
    """The file or folder of a set that an entry means; None where it is not there."""
    for place in _places(head, entry):
        # Out of the set, though another computer may have it there.
        if not place.startswith(("/", "..")) and (head.root / place).exists():
            return inside(head.root, place)
    return None


def _places(head: Head, entry: str) -> Iterator[str]:
    """Where an entry may be, relative to the set, the likeliest first."""
    beside = head.path.parent.relative_to(head.root).as_posix() if head.path else "."
    above = head.said.get("path")
    base = _posix(above) if isinstance(above, str) else ""
    plain = _posix(entry)
    yield posixpath.normpath(posixpath.join(beside, base, plain))
    yield posixpath.normpath(posixpath.join(beside, plain))
    # Roboflow's names are relative to a folder that is not there.
    below = re.sub(r"^(\.{1,2}/|/)+", "", plain)
    yield posixpath.normpath(posixpath.join(beside, below))
    yield posixpath.normpath(below)
    # Of a path of another computer two names at the end are telling, one is not.
    parts = PurePosixPath(below).parts
    for i in range(1, len(parts) - 1):
        yield PurePosixPath(*parts[i:]).as_posix()


def _posix(place: str) -> str:
    return re.sub(r"^[A-Za-z]:", "", place.strip().replace("\\", "/"))


def _images_at(root: Path, place: Path, images: Images, left_out: LeftOut) -> dict[Path, str]:
    """The images of a folder, or those that a text file lists."""
    if place.is_dir():
        below: dict[Path, str] = {}
        folder = place.relative_to(root).as_posix()
        for image in _in_folder(root, folder):
            parts = image.relative_to(place).parts[:-1]
            below[image] = farthest(*map(split_named, parts))
        return below
    if place.suffix.lower() != ".txt":
        return {}
    listed: dict[Path, str] = {}
    beside = place.parent.relative_to(root).as_posix()
    for i, line in enumerate(_lines(place), start=1):
        if name := line.strip():
            with left_out.item(f"{place}, line {i}"):
                image = images.find((beside, ".", "images"), name.removeprefix("./"))
                listed[image] = ""
    return listed


def _lines(place: Path) -> list[str]:
    lines = read_text(place, any_encoding=True).splitlines()
    with naming(place):
        check_count(lines, MAX_LISTED, "images")
    return lines


def _in_folder(root: Path, folder: str) -> list[Path]:
    """The images in a folder of a set, and in the folders in it."""
    top = inside(root, folder)
    found = visible_images(visible(top, "**/*"))
    for image in found:
        inside(root, image.relative_to(root).as_posix())
    return found


def _usual_images(root: Path, split: str, images: Images, left_out: LeftOut) -> dict[Path, str]:
    """The images of a split where most sets have them: ``images/SPLIT``, ``SPLIT/images``."""
    for parent in ("images", "Images", "."):
        for folder in filter(Path.is_dir, visible(root / parent, "*")):
            if split_named(folder.name) == split:
                place = folder / "images" if (folder / "images").is_dir() else folder
                if found := _in_folder(root, place.relative_to(root).as_posix()):
                    return dict.fromkeys(found, "")
    for file in with_suffix(visible(root, "*"), ".txt"):
        if split_named(file.stem) == split:
            return _images_at(root, inside(root, file.name), images, left_out)
    return {}
