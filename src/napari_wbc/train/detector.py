"""Training of a cell finder: a generator that can be stopped at each step and resumed.

As :mod:`napari_wbc.train.classifier` does for classifiers: every epoch seeds its own random numbers
and ends with a checkpoint, so a resumed run goes on as if never stopped.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc.detect.mask_rcnn import THRESHOLD, MaskRcnnDetector
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.train.canvas import Canvas, CanvasMaker
from napari_wbc.train.card import detector_card_of
from napari_wbc.train.checkpoint import Checkpoint
from napari_wbc.train.curves import write_curves
from napari_wbc.train.detector_recipe import DetectorRecipe
from napari_wbc.train.detector_validation import leukocyte_boxes, score_threshold, validate_steps
from napari_wbc.train.fields import FieldSet, TrainingField, drawn_fields
from napari_wbc.train.run import (
    Trained,
    epoch_progress,
    epoch_seed,
    quiet_fabric,
    set_rate,
    update_mean,
)
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.device import resolve_device
from napari_wbc.weights.store import load_weights, save_weights

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric
    from torchvision.models.detection import MaskRCNN

MAX_GRADIENT_NORM = 5.0
"""Gradients are clipped to it."""
_ROUNDS = 2
"""How often scores are shifted: of several classes, the shift of one moves the others a little."""
VALIDATION_SCORE = 0.05
"""Low, since average precision looks at unsure detections too."""


def train_detector(
    data: FieldSet,
    recipe: DetectorRecipe,
    out: str | Path,
    *,
    device: str = "auto",
    provenance: Mapping[str, Any] | None = None,
) -> Steps[Trained]:
    """Train a cell finder and write its weights (as float16) and card.

    Parameters
    ----------
    data : FieldSet
        Its ``train`` split is learnt; its ``val`` split chooses the epoch, by the mean of the
        sources' AP of leukocytes over the IoUs 0.5 to 0.95, and by how much the scores of each
        class are shifted so that 0.5 is its threshold; ``test`` is not looked at.
    out : str or Path
        Folder of weights, history, curves and checkpoint; a checkpoint of the same recipe and data
        in it is resumed.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    provenance : mapping, optional
        More entries for the provenance in the card.

    Raises
    ------
    WbcError
        If a split is empty, the device or precision is not to be had, training diverges, or the
        checkpoint is damaged or belongs to another recipe or data.
    """
    out, device = Path(out), resolve_device(device)
    import torch
    from lightning_fabric import Fabric

    train, val = _splits(data, recipe)
    train = (*train, *drawn_fields(recipe.drawn, recipe.seed))
    quiet_fabric()
    fabric = Fabric(accelerator=device, devices=1, precision=recipe.precision)
    torch.manual_seed(recipe.seed)
    network, start = _started(recipe)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    mean = copy.deepcopy(network).to(fabric.device).requires_grad_(False)
    model, optimizer = fabric.setup(network, optimizer)
    checkpoint = Checkpoint(out, {"recipe": recipe.identity(), "data_sha256": data.sha256})
    history, best = checkpoint.load(model.module, mean, optimizer)
    steps = recipe.draws // recipe.batch_size
    total = recipe.epochs * steps
    for epoch in range(len(history), recipe.epochs):
        if recipe.patience and _epochs_since_best(history) >= recipe.patience:
            break
        losses = yield from _epoch(
            fabric, model, optimizer, mean=mean, train=train, recipe=recipe, epoch=epoch
        )
        detector = _detector(mean, recipe, device)
        scores, _ = yield from validate_steps(detector, val, done=(epoch + 1) * steps, total=total)
        history.append({"epoch": epoch + 1, "loss": sum(losses.values()), **losses, **scores})
        better = scores["val_ap"] >= best
        best = max(best, scores["val_ap"])
        checkpoint.save(model.module, mean, optimizer, history=history, best=best, better=better)
        write_curves(out, history)
        yield epoch_progress(history[-1], steps, recipe.epochs)
    _load_best(mean, checkpoint)
    detector = _detector(mean, recipe, device)
    for _ in range(_ROUNDS):
        _, detections = yield from validate_steps(detector, val, done=total, total=total)
        classes = recipe.classes
        _centre(mean, [score_threshold(val, detections, classes, name) for name in classes])
    scores, _ = yield from validate_steps(detector, val, done=total, total=total)
    card = detector_card_of(
        mean,
        data,
        recipe,
        scores={**scores, "val_fields": len(val)},
        threshold=THRESHOLD,
        epochs=len(history),
        best_epoch=len(history) - _epochs_since_best(history),
        start=start,
        provenance=provenance,
    )
    path = out / f"{recipe.name}.safetensors"
    halves = {name: _half(tensor) for name, tensor in mean.state_dict().items()}
    return Trained(path, save_weights(path, halves, card), tuple(history))


def _splits(
    data: FieldSet, recipe: DetectorRecipe
) -> tuple[tuple[TrainingField, ...], tuple[TrainingField, ...]]:
    """The fields to learn and the fields to validate on."""
    train, val = data.of("train"), data.of("val")
    for fields in (train, val):
        if not any(field.labels for field in fields):
            raise WbcError(
                "Training needs cells in the splits train and val; add them to the training set."
            )
    if not any(leukocyte_boxes(field, recipe.classes) for field in val):
        raise WbcError("The split val holds no leukocyte, by which the epoch is chosen; add some.")
    return train, val


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
    torch.manual_seed(epoch_seed(recipe.seed, epoch))
    model.train()
    sums: Counter[str] = Counter()
    for step, (images, targets) in enumerate(_batches(train, recipe, epoch, fabric.device)):
        now = epoch * steps + step
        set_rate(optimizer, recipe.learning_rate, now, steps, recipe.epochs)
        optimizer.zero_grad()
        with fabric.autocast():
            # Not through Fabric's wrapper, which would halve the precision of the targets too.
            losses = model.module(images, targets)
        loss = sum(losses.values())
        if not torch.isfinite(loss):
            raise WbcError(f"Training diverged in epoch {epoch + 1}; lower the learning rate.")
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=MAX_GRADIENT_NORM)
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
    if not recipe.start:
        return network, None
    tensors, card = load_weights(recipe.start)
    fresh = network.state_dict()
    fitting: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        # Other classes have other heads: these stay fresh, the rest goes on from the weights.
        if name in fresh and fresh[name].shape == tensor.shape:
            fitting[name] = tensor.to(fresh[name].dtype)
    if not fitting:
        raise WbcError(
            f"{recipe.start}: none of its tensors fits {recipe.backbone}; start without it."
        )
    network.load_state_dict(fitting, strict=False)
    return network, card


def _load_best(mean: MaskRCNN, checkpoint: Checkpoint) -> None:
    """Load the weights of the best epoch as they will be stored, in half precision."""
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in checkpoint.best().items():
        # Rounded before the scores are shifted and measured, so that both hold for the file.
        weights[name] = _half(tensor).to(tensor.dtype)
        if not weights[name].isfinite().all():
            raise WbcError(
                "Training diverged: its best weights are not finite; lower the learning rate."
            )
    mean.load_state_dict(weights)


def _centre(mean: MaskRCNN, thresholds: Sequence[float]) -> None:
    """Shift the scores of each class so that what was its threshold becomes 0.5.

    One threshold then suits every class, and scores tell how sure a cell is instead of all being
    near 1. It is exact where the background alone is the other class.
    """
    bias = mean.roi_heads.box_predictor.cls_score.bias.data
    for label, threshold in enumerate(thresholds, start=1):
        bias[label] -= math.log(threshold / (1 - threshold))
    # As the file will hold it.
    bias.copy_(_half(bias))


def _half(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in half precision; counters of batches stay integers."""
    return tensor.half() if tensor.is_floating_point() else tensor


