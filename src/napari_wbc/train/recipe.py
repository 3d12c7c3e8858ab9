"""How to train a classifier, and how recipes are read from a file."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_wbc.classify.modes import check_mode
from napari_wbc.classify.networks import check_network
from napari_wbc.classify.preset import Preset
from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES
from napari_wbc.errors import WbcError
from napari_wbc.files.guard import one_line, read_text
from napari_wbc.model.ranges import Ranges, check_ranges
from napari_wbc.model.words import is_line, listed, printable
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.run import RUN_RANGES, check_run, check_start

_RANGES: Ranges = {
    **RUN_RANGES,
    "matrix_rate": (0, 10),
    "label_smoothing": (0, 1),
    "mixup": (0, 0.5),
    "balance": (0, 1),
    "foreign_threshold": (0, 1),
}
MAX_BYTES = 1_000_000
"""Of a file that says how to train."""
MAX_PATH = 1000
"""Characters of a text in a recipe."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train a classifier.

    Parameters
    ----------
    name, version : str
        Of the weights.
    architecture : str
        Name of the network.
    mode : str
        One of :data:`~napari_wbc.classify.modes.MODES`.
    pretrained : bool
        Start from ImageNet's weights, which ``efficientnet_lite0`` alone has.
    start : str
        Weights to start from, of the same architecture, whose classes are among those to learn;
        empty for fresh ones.
    keep : float
        Share of those weights in the result, 0 to 1: the mean of old and new weights forgets less
        and holds better elsewhere than either (Wortsman et al. 2022, WiSE-FT).
    freeze : bool
        Only the head is learnt, on the features of the weights that training starts from.
    patience : int
        Training ends after this many epochs without a better validation; 0 never ends it early.
    epochs, batch_size, draws : int
        An epoch is ``draws`` crops, drawn with replacement; 0 means as many as there are. An
        incomplete last batch is dropped.
    learning_rate, matrix_rate, weight_decay : float
        Of :class:`~napari_wbc.train.muon.MuonAdamW`; the rates warm up over the first epoch, then
        fall as a cosine. A ``matrix_rate`` of 0 leaves all to AdamW, where Muon takes long: dense
        layers of thousands of inputs.
    label_smoothing : float
        Share of a label that is spread over all classes, 0 to 1.
    mixup : float
        Each batch is mixed with itself, the other crops weighing up to this, 0 to 0.5 (Zhang et al.
        2018).
    ema : float
        Decay of the running mean of the weights, which is what is kept; 0 to 1.
    balance : float
        A (source, class) group of n crops is drawn in proportion to n to the power of this: 1 draws
        crops evenly, 0 groups evenly. With 0 and 4,000 draws a group and epoch, classes are filled
        up by augmentation as published.
    precision : str
        Of Lightning Fabric: ``32-true`` or ``bf16-mixed``.
    half : bool
        Whether the weights are kept in 16 bits.
    foreign_threshold : float
        Of the card: the confidence, 0 to 1, below which a cell of a stain that the model does not
        know is unidentified. Measured by leaving laboratories out.
    stains_left_out : str
        Sources, with commas between them, whose stains are not taken for known ones: their slides
        raise the stain alarm. Of few cells, they would let in every stain between theirs.
    """

    name: str = "cdnn"
    version: str = "1"
    architecture: str = "cdnn"
    mode: str = "softmax"
    pretrained: bool = False
    start: str = ""
    keep: float = 0.0
    freeze: bool = False
    patience: int = 0
    epochs: int = 30
    batch_size: int = 64
    draws: int = 0
    learning_rate: float = 3e-3
    matrix_rate: float = 0.02
    weight_decay: float = 0.02
    label_smoothing: float = 0.03
    mixup: float = 0.0
    ema: float = 0.995
    balance: float = 0.5
    precision: str = "32-true"
    half: bool = False
    foreign_threshold: float = 0.0
    stains_left_out: str = ""
    seed: int = 0
    preset: Preset = field(default_factory=Preset)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_run(self.name, self.precision)
        check_mode(self.mode)
        check_network(self.architecture)
        check_ranges(self, _RANGES)
        if not 0 <= self.keep <= (1 if self.start else 0):
            raise WbcError(
                "keep is a share, 0 to 1, of the weights that training starts from; name these."
            )
        if self.pretrained and (self.start or self.architecture != "efficientnet_lite0"):
            raise WbcError(
                "Only efficientnet_lite0 has ImageNet's weights, and training starts from them or "
                "from other weights, not from both."
            )
        if self.architecture == "duet" and self.mode != "softmax":
            raise WbcError("duet gives probabilities of all classes; its mode is softmax.")
        check_start(self.architecture, pretrained=self.pretrained, start=self.start)
        if self.freeze and not self.start:
            raise WbcError("Features can be frozen where training starts from weights; name these.")


def planned(kind: Any, values: Mapping[str, Any], preset: Any) -> Any:
    """A recipe of a kind from values, with its preset and augmentation as mappings.

    Raises
    ------
    WbcError
        If it has no such entry, or one of another type.
    """
    plan = dict(values)
    for name, part_kind in (("preset", preset), ("augmentation", Augmentation)):
        part = plan.get(name, {})
        if not isinstance(part, Mapping):
            raise WbcError(f"A recipe takes {name} as a table of values, not {_shown(part)}.")
        plan[name] = _filled(part_kind, part, f"{name}.")
    if "classes" in plan:
        classes = plan["classes"]
        if not _is_texts(classes):
            raise WbcError(f"A recipe takes classes like {BLOOD_CLASSES}, not {_shown(classes)}.")
        plan["classes"] = tuple(classes)
    return _filled(kind, plan, "")


def _is_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_text, value))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and is_line(value) and len(value) <= MAX_PATH


def _shown(value: object) -> str:
    """A value in a message; what a file says may be long."""
    return repr(value)[:60]


def _filled(kind: Any, values: Mapping[str, Any], prefix: str) -> Any:
    """A dataclass of a kind from values whose names and types are checked first."""
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    unknown = [printable(prefix + name)[:60] for name in values if name not in defaults]
    if unknown:
        names = ", ".join(prefix + name for name in defaults)
        raise WbcError(f"A recipe has no {listed(unknown)}; it has {names}.")
    for name, value in values.items():
        default = defaults[name]
        # Fields without a plain default are checked by whoever fills them.
        if default is dataclasses.MISSING:
            continue
        # TOML writes 1 for 1.0, and Python counts True as an int.
        fits = isinstance(value, (int, float) if isinstance(default, float) else type(default))
        if isinstance(value, bool) and not isinstance(default, bool):
            fits = False
        if not fits or (isinstance(value, str) and not _is_text(value)):
            raise WbcError(f"A recipe takes {prefix}{name} like {default!r}, not {_shown(value)}.")
    return kind(**values)


def read_config(path: str | Path) -> tuple[list[Path], dict[str, Any]]:
    """Read a TOML file that says how to train: the paths of training sets, and the recipe.

    ``data`` lists training sets and ``start`` may name weights, both relative to the file; the rest
    is the recipe.

    Raises
    ------
    WbcError
        If it cannot be read or is no TOML.
    """
    path = Path(path)
    try:
        recipe = tomllib.loads(read_text(path, max_bytes=MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise WbcError(
            f"{path}: not a readable TOML file ({one_line(error)}); correct it."
        ) from error
    # The caller passes these beside the recipe, so a file with them would set them twice.
    misplaced = [name for name in ("paths", "out", "device", "taxonomy") if name in recipe]
    if misplaced:
        raise WbcError(
            f"{path}: a recipe has no {', '.join(misplaced)}; say it where the training is started."
        )
    data = recipe.pop("data", [])
    if not _is_texts(data):
        raise WbcError(f"{path}: data must be a list of paths, such as data = ['fields.csv'].")
    if isinstance(recipe.get("start"), str) and recipe["start"]:
        recipe["start"] = str(path.parent / recipe["start"])
    return list(map(path.parent.joinpath, data)), recipe
