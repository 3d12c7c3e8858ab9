"""The published four-class split of Kaggle's blood cells: every architecture, whole images and located crops.

    python benchmarks/classification.py published [--finished]

Whole images are squeezed to squares, as published; located crops are cut around the cell that the
colour detector finds. Turned, mirrored, sheared and zoomed; no colours are changed but in
``recipe``. The shipped weights have nothing to do with this table. Runs are kept in
.cache/published and resumed.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from baselines import PixelBaseline
from crops import CACHE
from laboratories import Run, trained
from leaks import finding
from napari_wbc.classify.networks import NETWORKS, build_network
from napari_wbc.classify.predict import load_classifier
from napari_wbc.classify.preset import Preset
from napari_wbc.detect.hsv import one_cell_box
from napari_wbc.imaging.crop import cut_crops
from napari_wbc.measure.metrics import Scores, score
from napari_wbc.model.mapping import mapped
from napari_wbc.model.progress import run
from napari_wbc.model.taxonomy import FIVE_CLASSES, FOUR_CLASSES
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.batches import ROOM
from napari_wbc.train.classifier import train_classifier
from napari_wbc.train.dataset import CropSet
from napari_wbc.train.recipe import Recipe
from napari_wbc.train.scoring import scores_steps
from pictures import confusion_sheet
from public_sets import DATA
from record import RESULTS, record

GEOMETRY = Augmentation(zoom=0.2, mix=0, gamma=0, saturation=0, blur=0, noise=0)
PLAIN = Preset(anchors=0, sure=0)
BASE = Recipe(
    name="kaggle",
    epochs=10,
    draws=4800,
    balance=0.0,
    ema=0.98,
    precision="bf16-mixed",
    preset=PLAIN,
    augmentation=GEOMETRY,
)
LARGE = (
    "vgg16",
    "resnet50",
    "inception_v3",
    "mobilenet_v2",
    "densenet121",
    "xception",
    "res2net50",
)
"""Cut short on a CPU: a third of the crops."""
BY_ADAM = ("dclnn_max", "dclnn_average")
"""Trained by AdamW alone, as published by Adam: Muon takes long on their dense layer of 68,096 inputs."""
VIEWS = ("whole", "located", "anchors", "known")
"""``known`` goes on from weights that know PBC and Chula, where the published ones go on from ImageNet's."""


def images() -> Iterator[tuple[str, str, npt.NDArray[np.uint8]]]:
    """Split, class and pixels of each image; a tenth of train, by a stride, is for validation."""
    for split in ("train", "test"):
        with zipfile.ZipFile(DATA / "kaggle_blood_cells" / f"{split}.zip") as file:
            names = sorted(
                n for n in file.namelist() if n.lower().endswith((".jpg", ".jpeg", ".png"))
            )
            for i, name in enumerate(names):
                pixels = np.asarray(Image.open(io.BytesIO(file.read(name))).convert("RGB"))
                own = "val" if split == "train" and i % 10 == 0 else split
                yield own, name.split("/")[-2].lower(), pixels


def crops(view: str) -> CropSet:
    """Crops of one of :data:`VIEWS`, kept in .cache."""
    view = "anchors" if view == "known" else view
    path = CACHE / "crops" / f"kaggle-{view}.npz"
    if not path.is_file():
        _cut(view, path)
    with np.load(path) as file:
        return CropSet(**{k: str(file[k]) if k == "sha256" else file[k] for k in file.files})


def _cut(view: str, path: Path) -> None:
    preset, side = Preset(anchors=0.5 if view == "anchors" else 0), round(72 * ROOM)
    kept, red, labels, splits = [], [], [], []
    for split, label, image in images():
        light = preset.field(image)
        if view == "whole":
            square = np.asarray(Image.fromarray(image).resize((72, 72), Image.Resampling.BICUBIC))
            edge = (side - 72) // 2
            pad = ((edge, side - 72 - edge), (edge, side - 72 - edge), (0, 0))
            kept.append(np.pad(square, pad, mode="reflect"))
        else:
            box = one_cell_box(image, preset.factor)
            kept.append(cut_crops(light.image, [box], size=side, factor=preset.factor * ROOM)[0])
        red.append(light.red)
        labels.append(FOUR_CLASSES.names.index(label))
        splits.append(split)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        crops=np.stack(kept),
        red=np.stack(red).astype(np.float32),
        labels=np.array(labels),
        sources=np.full(len(kept), "kaggle"),
        splits=np.array(splits),
        sha256=f"kaggle {view}",
    )


def plan(name: str, view: str) -> Recipe:
    """How an architecture is trained."""
    recipe = replace(BASE, architecture=name)
    if name in LARGE:
        recipe = replace(recipe, epochs=5, draws=3200)
    if name in BY_ADAM:
        recipe = replace(recipe, learning_rate=1e-3, matrix_rate=0)
    if view in ("anchors", "known"):
        recipe = replace(recipe, preset=Preset(), augmentation=Augmentation())
    if view == "known":
        start = str(trained(Run(("pbc", "chula"), "recipe", 0)))
        recipe = replace(recipe, start=start, learning_rate=1e-3, matrix_rate=0.005)
    return recipe


