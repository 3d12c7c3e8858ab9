"""The public image sets as training manifests: data-set spellings and splits end here.

Each function yields rows ``path, label, split, source, top, left, bottom, right`` for
:func:`napari_wbc.train.dataset.read_training_set`. The folder is that of ``NAPARI_WBC_DATA``.
"""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from defusedxml.ElementTree import parse

DATA = Path(os.environ.get("NAPARI_WBC_DATA", Path(__file__).parents[2] / "shared" / "data"))
COLUMNS = ("path", "label", "split", "source", "top", "left", "bottom", "right")
Row = dict[str, Any]

PBC_NAMES = {"ig": "immature granulocyte"}
CHULA_NAMES = ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")
SEG_NAMES = {"1": "neutrophil", "2": "lymphocyte", "3": "monocyte", "4": "eosinophil", "5": "basophil"}


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
            yield {"path": file, "label": PBC_NAMES.get(label, label), "split": split, "source": "pbc"}


def chula(_cache: Path) -> Iterator[Row]:
    """Chula: every box with its class, whole slides on one side."""
    root = DATA / "chula_wbc"
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


def voc_boxes(path: Path) -> list[tuple[float, float, float, float]]:
    """WBC boxes of BCCD's Pascal VOC files, (top, left, bottom, right); [] without a file.

    Pascal VOC counts pixels from 1; these boxes agree better with masks and detections when they are
    taken as they are.
    """
    if not path.is_file():
        return []
    boxes = []
    for item in parse(path, forbid_dtd=True).iter("object"):
        if item.findtext("name") == "WBC":
            left, top, right, bottom = (
                float(item.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")
            )
            boxes.append((top, left, bottom, right))
    return boxes


def seg_wbc(cache: Path) -> Iterator[Row]:
    """seg_wbc_dataset2: another laboratory, never trained on, boxes from its masks."""
    root = DATA / "seg_wbc_dataset2"
    labels = {int(row["image ID"]): SEG_NAMES[row["class"]] for row in table(root / "class_labels.csv")}
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


SETS = {"pbc": pbc, "chula": chula, "bccd": bccd, "seg_wbc_dataset2": seg_wbc}


def write_manifest(path: Path, sets: tuple[str, ...], cache: Path) -> Path:
    """Write one manifest of several sets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for name in sets:
            writer.writerows(SETS[name](cache))
    return path


if __name__ == "__main__":
    CACHE = Path(__file__).parents[1] / ".cache"
    print(write_manifest(CACHE / "training.csv", ("pbc", "chula", "bccd"), CACHE))
    print(write_manifest(CACHE / "elsewhere.csv", ("seg_wbc_dataset2",), CACHE))
