"""How to train a cell finder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from napari_wbc.detect.mask_rcnn import LEUKOCYTE, DetectorPreset
from napari_wbc.errors import WbcError
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.run import check_run, check_start
from napari_wbc.weights.store import read_card


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """How to train a cell finder.

    Parameters
    ----------
    name, version : str
        Of the weights.
    backbone : str
        One of :data:`~napari_wbc.detect.architectures.BACKBONES`.
    classes : tuple of str
        What to find; ``leukocyte`` must be among it.
    pretrained : bool
        Start from torchvision's ImageNet weights of the backbone, which are downloaded.
    start : str
        Weights file of a detector to start from, as far as its tensors fit; none where empty.
    epochs, batch_size, draws : int
        An epoch is ``draws`` canvases.
    patience, ema, precision
        As in :class:`~napari_wbc.train.recipe.Recipe`.
    canvas : int
        Side of a canvas in pixels.
    smallest, largest, typical : float
        Side of the cells on a canvas, in pixels; as
        :class:`~napari_wbc.train.canvas.CanvasMaker`, as are ``paste``, ``lamp`` and ``degrade``.
    mosaic : float
        Share of canvases with four windows.
    drawn : int
        Drawn fields that are learnt beside those of the training set, 0 or more.
    learning_rate, weight_decay : float
        Of AdamW; the rate warms up over the first epoch, then falls as a cosine.
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
    typical: float = 0.0
    mosaic: float = 0.5
    paste: float = 0.0
    lamp: float = 0.0
    degrade: float = 0.0
    drawn: int = 0
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
        check_start(self.backbone, pretrained=self.pretrained, start=self.start)
        if self.epochs < 1 or min(self.patience, self.seed) < 0 or not self.learning_rate > 0:
            raise WbcError(
                "A detector needs an epoch or more, patience and seed of 0 or more, and a learning "
                "rate."
            )
        if not 0 < self.smallest <= self.largest or not 0 <= self.mosaic <= 1:
            raise WbcError(
                f"Cells of {self.smallest} to {self.largest} pixels and mosaics of {self.mosaic} "
                "are impossible; the smallest is above 0, the largest no smaller, mosaic 0 to 1."
            )

    def identity(self) -> dict[str, Any]:
        """The recipe as checkpoint and card keep it.

        Weights to start from are named by their model id: their file may lie elsewhere next time.
        """
        start = read_card(self.start).model_id if self.start else ""
        return {**asdict(self), "start": start}