def measured(name: str, view: str) -> tuple[Scores, dict[str, object]]:
    """Measures on the test split, and what the network costs."""
    data = crops(view)
    test = data.where(data.splits == "test")
    folder = CACHE / "published" / f"{name}-{view}"
    if name in ("naive_bayes", "svm"):
        inner = slice((test.crops.shape[1] - 72) // 2, (test.crops.shape[1] + 72) // 2)
        train = data.where(data.splits != "test")
        model = PixelBaseline(name)
        model.fit(train.crops[:, inner, inner], train.labels)
        start = time.perf_counter()
        found = model.log_probabilities(test.crops[:, inner, inner])
        cost = {"ms a cell (all)": round(1000 * (time.perf_counter() - start) / len(found), 3)}
        return score(test.labels, np.exp(found), FOUR_CLASSES.names), cost
    weights = folder / "kaggle.safetensors"
    if not weights.is_file():
        taxonomy = FIVE_CLASSES if view == "known" else FOUR_CLASSES
        index = np.array([taxonomy.names.index(label) for label in FOUR_CLASSES.names])
        mine = replace(data, labels=index[data.labels])
        run(train_classifier(mine, taxonomy, plan(name, view), folder, device="cpu"))
    classifier = load_classifier(weights, device="cpu")
    preset = replace(classifier.preset, sure=plan(name, view).preset.sure)
    found = run(scores_steps(classifier.network, test, preset))
    p = torch.softmax(torch.from_numpy(found / classifier.card.temperature), 1).numpy()
    p = mapped(p, classifier.card.classes, FOUR_CLASSES)
    return score(test.labels, p, FOUR_CLASSES.names), cost_of(name)


def cost_of(name: str) -> dict[str, object]:
    """Parameters, size and time of a network of four classes at 72 pixels, on two threads."""
    torch.set_num_threads(2)
    network = (
        build_network(name, len(FOUR_CLASSES.names)).eval().to(memory_format=torch.channels_last)
    )
    n = sum(p.numel() for p in network.parameters())
    cost: dict[str, object] = {"parameters": n, "MB": round(4e-6 * n, 2)}
    with torch.inference_mode():
        for batch in (1, 256):
            x = torch.rand(batch, 3, 72, 72).contiguous(memory_format=torch.channels_last)
            network(x)
            times = []
            for _ in range(20 if batch == 1 else 2):
                start = time.perf_counter()
                network(x)
                times.append(time.perf_counter() - start)
            cost[f"ms a cell ({batch})"] = round(1000 * float(np.median(times)) / batch, 3)
    return cost


def main(finished: bool = False) -> None:
    """Train what is missing and write the table; ``finished`` shows the runs that are there alone."""
    names = [n for n in NETWORKS if n not in LARGE] + ["naive_bayes", "svm", *LARGE]
    pairs = [(n, v) for n in names for v in VIEWS[: 4 if n == "cdnn" else 1 if n in LARGE else 2]]
    rows, sheet, missing = [], {}, []
    for name, view in pairs:
        there = (CACHE / "published" / f"{name}-{view}" / "kaggle.safetensors").is_file()
        if finished and not there and name in NETWORKS:
            missing.append(f"{name} {view}")
            continue
        m, cost = measured(name, view)
        shares = {
            "accuracy %": m.accuracy,
            "balanced accuracy %": m.balanced_accuracy,
            "macro F1 %": m.macro_f1,
            "ROC AUC %": m.macro_auc,
            "calibration error %": m.calibration_error,
        }
        per_class = {f"P/R/F1 {FOUR_CLASSES.shorts[k]} %": _prf(m, k) for k in FOUR_CLASSES.names}
        rows.append(
            {
                "network": name,
                "image": view,
                "cut short": "yes" if name in LARGE else "",
                **cost,
                **{k: round(100 * v, 1) for k, v in shares.items()},
                **per_class,
            }
        )
        sheet[f"{name}, {view}"] = (m, FOUR_CLASSES)
        print(name, view, rows[-1]["accuracy %"], flush=True)
    confusion_sheet(RESULTS / "published.png", sheet)
    record(
        "published",
        "The published Kaggle split, four classes, trained here",
        pd.DataFrame(rows),
        data=[DATA / "kaggle_blood_cells"],
        leaks=[finding("kaggle")],
        notes=[
            "whole: the image squeezed to 72 x 72 pixels; located: cut around the cell; anchors: with "
            "stain anchors and the default augmentation; known: that, from weights trained on PBC and Chula, "
            "as the published ones are from ImageNet's. 48,000 crops each, a third of that where cut short.",
            *([f"Not trained, for want of time: {', '.join(missing)}."] if missing else []),
            "Epochs are chosen and probabilities calibrated on a tenth of the training images, which are "
            "copies of the same fields as the others. The shipped weights are not in this table: they have "
            "seen BCCD, whose fields these are copies of.",
            "All networks start fresh: the published ImageNet weights are not to be had here.",
            "Published: custom CNN 92 % on crops and 89.5 % on whole images (Youssef 2024).",
        ],
    )


def _prf(m: Scores, name: str) -> str:
    return "/".join(f"{100 * d.get(name, float('nan')):.0f}" for d in (m.precision, m.recall, m.f1))
