"""Training of a detector: a generator that can be stopped at each step and resumed.

As :mod:`napari_wbc.train.engine` does for classifiers: every epoch seeds its own random numbers
and ends with a checkpoint, so a resumed run goes on as if never stopped.
"""

from __future__ import annotations

import copy
import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_wbc.detect.mask_rcnn import LEUKOCYTE, DetectorPreset, MaskRcnnDetector
from napari_wbc.errors import WbcError
from napari_wbc.measure.precision import Truth, average_precision
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, iou_matrix
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.canvas import Canvas, CanvasMaker
from napari_wbc.train.checkpoint import Checkpoint, check_run, set_rate, update_mean
from napari_wbc.train.curves import write_curves
from napari_wbc.train.fields import FieldSet, TrainingField
from napari_wbc.weights.card import RESEARCH_USE, ModelCard
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.store import load_weights, read_card, save_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from lightning_fabric import Fabric
    from torchvision.models.detection import MaskRCNN

__all__ = ["DetectorRecipe", "TrainedDetector", "train_detector"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """How to train a detector.

    Parameters
    ----------
    name, version : str
        Of the weights.
    backbone : str
        One of :data:`~napari_wbc.detect.architectures.BACKBONES`.
    classes : tuple of str
        What to find, ``leukocyte`` among it.
    pretrained : bool
        Start from torchvision's ImageNet weights of the backbone, which are downloaded.
    start : str
        Weights file of a detector to start from, as far as its tensors fit; none where empty.
    epochs, batch_size, draws : int
        An epoch is ``draws`` canvases.
    patience : int
        Training ends after this many epochs without a better validation; 0 never ends it early.
    canvas : int
        Side of a canvas in pixels.
    smallest, largest : float
        Side of the cells on a canvas, in pixels.
    mosaic : float
        Share of canvases with four windows.
    learning_rate, weight_decay : float
        Of AdamW; the rate warms up over the first epoch, then falls as a cosine.
    ema : float
        Decay of the running mean of the weights, which is what is kept.
    precision : str
        ``32-true`` or ``bf16-mixed``.
    seed : int
    preset : DetectorPreset
    augmentation : Augmentation
        Of which colours, blur and noise are used; windows turn and scale by themselves.
    """

    name: str = "mask_rcnn"
    version: str = "1"
    backbone: str = "mobilenet_v3_large"
    classes: tuple[str, ...] = (LEUKOCYTE,)
    pretrained: bool = False
    start: str = ""
    epochs: int = 20
    batch_size: int = 8
    draws: int = 1200
    patience: int = 0
    canvas: int = 320
    smallest: float = 20.0
    largest: float = 300.0
    mosaic: float = 0.5
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    ema: float = 0.998
    precision: str = "32-true"
    seed: int = 0
    preset: DetectorPreset = field(default_factory=DetectorPreset)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_run(self.name, self.precision)
        if LEUKOCYTE not in self.classes:
            raise WbcError(
                f"A detector finds leukocytes; add {LEUKOCYTE!r} to the classes {self.classes}."
            )
        if self.batch_size < 1 or self.draws < self.batch_size or self.canvas < 64:
            raise WbcError(
                "A detector needs batches of 1 or more, as many draws, and a canvas of 64 or more."
            )
        if self.epochs < 1 or min(self.patience, self.seed) < 0 or not self.learning_rate > 0:
            raise WbcError(
                "A detector needs an epoch or more, patience and seed of 0 or more, and a learning rate."
            )
        if not 0 < self.smallest <= self.largest or not 0 <= self.mosaic <= 1:
            raise WbcError(
                f"Cells of {self.smallest} to {self.largest} pixels and mosaics of {self.mosaic} are "
                "impossible; the smallest is above 0, the largest no smaller, mosaic 0 to 1."
            )


@dataclass(frozen=True, slots=True)
class TrainedDetector:
    """What training leaves."""

    weights: Path
    card: ModelCard
    history: tuple[dict[str, float], ...]


def train_detector(
    data: FieldSet,
    recipe: DetectorRecipe,
    out: str | Path,
    *,
    device: str = "auto",
    told: Mapping[str, Any] | None = None,
) -> Steps[TrainedDetector]:
    """Train a detector and write its weights (as float16) and card.

    Parameters
    ----------
    data : FieldSet
        Its ``train`` split is learnt; its ``val`` split chooses the epoch, by the mean of the
        sources' AP of leukocytes over the IoUs 0.5 to 0.95, and the score threshold; ``test`` is
        not looked at.
    recipe : DetectorRecipe
    out : str or Path
        Folder of weights, history, curves and checkpoint; a checkpoint of the same recipe and data
        in it is resumed.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    told : mapping, optional
        More of the provenance, for the card.

    Returns
    -------
    TrainedDetector

    Raises
    ------
    WbcError
        If a split is empty, the device or precision is not to be had, training diverges, or the
        checkpoint is damaged or belongs to another recipe or data.
    """
    out, device = Path(out), resolve_device(device)
    import torch
    from lightning_fabric import Fabric

    train, val = data.of("train"), data.of("val")
    if not any(f.labels for f in train) or not any(f.labels for f in val):
        raise WbcError(
            "Training needs cells in the splits train and val; add them to the training set."
        )
    if not any(_truth(one, recipe.classes) for one in val):
        raise WbcError("The split val holds no leukocyte, by which the epoch is chosen; add some.")
    fabric = Fabric(accelerator=device, devices=1, precision=recipe.precision)
    torch.manual_seed(recipe.seed)
    network, start = _started(recipe)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    mean = copy.deepcopy(network).to(fabric.device).requires_grad_(False)
    model, optimizer = fabric.setup(network, optimizer)
    checkpoint = Checkpoint(out, {"recipe": _told(recipe), "data_sha256": data.sha256})
    history, best = checkpoint.load(model.module, mean, optimizer)
    steps = recipe.draws // recipe.batch_size
    total = recipe.epochs * steps
    for epoch in range(len(history), recipe.epochs):
        if recipe.patience and _stale(history) >= recipe.patience:
            break
        losses = yield from _epoch(
            fabric, model, optimizer, mean=mean, train=train, recipe=recipe, epoch=epoch
        )
        detector = _detector(mean, recipe, device, score=0.05)
        scores, _ = yield from _validate(detector, val, done=(epoch + 1) * steps, total=total)
        history.append({"epoch": epoch + 1, "loss": sum(losses.values()), **losses, **scores})
        better = scores["val_ap"] >= best
        best = max(best, scores["val_ap"])
        checkpoint.save(model.module, mean, optimizer, history=history, best=best, better=better)
        write_curves(out, history)
        line = ", ".join(f"{name} {value:.4g}" for name, value in history[-1].items())
        yield Progress("training", (epoch + 1) * steps, total, line, history[-1])
    best_weights = {name: _rounded(t) for name, t in checkpoint.best().items()}
    if not all(t.isfinite().all() for t in best_weights.values()):
        raise WbcError(
            "Training diverged: its best weights are not finite; lower the learning rate."
        )
    mean.load_state_dict(best_weights)
    detector = _detector(mean, recipe, device, score=0.05)
    scores, found = yield from _validate(detector, val, done=total, total=total)
    card = _card(
        mean,
        data,
        recipe,
        scores=scores,
        threshold=_threshold(val, found, recipe.classes),
        history=history,
        start=start,
        told=told or {},
    )
    path = out / f"{recipe.name}.safetensors"
    halves = {
        name: t.half() if t.is_floating_point() else t for name, t in mean.state_dict().items()
    }
    return TrainedDetector(path, save_weights(path, halves, card), tuple(history))


def _epoch(
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    *,
    mean: MaskRCNN,
    train: Sequence[TrainingField],
    recipe: DetectorRecipe,
    epoch: int,
) -> Steps[dict[str, float]]:
    """One pass over ``draws`` canvases; the mean of each loss."""
    import torch

    steps = recipe.draws // recipe.batch_size
    torch.manual_seed(recipe.seed * 100_003 + epoch)
    model.train()
    sums: Counter[str] = Counter()
    for step, (images, targets) in enumerate(_batches(train, recipe, epoch, fabric.device)):
        now = epoch * steps + step
        set_rate(optimizer, recipe.learning_rate, now, steps, recipe.epochs)
        optimizer.zero_grad()
        with fabric.autocast():
            losses = model.module(
                images, targets
            )  # the wrapper would halve the targets' precision too
        loss = sum(losses.values())
        if not torch.isfinite(loss):
            raise WbcError(f"Training diverged in epoch {epoch + 1}; lower the learning rate.")
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=5.0)
        optimizer.step()
        update_mean(mean, model.module, recipe.ema, now)
        sums.update({name: value.item() / steps for name, value in losses.items()})
        yield Progress("training", now + 1, recipe.epochs * steps)
    return dict(sums)