def _epochs_since_best(history: Sequence[dict[str, float]]) -> int:
    """Of epochs that are alike best, the last counts, since its weights are the ones kept."""
    scores = [epoch["val_ap"] for epoch in reversed(history)]
    return int(np.argmax(scores)) if scores else 0


def _batches(
    train: Sequence[TrainingField], recipe: DetectorRecipe, epoch: int, device: torch.device
) -> Iterator[tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]]:
    """Images and targets of one epoch, as torchvision takes them."""
    import torch

    seed = epoch_seed(recipe.seed, epoch)
    colors = torch.Generator().manual_seed(seed)
    names = ("smallest", "largest", "typical", "mosaic", "paste", "lamp", "degrade")
    maker = CanvasMaker(train, recipe.canvas, **{name: getattr(recipe, name) for name in names})
    # An incomplete last batch is dropped.
    count = recipe.draws // recipe.batch_size * recipe.batch_size
    batch: list[Canvas] = []
    for canvas in maker.draw(count, np.random.default_rng(seed)):
        batch.append(canvas)
        if len(batch) < recipe.batch_size:
            continue
        images = torch.from_numpy(np.stack([canvas.image for canvas in batch]))
        pixels = images.to(device).permute(0, 3, 1, 2).float() / 255
        pixels = recipe.augmentation.recolor(pixels, colors).clamp(0, 1)
        # As MaskRcnnDetector scales a field that it looks at.
        yield list((pixels - 0.6) / 0.25), [_target(canvas, device) for canvas in batch]
        batch = []


def _target(canvas: Canvas, device: torch.device) -> dict[str, torch.Tensor]:
    """What torchvision wants of a canvas; its boxes are (left, top, right, bottom)."""
    import torch

    return {
        "boxes": torch.from_numpy(canvas.boxes[:, [1, 0, 3, 2]]).to(device),
        "labels": torch.from_numpy(canvas.labels).to(device),
        "masks": torch.from_numpy(canvas.masks).to(device),
    }


def _detector(mean: MaskRCNN, recipe: DetectorRecipe, device: str) -> MaskRcnnDetector:
    """A cell finder with the weights as they are, which finds unsure cells too."""
    card = ModelCard(
        recipe.name,
        recipe.version,
        f"mask-rcnn/{recipe.backbone}",
        recipe.classes,
        asdict(recipe.preset),
        threshold=VALIDATION_SCORE,
    )
    return MaskRcnnDetector(mean.eval(), card, device, score=VALIDATION_SCORE)
