"""The public image sets as training manifests: data-set spellings and splits end here.

Each function yields rows ``path, label, split, source, top, left, bottom, right`` for
:func:`napari_wbc.storage.labelled_cells.read_training_set`. The folder is that of ``NAPARI_WBC_DATA``.
"""

from __future__ import annotations

import csv
import hashlib
import os
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from defusedxml.ElementTree import parse

from napari_wbc.detect.outlines import traced

DATA = Path(os.environ.get("NAPARI_WBC_DATA", Path(__file__).parents[2] / "shared" / "data"))
COLUMNS = ("path", "label", "split", "source", "top", "left", "bottom", "right", "outline", "slide")
Row = dict[str, Any]
Edges = tuple[float, float, float, float]
"""Top, left, bottom and right of a box."""

MISPLACED_MASK = "BloodImage_00177"
SMALLEST = 200
"""Smallest component of BCCD's masks that is a cell, in pixels."""

PBC_NAMES = {"ig": "immature granulocyte"}
BLOOD = ("leukocyte", "red cell", "platelet")
CHULA_NAMES = ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")
JHU_NAMES = {name: name for name in (*CHULA_NAMES, "erythroblast", "platelet")} | {
    "band": "neutrophil",
    "lymphocyte_variant": "lymphocyte",
    "ig": "immature granulocyte",
}
SEG_NAMES = {
    "1": "neutrophil",
    "2": "lymphocyte",
    "3": "monocyte",
    "4": "eosinophil",
    "5": "basophil",
}


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def unpacked(archive: Path, cache: Path, suffixes: tuple[str, ...]) -> list[tuple[str, Path]]:
    """Members of an archive, written under ``cache``: their names in the archive and files."""
    members = []
    with zipfile.ZipFile(archive) as file:
        for name in sorted(file.namelist()):
            if name.lower().endswith(suffixes) and ".." not in PurePosixPath(name).parts:
                target = cache / archive.parent.name / archive.stem / PurePosixPath(name)
                if not target.is_file():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(file.read(name))
                members.append((name, target))
    return members


def pbc(cache: Path) -> Iterator[Row]:
    """PBC: single cells, eight classes, in the split of the archives."""
    for split in ("train", "val", "test"):
        for name, file in unpacked(DATA / "pbc" / f"{split}.zip", cache, (".jpg",)):
            label = name.split("/")[0]
            yield {
                "path": file,
                "label": PBC_NAMES.get(label, label),
                "split": split,
                "source": "pbc",
            }


def jhu_apl(_cache: Path) -> Iterator[Row]:
    """Johns Hopkins: single cells of leukaemia patients, of classes that ours have; never trained on."""
    for row in table(DATA / "jhu_apl" / "cells.csv"):
        label = JHU_NAMES.get(row["mapped"], "")
        if label:
            yield {
                "path": DATA / "jhu_apl" / "images" / row["image"],
                "label": label,
                "split": "test",
                "source": "jhu_apl",
                "slide": row["patient"],
            }


def chula(_cache: Path) -> Iterator[Row]:
    """Chula: every box with its class, whole slides on one side."""
    root = DATA / "chula_wbc"
    slides = {row["image"]: row["slide"] for row in table(root / "index.csv")}
    for row in table(root / "splits.csv"):
        image = root / "images" / row["image"]
        height, width = cv2.imread(str(image)).shape[:2]
        for line in (root / "labels" / row["image"]).with_suffix(".txt").read_text().splitlines():
            kind, *numbers = line.split()
            x, y, w, h = map(float, numbers)
            yield {
                "path": image,
                "label": CHULA_NAMES[int(kind)],
                "split": row["split"],
                "source": "chula",
                "slide": f"slide-{slides[row['image']]}",
                "top": (y - h / 2) * height,
                "left": (x - w / 2) * width,
                "bottom": (y + h / 2) * height,
                "right": (x + w / 2) * width,
            }