def _started(recipe: DetectorRecipe) -> tuple[MaskRCNN, ModelCard | None]:
    """The network before the first step, and the card of the weights that it starts from."""
    import torch

    from napari_wbc.detect.architectures import build_mask_rcnn

    network = build_mask_rcnn(recipe.backbone, len(recipe.classes), pretrained=recipe.pretrained)
    network = network.to(memory_format=torch.channels_last)
    card: ModelCard | None = None
    if recipe.start:
        tensors, card = load_weights(recipe.start)
        own = network.state_dict()
        fits = {
            k: t.to(own[k].dtype)
            for k, t in tensors.items()
            if k in own and own[k].shape == t.shape
        }
        if not fits:
            raise WbcError(
                f"{recipe.start}: none of its tensors fits {recipe.backbone}; start without it."
            )
        network.load_state_dict(fits, strict=False)
    return network, card


def _rounded(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as it will be once it has been stored in half precision."""
    return tensor.half().float() if tensor.is_floating_point() else tensor


def _stale(history: Sequence[dict[str, float]]) -> int:
    """Epochs since the best, of several that are best the last."""
    scores = [epoch["val_ap"] for epoch in reversed(history)]
    return int(np.argmax(scores)) if scores else 0


def _batches(
    train: Sequence[TrainingField], recipe: DetectorRecipe, epoch: int, device: torch.device
) -> Iterator[tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]]:
    import torch

    seed = recipe.seed * 100_003 + epoch
    colors = torch.Generator().manual_seed(seed)
    maker = CanvasMaker(train, recipe.canvas, recipe.smallest, recipe.largest, recipe.mosaic)
    batch: list[Canvas] = []
    for canvas in maker.draw(
        recipe.draws // recipe.batch_size * recipe.batch_size, np.random.default_rng(seed)
    ):
        batch.append(canvas)
        if len(batch) == recipe.batch_size:
            pixels = (
                torch.from_numpy(np.stack([c.image for c in batch])).to(device).permute(0, 3, 1, 2)
            )
            pixels = recipe.augmentation.recolor(pixels.float() / 255, colors).clamp(0, 1)
            yield list((pixels - 0.6) / 0.25), [_target(c, device) for c in batch]
            batch = []


def _target(canvas: Canvas, device: torch.device) -> dict[str, torch.Tensor]:
    import torch

    return {
        "boxes": torch.from_numpy(canvas.boxes[:, [1, 0, 3, 2]]).to(device),
        "labels": torch.from_numpy(canvas.labels).to(device),
        "masks": torch.from_numpy(canvas.masks).to(device),
    }


def _detector(
    mean: MaskRCNN, recipe: DetectorRecipe, device: str, *, score: float
) -> MaskRcnnDetector:
    card = ModelCard(
        recipe.name,
        recipe.version,
        f"mask-rcnn/{recipe.backbone}",
        recipe.classes,
        asdict(recipe.preset),
        threshold=score,
    )
    return MaskRcnnDetector(mean.eval(), card, device, score=score)


def _truth(field: TrainingField, classes: Sequence[str]) -> tuple[BBox, ...]:
    """Boxes of the leukocytes of a field in pixels of its file."""
    own = classes.index(LEUKOCYTE) + 1
    return tuple(
        BBox.around(outline / field.scale)
        for outline, label in zip(field.outlines, field.labels, strict=True)
        if label == own
    )


def _validate(
    detector: MaskRcnnDetector, val: Sequence[TrainingField], *, done: int, total: int
) -> Steps[tuple[dict[str, float], list[tuple[Detection, ...]]]]:
    """AP of leukocytes by source, and its mean, which chooses the epoch; and what was found."""
    found: list[tuple[Detection, ...]] = []
    for one in val:
        looking = detector.look_steps(one.image, one.scale, one.shape)
        found.append(
            (yield from _reported_as(Progress("validating", done, total), looking))[LEUKOCYTE]
        )
        yield Progress("validating", done, total)
    scores: dict[str, float] = {}
    for source in sorted({one.source for one in val}):
        pairs = [
            (Truth(one.shape, _truth(one, detector.classes)), cells)
            for one, cells in zip(val, found, strict=True)
            if one.source == source
        ]
        if any(truth.boxes for truth, _ in pairs):
            ap = average_precision(pairs)
            scores |= {f"val_ap_{source}": ap.mean, f"val_ap50_{source}": ap.at_50}
    by_source = [score for name, score in scores.items() if name.startswith("val_ap_")]
    return {**scores, "val_ap": float(np.mean(by_source))}, found


def _reported_as(progress: Progress, steps: Steps[T]) -> Steps[T]:
    """A long function of which each step is reported as this one: its own count would make the bar jump."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        yield progress


def _threshold(
    val: Sequence[TrainingField], found: Sequence[Sequence[Detection]], classes: Sequence[str]
) -> float:
    """The lowest score whose F1 on validation fields, at IoU 0.5, is within 0.01 of the best.

    The lowest, because a false cell is dismissed by one key, and a missed one is not seen at all.
    """
    scores, hits, cells = [], [], 0
    for one, detections in zip(val, found, strict=True):
        truth = _truth(one, classes)
        cells += len(truth)
        taken: set[int] = set()
        for detection, overlaps in zip(
            detections, iou_matrix([d.bbox for d in detections], truth), strict=True
        ):
            free = [i for i in np.argsort(-overlaps) if overlaps[i] >= 0.5 and int(i) not in taken]
            taken |= {int(free[0])} if free else set()
            scores.append(detection.score)
            hits.append(bool(free))
    grid = np.arange(0.1, 0.96, 0.05)
    kept = np.array(scores)[:, None] >= grid
    right = (kept & np.array(hits, bool)[:, None]).sum(axis=0)
    f1 = 2 * right / np.maximum(kept.sum(axis=0) + cells, 1)
    return round(float(grid[np.argmax(f1 >= f1.max() - 0.01)]), 2)


def _told(recipe: DetectorRecipe) -> dict[str, Any]:
    """The recipe as it is kept: the weights it starts from by what they are, not by where they lie."""
    return {**asdict(recipe), "start": read_card(recipe.start).model_id if recipe.start else ""}


def _card(
    network: MaskRCNN,
    data: FieldSet,
    recipe: DetectorRecipe,
    *,
    scores: dict[str, float],
    threshold: float,
    history: Sequence[dict[str, float]],
    start: ModelCard | None,
    told: Mapping[str, Any],
) -> ModelCard:
    import torch

    counts: Counter[str] = Counter()
    for one in data.fields:
        if one.split in {"train", "val"}:
            counts[f"{one.source} {one.split} fields"] += 1
            counts[f"{one.source} {one.split} cells"] += len(one.labels)
    provenance: dict[str, Any] = {
        "data": dict(sorted(counts.items())),
        "data_sha256": data.sha256,
        "recipe": _told(recipe),
        "epochs_run": len(history),
        "epoch_kept": len(history) - _stale(history),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
        "use": RESEARCH_USE,
    }
    if start is not None:
        provenance["parent"] = {"model_id": start.model_id, "sha256": start.sha256}
    return ModelCard(
        name=recipe.name,
        version=recipe.version,
        architecture=f"mask-rcnn/{recipe.backbone}",
        classes=recipe.classes,
        preset=asdict(recipe.preset),
        threshold=threshold,
        parameters=sum(p.numel() for p in network.parameters()),
        provenance={**provenance, **told},
        metrics=scores,
    )
