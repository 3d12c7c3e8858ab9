"""How many cells a second are classified, beside a plain loop over cells and beside ResNet50.

    python benchmarks/throughput.py [--weights FILE] [--threads 2] [--repeats 7]

Every repeat runs all ways one after another, so that what else the machine does hits all alike;
ratios are taken within a repeat. CPU, and a GPU where there is one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from fields import read
from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.imaging.crop import cut_crops
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.geometry import BBox
from public_sets import DATA
from record import record

RESNET = "ResNet50, 224 px, network only, batched"
RESNET_ONE = "ResNet50, 224 px, network only, one cell at a time"
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Way:
    """Something that classifies so many cells at a call."""

    device: str
    field: str
    name: str
    cells: int
    run: Callable[[], object]


def mosaic(name: str, n: int) -> tuple[Image, list[BBox]]:
    """Test fields of a set side by side until they hold ``n`` cells, and their boxes."""
    images: list[Image] = []
    boxes: list[BBox] = []
    fields = [field for field in read(name) if field.truths]
    height, width = np.max([field.image.shape[:2] for field in fields], axis=0)
    columns = int(np.ceil(np.sqrt(n)))
    while len(boxes) < n:
        field = fields[len(images) % len(fields)]
        down, right = (len(images) // columns) * height, (len(images) % columns) * width
        boxes += [
            BBox(b.top + down, b.left + right, b.bottom + down, b.right + right)
            for b in field.truths
        ]
        below, beside = np.subtract((height, width), field.image.shape[:2])
        images.append(cv2.copyMakeBorder(field.image, 0, below, 0, beside, cv2.BORDER_REPLICATE))
    images += [np.zeros_like(images[0])] * (-len(images) % columns)
    rows = [np.concatenate(images[i : i + columns], axis=1) for i in range(0, len(images), columns)]
    return np.concatenate(rows), boxes[:n]


def drawn(n: int) -> tuple[Image, list[BBox]]:
    """One synthetic field with ``n`` boxes on its leukocytes, each a little off.

    Boxes anywhere show no cell, of which the network is not sure: it would look at nearly all of
    them again.
    """
    smear = synthetic_smear(0, shape=(1200, 1600), n_leukocytes=20)
    rng = np.random.default_rng(0)
    boxes = []
    for i, off in enumerate(rng.uniform(-0.05, 0.05, (n, 4))):
        box = smear.cells[i % len(smear.cells)].bbox
        down, across = box.height * off[:2], box.width * off[2:]
        boxes.append(
            BBox(
                box.top + down[0], box.left + across[0], box.bottom + down[1], box.right + across[1]
            )
        )
    return smear.image, boxes


def loop(classifier: Classifier, image: Image, boxes: Sequence[BBox]) -> None:
    """One crop, resized by OpenCV, and one pass of the network a cell."""
    preset = classifier.preset
    light = preset.field(image)
    for box in boxes:
        crop = cut_crops(light.image, [box], size=preset.size, factor=preset.factor)
        classifier.predict(crop, light.red[None])


def resnet50(device: str, size: int, n: int, batch: int) -> Callable[[], object]:
    """Untrained ResNet50 on cells that lie on the device already, as quick as ours is run."""
    import torch
    from torchvision.models import resnet50 as build

    network = (
        build(weights=None, num_classes=8).eval().to(device).to(memory_format=torch.channels_last)
    )
    x = torch.rand(n, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with (
            torch.inference_mode(),
            torch.autocast(device, torch.bfloat16, enabled=device != "cpu"),
        ):
            torch.cat([network(x[i : i + batch]) for i in range(0, n, batch)]).tolist()

    return run


def ways(classifier: Classifier, fields: Mapping[str, tuple[Image, list[BBox]]]) -> list[Way]:
    device = classifier.device
    few, many, batch = (16, 32, 16) if device == "cpu" else (64, 1024, 256)
    found = [
        Way(device, "", RESNET, many, resnet50(device, 224, many, batch)),
        Way(device, "", RESNET_ONE, few, resnet50(device, 224, few, 1)),
    ]
    size = classifier.preset.size
    for name, n, step in (
        (f"{size} px, network only, batched", many, batch),
        (f"{size} px, one", few, 1),
    ):
        found.append(Way(device, "", f"ResNet50, {name}", n, resnet50(device, size, n, step)))
    for name, (image, boxes) in fields.items():

        def ours(
            batch: int | None, image: Image = image, boxes: list[BBox] = boxes
        ) -> Callable[[], object]:
            return lambda: classifier.classify(image, boxes, batch_size=batch)

        def plain(image: Image = image, boxes: list[BBox] = boxes[:100]) -> object:
            return loop(classifier, image, boxes)

        found += [
            Way(device, name, "ours", len(boxes), ours(None)),
            Way(device, name, "ours, batch 256", len(boxes), ours(256)),
            Way(device, name, "ours, batch 1", len(boxes[:100]), ours(1, image, boxes[:100])),
            Way(device, name, "plain loop over cells, same network", len(boxes[:100]), plain),
        ]
    return found


def measured(found: Sequence[Way], repeats: int) -> npt.NDArray[np.float64]:
    """Cells a second of each way in each repeat, shape (ways, repeats); a first round is not counted."""
    rates = np.empty((len(found), repeats + 1))
    for repeat in range(repeats + 1):
        for row, way in zip(rates, found, strict=True):
            start = time.perf_counter()
            way.run()
            row[repeat] = way.cells / (time.perf_counter() - start)
    return rates[:, 1:]


def table(found: Sequence[Way], rates: npt.NDArray[np.float64]) -> pd.DataFrame:
    names = [way.name for way in found]
    batched, single = (rates / rates[names.index(name)] for name in (RESNET, RESNET_ONE))
    return pd.DataFrame(
        {
            "device": way.device,
            "field": way.field,
            "way": way.name,
            "cells a call": way.cells,
            **{
                f"cells/s {each}": round(float(getattr(np, each)(rate)), 1)
                for each in ("min", "median", "max")
            },
            "ms a cell": round(1000 / float(np.median(rate)), 3),
            "times ResNet50 batched, min": round(float(ratio.min()), 2),
            "median": round(float(np.median(ratio)), 2),
            "max": round(float(ratio.max()), 2),
            "times ResNet50 one at a time, median": round(float(np.median(one)), 2),
        }
        for way, rate, ratio, one in zip(found, rates, batched, single, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="cdnn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cells", type=int, default=256, help="cells of BCCD and Chula")
    parser.add_argument("--boxes", type=int, default=1000, help="boxes of the synthetic field")
    arguments = parser.parse_args()
    on_cpu = load_classifier(arguments.weights, device="cpu")
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    fields = {
        "BCCD test, tiled": mosaic("bccd, boxes", arguments.cells),
        "Chula test, tiled": mosaic("chula", arguments.cells),
        f"synthetic, {arguments.boxes} boxes": drawn(arguments.boxes),
    }
    classifiers = [on_cpu]
    notes = [
        f"{arguments.threads} threads on the CPU; {arguments.repeats} repeats, all ways in each, after one "
        "that is not counted.",
        "Ours and the plain loop: from the field and its boxes to predictions. ResNet50: the network alone, "
        "on cells that are cut and on the device already, channels last; so the ratios are on the low side.",
        f"Ours: {on_cpu.card.model_id}, {on_cpu.card.parameters:,} parameters, {on_cpu.preset.size} px.",
    ]
    if torch.cuda.is_available():
        classifiers.append(load_classifier(arguments.weights, device="cuda"))
        notes.append(f"GPU: {torch.cuda.get_device_name()}; ours and ResNet50 in bfloat16.")
    else:
        notes.append("No GPU on this machine.")
    each = [ways(classifier, fields) for classifier in classifiers]
    tables = [table(found, measured(found, arguments.repeats)) for found in each]
    record(
        "throughput",
        "Cells classified a second",
        pd.concat(tables),
        data=[DATA / "bccd", DATA / "chula_wbc"],
        notes=notes,
    )


if __name__ == "__main__":
    main()
