"""How to train a cell finder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from napari_wbc.detect.mask_rcnn import LEUKOCYTE, DetectorPreset
from napari_wbc.errors import WbcError
from napari_wbc.model.ranges import Ranges, check_ranges
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.run import RUN_RANGES, check_run, check_start
from napari_wbc.weights.store import read_card

_RANGES: Ranges = {
    **RUN_RANGES,
    "canvas": (64, 2048),
    "smallest": (1, 10_000),
    "largest": (1, 10_000),
    "typical": (0, 10_000),
    "mosaic": (0, 1),
    "paste": (0, 100),
    "lamp": (0, 1),
    "degrade": (0, 1),
    "drawn": (0, 10_000),
}


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
        check_ranges(self, _RANGES)
        if self.draws < self.batch_size:
            raise WbcError("A detector needs as many draws as a batch has, or more.")
        check_start(self.backbone, pretrained=self.pretrained, start=self.start)
        if self.smallest > self.largest:
            raise WbcError(
                f"Cells of {self.smallest} to {self.largest} pixels are impossible; swap the two."
            )

    def identity(self) -> dict[str, Any]:
        """The recipe as checkpoint and card keep it.

        Weights to start from are named by their model id: their file may lie elsewhere next time.
        """
        start = read_card(self.start).model_id if self.start else ""
        return {**asdict(self), "start": start}
