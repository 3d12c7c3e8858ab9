"""Shipped weights on test images with noise, blur, JPEG, and other light, hue and scale.

    python benchmarks/classification.py noise

Gaussian noise as published, N = I + alpha G, with G of unit deviation and I from 0 to 1. The cell's
box is that of the clean image; everything after it runs on the spoilt one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from crops import CACHE
from leaks import finding
from napari_wbc.classify.predict import load_classifier
from napari_wbc.detect.hsv import one_cell_box
from napari_wbc.imaging.read import read_image
from napari_wbc.model.geometry import BBox
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.storage.labelled_cells import read_training_set
from public_sets import DATA, write_manifest
from record import record

Image = npt.NDArray[np.uint8]
EACH = {"pbc": 35, "chula": 3, "bccd": 3}
"""One of so many test cells."""


def _gaussian(image: Image, alpha: float) -> Image:
    noise = np.random.default_rng(0).standard_normal(image.shape)
    return np.clip(image + 255 * alpha * noise, 0, 255).astype(np.uint8)


def _jpeg(image: Image, quality: float) -> Image:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].copy()


def _hue(image: Image, degrees: float) -> Image:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees / 2)) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _scaled(image: Image, factor: float) -> Image:
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=way)


Spoil = Callable[[Image, float], Image]
KINDS: dict[str, tuple[Spoil, tuple[float, ...]]] = {
    "clean": (lambda image, _: image, (0,)),
    "Gaussian noise, alpha": (_gaussian, (0.05, 0.15, 0.25, 0.35)),
    "blur, part of the cell's side": (lambda image, _: image, (0.02, 0.04, 0.08)),
    "JPEG quality": (_jpeg, (50, 20, 10)),
    "brightness, times": (lambda i, f: np.clip(i * f, 0, 255).astype(np.uint8), (0.6, 0.8, 1.2)),
    "hue, degrees": (_hue, (-20, 20)),
    "scale, times": (_scaled, (0.5, 0.75, 1.5)),
}


def cells() -> list[LabelledCell]:
    """Test cells of the three laboratories."""
    found: list[LabelledCell] = []
    for name, step in EACH.items():
        read = read_training_set(write_manifest(CACHE / f"{name}.csv", (name,), CACHE))
        found += [cell for cell in read if cell.split == "test"][::step]
    return found


def main() -> None:
    """Write the table."""
    classifier = load_classifier(device="cpu")
    preset = classifier.preset
    hits: dict[tuple[str, float, str], list[bool]] = {}
    for path, group in groupby(cells(), key=lambda cell: cell.path):
        here = list(group)
        image = read_image(path)
        boxes = [cell.box or one_cell_box(image, preset.factor) for cell in here]
        side = max(boxes[0].height, boxes[0].width)
        for kind, (spoil, levels) in KINDS.items():
            for level in levels:
                spoilt = (
                    cv2.GaussianBlur(image, (0, 0), level * side)
                    if "blur" in kind
                    else spoil(image, level)
                )
                factor = spoilt.shape[0] / image.shape[0]
                moved = [
                    BBox(*(factor * v for v in (b.top, b.left, b.bottom, b.right))) for b in boxes
                ]
                crops, red = preset.cut(np.ascontiguousarray(spoilt), moved)
                for cell, p in zip(here, classifier.predict(crops, red), strict=True):
                    hits.setdefault((kind, level, cell.source), []).append(
                        p.cell_class == cell.label
                    )
    counts = {s: len(hits["clean", 0, s]) for s in EACH}
    rows = []
    for kind, (_, levels) in KINDS.items():
        for level in levels:
            shares = {s: 100 * np.mean(hits[kind, level, s]) for s in ("pbc", "chula", "bccd")}
            rows.append(
                {
                    "kind": kind,
                    "level": level,
                    **{f"{s}, %": round(v, 1) for s, v in shares.items()},
                }
            )
    record(
        "noise",
        f"Accuracy of {classifier.card.model_id} on spoilt test images",
        pd.DataFrame(rows),
        data=[DATA / name for name in ("pbc", "chula_wbc", "bccd")],
        leaks=[finding(name) for name in ("pbc", "chula", "bccd")],
        notes=[
            f"One of {EACH} test cells of each: {counts}, so a cell is one to four per cent.",
            "alpha 0.05 to 0.35 is the published experiment (Karaddi 2026).",
        ],
    )