def bccd(_cache: Path) -> Iterator[Row]:
    """BCCD: fields with one leukocyte box and one subtype, the box being Pascal VOC's."""
    root = DATA / "bccd"
    labels = {int(row["Image"]): row["Category"].lower() for row in table(root / "labels.csv")}
    names = set(CHULA_NAMES)
    for row in table(root / "splits.csv"):
        label = labels.get(int(row["image"].split("_")[1].split(".")[0]), "")
        boxes = voc_boxes(root / "Annotations" / f"{Path(row['image']).stem}.xml")
        if label in names and len(boxes) == 1:
            top, left, bottom, right = boxes[0]
            yield {
                "path": root / "JPEGImages" / row["image"],
                "label": label,
                "split": row["split"],
                "source": "bccd",
                "top": top,
                "left": left,
                "bottom": bottom,
                "right": right,
            }


def voc_boxes(path: Path) -> list[Edges]:
    """WBC boxes of BCCD's Pascal VOC files, (top, left, bottom, right); [] without a file.

    Pascal VOC counts pixels from 1; these boxes agree better with masks and detections when they
    are taken as they are.
    """
    return [box for kind, box in voc_objects(path) if kind == "WBC"]


def voc_objects(path: Path) -> list[tuple[str, Edges]]:
    """Objects of a Pascal VOC file with their boxes, (top, left, bottom, right); [] without a file."""
    if not path.is_file():
        return []
    objects = []
    for item in parse(path, forbid_dtd=True).iter("object"):
        left, top, right, bottom = (
            float(item.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")
        )
        objects.append((item.findtext("name"), (top, left, bottom, right)))
    return objects


def seg_wbc(cache: Path) -> Iterator[Row]:
    """seg_wbc_dataset2: another laboratory, never trained on, boxes from its masks."""
    root = DATA / "seg_wbc_dataset2"
    labels = {
        int(row["image ID"]): SEG_NAMES[row["class"]] for row in table(root / "class_labels.csv")
    }
    for _name, file in unpacked(root / "images_and_masks.zip", cache, (".bmp", ".png")):
        if file.suffix == ".bmp":
            mask = cv2.imread(str(file.with_suffix(".png")), cv2.IMREAD_GRAYSCALE) > 60
            rows, cols = np.nonzero(mask)
            yield {
                "path": file,
                "label": labels[int(file.stem)],
                "split": "test",
                "source": "seg_wbc_dataset2",
                "top": rows.min(),
                "left": cols.min(),
                "bottom": rows.max() + 1,
                "right": cols.max() + 1,
            }


def bccd_fields(_cache: Path) -> Iterator[Row]:
    """BCCD for a detector: every leukocyte with its outline, from the hand-drawn masks."""
    root = DATA / "bccd"
    for row in table(root / "splits.csv"):
        name = Path(row["image"]).stem
        if name == MISPLACED_MASK:
            continue
        own = {"path": root / "JPEGImages" / row["image"], "split": row["split"], "source": "bccd"}
        masks = bccd_masks(name)
        for mask in masks:
            ring = traced(np.pad(mask.astype(np.uint8), 1)) - 1
            yield {
                **own,
                "label": "leukocyte",
                "outline": " ".join(f"{r:.2f},{c:.2f}" for r, c in ring),
            }
        if not masks:
            yield {**own, "label": ""}


def bccd_masks(name: str) -> list[npt.NDArray[np.bool_]]:
    """Masks of the single leukocytes of one BCCD field, shape (480, 640).

    A component with the centres of several boxes in it is parted between them.
    """
    file = DATA / "bccd" / "masks" / f"{name.replace('_', '_Mask_')}.png"
    mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 60
    boxes = np.array(voc_boxes(DATA / "bccd" / "Annotations" / f"{name}.xml")).reshape(-1, 4)
    return cell_masks(mask, (boxes[:, :2] + boxes[:, 2:]) / 2)


def cell_masks(
    mask: npt.NDArray[np.bool_], centers: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.bool_]]:
    """Components of a mask, parted between the centres of shape (n, 2), (row, col), that lie in their boxes.

    What is smaller than 200 pixels is no cell.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    found = []
    for label in range(1, len(stats)):
        if stats[label, cv2.CC_STAT_AREA] < SMALLEST:
            continue
        left, top, width, height = stats[label, :4]
        inside = ((centers > [top, left]) & (centers < [top + height, left + width])).all(axis=1)
        middles = centers[inside] if inside.any() else np.array([[top, left]])
        pixels = np.argwhere(labels == label)
        owner = ((pixels[:, None] - middles) ** 2).sum(axis=-1).argmin(axis=1)
        for k in range(len(middles)):
            one = np.zeros(mask.shape, np.uint8)
            one[tuple(pixels[owner == k].T)] = 1
            _, parts, sizes, _ = cv2.connectedComponentsWithStats(one)
            if sizes[1:, cv2.CC_STAT_AREA].max(initial=0) >= SMALLEST:
                found.append(parts == 1 + sizes[1:, cv2.CC_STAT_AREA].argmax())
    return found


def chula_fields(cache: Path) -> Iterator[Row]:
    """Chula for a detector: every box but slivers at the border."""
    for row in chula(cache):
        if min(row["bottom"] - row["top"], row["right"] - row["left"]) >= 12:
            yield row


def side_of(group: str) -> int:
    """One of six sides, by a hash: all that share a group are on one of them."""
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % 6


def txl_split(group: str) -> str:
    """Split of an overlap group of TXL-PBC, 5 to 1."""
    return "train" if side_of(group) else "val"


def bionet_split(scene: str) -> str:
    """Split of a scene of Bio-net, 4 to 1 to 1."""
    return {0: "val", 1: "test"}.get(side_of(scene), "train")


def txl_pbc_fields(_cache: Path, kinds: tuple[str, ...] = BLOOD[:1]) -> Iterator[Row]:
    """The PBC part of TXL-PBC, 360 x 363 pixels, split by a hash of the overlap group, 5 to 1."""
    return _txl_fields("pbc", "txl_pbc", kinds)


def raabin_fields(_cache: Path, kinds: tuple[str, ...] = BLOOD[:1]) -> Iterator[Row]:
    """The Raabin part of TXL-PBC, 575 x 575 pixels, split by a hash of the overlap group, 5 to 1."""
    return _txl_fields("raabin", "raabin", kinds)


def _txl_fields(part: str, source: str, kinds: tuple[str, ...]) -> Iterator[Row]:
    """Boxes of a part of TXL-PBC, under the name of a source; a field without a leukocyte is no truth."""
    root = DATA / "txl_pbc"
    for row in table(root / "index.csv"):
        if row["source"] != part or row["n_wbc_boxes"] == "0":
            continue
        image = root / "images" / row["image"]
        height, width = cv2.imread(str(image)).shape[:2]
        for line in (root / "labels" / row["image"]).with_suffix(".txt").read_text().splitlines():
            kind, *numbers = line.split()
            x, y, w, h = map(float, numbers[:4])
            if BLOOD[int(kind)] in kinds:
                yield {
                    "path": image,
                    "label": BLOOD[int(kind)],
                    "split": txl_split(row["overlap_group"]),
                    "source": source,
                    "top": (y - h / 2) * height,
                    "left": (x - w / 2) * width,
                    "bottom": (y + h / 2) * height,
                    "right": (x + w / 2) * width,
                }


def bionet_fields(_cache: Path, kinds: tuple[str, ...] = BLOOD[:1]) -> Iterator[Row]:
    """Bio-net, 640 x 480 pixels, whole scenes on one side."""
    root = DATA / "bionet"
    boxes = bionet_boxes()
    for row in table(root / "scenes.csv"):
        own = {
            "path": root / "images" / row["image"],
            "split": bionet_split(row["scene"]),
            "source": "bionet",
        }
        shown = [(label, edges) for label, edges in boxes[row["image"]] if label in kinds]
        for label, (top, left, bottom, right) in shown:
            yield {
                **own,
                "label": label,
                "top": top,
                "left": left,
                "bottom": bottom,
                "right": right,
            }
        if not shown:
            yield {**own, "label": ""}


def bionet_boxes() -> dict[str, list[tuple[str, Edges]]]:
    """Labels and boxes of all cells of Bio-net by image, [] for an image without one."""
    names = dict(zip(("WBC", "RBC", "PLT"), BLOOD, strict=True))
    boxes: dict[str, list[tuple[str, Edges]]] = defaultdict(list)
    for row in table(DATA / "bionet" / "boxes.csv"):
        top, left, bottom, right = (float(row[e]) for e in ("top", "left", "bottom", "right"))
        boxes[row["image"]].append((names[row["name"]], (top, left, bottom, right)))
    return boxes


def raabin(cache: Path) -> Iterator[Row]:
    """Leukocytes of Raabin whose class was read for this project, in the split of its fields."""
    return read_here("raabin", raabin_fields(cache))


def bionet(cache: Path) -> Iterator[Row]:
    """Leukocytes of Bio-net whose class was read for this project, in the split of its fields."""
    return read_here("bionet", bionet_fields(cache))


def bionet_cells(cache: Path) -> Iterator[Row]:
    """Those of Bio-net to train on: its validation cells have copies among them."""
    return (row for row in bionet(cache) if row["split"] == "train")


def read_here(source: str, leukocytes: Iterator[Row]) -> Iterator[Row]:
    """The boxes of a source that ``labels/read.csv`` names, with its labels."""
    labels = {
        (row["image"], int(row["leukocyte"])): row["label"]
        for row in table(Path(__file__).parent / "labels" / "read.csv")
        if row["source"] == source
    }
    count: Counter[str] = Counter()
    for row in leukocytes:
        if not row["label"]:
            continue
        name = row["path"].name
        label = labels.get((name, count[name]))
        count[name] += 1
        if label is not None:
            yield row | {"label": label}


def pbc_fields(cache: Path, each: int = 120) -> Iterator[Row]:
    """PBC for a detector: the first 120 images of each class of its training archive; platelets show none."""
    taken: Counter[str] = Counter()
    for row in pbc(cache):
        taken[row["label"]] += row["split"] == "train"
        if row["split"] == "train" and taken[row["label"]] <= each:
            yield row


def bccd_blood_fields(cache: Path) -> Iterator[Row]:
    """Leukocytes, red cells and platelets of BCCD, which boxes few of its red cells in many fields."""
    root = DATA / "bccd"
    names = dict(zip(("WBC", "RBC", "Platelets"), BLOOD, strict=True))
    for row in bccd_fields(cache):
        if row["label"]:
            yield row
    for row in table(root / "splits.csv"):
        file = root / "Annotations" / f"{Path(row['image']).stem}.xml"
        for kind, (top, left, bottom, right) in voc_objects(file):
            if kind != "WBC" and bottom > top and right > left:
                yield {
                    "path": root / "JPEGImages" / row["image"],
                    "label": names[kind],
                    "split": row["split"],
                    "source": "bccd",
                    "top": top,
                    "left": left,
                    "bottom": bottom,
                    "right": right,
                }


def blood_fields(cache: Path) -> Iterator[Row]:
    """Leukocytes, red cells and platelets: the boxes of both parts of TXL-PBC and of Bio-net.

    Not those of BCCD: who learns from fields whose red cells are boxed in part leaves red cells out.
    """
    for reader in (txl_pbc_fields, raabin_fields, bionet_fields):
        for row in reader(cache, BLOOD):
            if row["label"]:
                yield row


def other_cells(cache: Path, each: int = 2) -> Iterator[Row]:
    """What is no leukocyte, for the training of a classifier: platelets, red cells and background.

    Every platelet of Bio-net and Raabin, of the class platelet, and ``each`` red cells a field, of
    no class; as many places of Chula's and BCCD's fields that touch no leukocyte.
    """
    for reader in (raabin_fields, bionet_fields):
        red: Counter[Path] = Counter()
        for row in reader(cache, BLOOD[1:]):
            red[row["path"]] += row["label"] == "red cell"
            wanted = row["label"] == "platelet" or red[row["path"]] <= each
            if row["label"] and row["split"] == "train" and wanted:
                yield row
    rng = np.random.default_rng(0)
    for reader in (chula, bccd):
        by_image: dict[Path, list[Row]] = defaultdict(list)
        for row in reader(cache):
            if row["split"] == "train":
                by_image[row["path"]].append(row)
        for path, cells in by_image.items():
            for place in places_beside(path, cells, each, rng):
                yield {"path": path, "label": "background", "split": "train", **place} | {
                    "source": cells[0]["source"],
                    "slide": cells[0].get("slide", ""),
                }


def places_beside(
    path: Path, cells: list[Row], count: int, rng: np.random.Generator
) -> Iterator[dict[str, float]]:
    """Edges of squares of a field that touch none of its cells, 0.4 to 1.2 times as large."""
    height, width = cv2.imread(str(path)).shape[:2]
    boxes = np.array([[row[edge] for edge in ("top", "left", "bottom", "right")] for row in cells])
    side = min(np.median(boxes[:, 2:] - boxes[:, :2]), height / 1.2, width / 1.2)
    found = 0
    # As many draws a field whatever is found, so that the next field's do not depend on it.
    for _ in range(count * 20):
        size = side * rng.uniform(0.4, 1.2)
        top = rng.uniform(0, height - size)
        left = rng.uniform(0, width - size)
        square = np.array([top, left, top + size, left + size])
        apart = (boxes[:, :2] > square[2:]).any(1) | (boxes[:, 2:] < square[:2]).any(1)
        if apart.all() and found < count:
            found += 1
            yield dict(zip(("top", "left", "bottom", "right"), square.tolist(), strict=True))


SETS = {
    "other_cells": other_cells,
    "pbc": pbc,
    "chula": chula,
    "bccd": bccd,
    "raabin": raabin,
    "bionet": bionet,
    "bionet_cells": bionet_cells,
    "seg_wbc_dataset2": seg_wbc,
    "bccd_fields": bccd_fields,
    "chula_fields": chula_fields,
    "txl_pbc_fields": txl_pbc_fields,
    "raabin_fields": raabin_fields,
    "bionet_fields": bionet_fields,
    "pbc_fields": pbc_fields,
    "blood_fields": blood_fields,
}
CELLS = ("pbc", "chula", "bccd", "other_cells")
"""What the first stages of the shipped classifiers are trained and chosen on."""
ALL_CELLS = (*CELLS, "raabin", "bionet_cells")
"""What their last stages are trained and chosen on."""
FIELDS = (
    "bccd_fields",
    "chula_fields",
    "txl_pbc_fields",
    "raabin_fields",
    "bionet_fields",
    "pbc_fields",
)
"""What the shipped detector is trained and chosen on."""
LABORATORIES = {
    "bccd": ("bccd_fields",),
    "chula": ("chula_fields",),
    "pbc": ("txl_pbc_fields", "pbc_fields"),
    "raabin": ("raabin_fields",),
    "bionet": ("bionet_fields",),
}
"""Each laboratory's part of :data:`FIELDS`."""


def write_manifest(path: Path, sets: tuple[str, ...], cache: Path) -> Path:
    """Write one manifest of several sets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for name in sets:
            writer.writerows(SETS[name](cache))
    return path


def write_without(laboratory: str, cache: Path) -> Path:
    """Write the manifest of :data:`FIELDS` without one of :data:`LABORATORIES`."""
    left = tuple(name for name in FIELDS if name not in LABORATORIES[laboratory])
    return write_manifest(cache / f"fields_without_{laboratory}.csv", left, cache)


if __name__ == "__main__":
    CACHE = Path(__file__).parents[1] / ".cache"
    print(write_manifest(CACHE / "training.csv", CELLS, CACHE))
    print(write_manifest(CACHE / "training_all.csv", ALL_CELLS, CACHE))
    print(write_manifest(CACHE / "elsewhere.csv", ("seg_wbc_dataset2",), CACHE))
    print(write_manifest(CACHE / "fields.csv", FIELDS, CACHE))
    for LABORATORY in LABORATORIES:
        print(write_without(LABORATORY, CACHE))
    print(write_manifest(CACHE / "blood.csv", ("blood_fields",), CACHE))
