"""Training sets to new weights."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_wbc.classify.preset import Preset
from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, DetectorPreset
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.pipeline.evaluate import relabelled, sided_steps
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.batches import ROOM
from napari_wbc.train.dataset import LabelledCell, cut_training_crops, read_training_set_steps
from napari_wbc.train.detector import DetectorRecipe, TrainedDetector, train_detector
from napari_wbc.train.engine import Recipe, Trained, train_classifier
from napari_wbc.train.fields import read_fields
from napari_wbc.weights.device import resolve_device

__all__ = ["planned", "read_config", "train_detector_steps", "train_steps"]


def train_steps(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    taxonomy: Taxonomy = EIGHT_CLASSES,
    device: str = "auto",
    **recipe: Any,
) -> Steps[Trained]:
    """Train a classifier.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    out : str or Path
        Folder of the weights, the card, the curves and the checkpoint; an interrupted run is
        resumed.
    taxonomy : Taxonomy
        Classes to learn; cells whose label counts as none of them are left out.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    **recipe
        Of :class:`~napari_wbc.train.engine.Recipe`; ``preset`` and ``augmentation`` as mappings.

    Raises
    ------
    WbcError
        If the recipe has no such entry, or as :func:`~napari_wbc.train.engine.train_classifier`.
    """
    plan: Recipe = planned(Recipe, recipe, Preset)
    device = resolve_device(device)
    make_folder(Path(out))
    cells = yield from _seen_steps(paths)
    kept, left_out = relabelled(cells, taxonomy)
    _check_sides(kept)
    empty = [
        name
        for name in taxonomy.names
        if not any(c.label == name and c.split == "train" for c in kept)
    ]
    said = [f"Left out, no class of the taxonomy: {n} {label}." for label, n in left_out.items()]
    said += [f"No training cell: {', '.join(empty)}."] if empty else []
    if said:
        yield Progress("reading labels", 0, len(kept), " ".join(said))
    data = yield from cut_training_crops(kept, taxonomy.names, plan.preset, room=ROOM)
    return (yield from train_classifier(data, taxonomy, plan, out, device=device))


def train_detector_steps(
    paths: Sequence[str | Path], out: str | Path, *, device: str = "auto", **recipe: Any
) -> Steps[TrainedDetector]:
    """Train a detector.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    out : str or Path
        Folder of the weights, the card, the curves and the checkpoint; an interrupted run is
        resumed.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    **recipe
        Of :class:`~napari_wbc.train.detector.DetectorRecipe`; ``preset`` and ``augmentation`` as
        mappings.

    Raises
    ------
    WbcError
        If the recipe has no such entry, or as
        :func:`~napari_wbc.train.detector.train_detector`.
    """
    plan: DetectorRecipe = planned(DetectorRecipe, recipe, DetectorPreset)
    device = resolve_device(device)
    make_folder(Path(out))
    cells = yield from _seen_steps(paths)
    _check_sides(cells)
    data = yield from read_fields(cells, plan.classes, plan.preset)
    return (yield from train_detector(data, plan, out, device=device))


def _seen_steps(paths: Sequence[str | Path]) -> Steps[list[LabelledCell]]:
    """The cells that training may look at: of no image that one of the sets holds for testing."""
    read: list[tuple[LabelledCell, ...]] = []
    for path in paths:
        yield Progress("reading labels", 0, 0)
        read.append((yield from read_training_set_steps(path)))
    sets, _hashes = yield from sided_steps(read, "reading images")
    return [cell for one in sets for cell in one if cell.split != "test"]


def _check_sides(cells: Sequence[LabelledCell]) -> None:
    """Refuse sets that training would refuse, before their images are read."""
    if not {"train", "val"} <= {cell.split for cell in cells}:
        raise WbcError(
            "Training needs cells in the splits train and val; add them to the training set."
        )


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
            raise WbcError(f"A recipe takes {name} as a table of values, not {part!r}.")
        plan[name] = _filled(part_kind, part, f"{name}.")
    if "classes" in plan:
        classes = plan["classes"]
        if not isinstance(classes, (list, tuple)) or not all(
            isinstance(one, str) for one in classes
        ):
            raise WbcError(f"A recipe takes classes like {BLOOD_CLASSES}, not {classes!r}.")
        plan["classes"] = tuple(classes)
    return _filled(kind, plan, "")


def _filled(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    known = {f.name: f.default for f in dataclasses.fields(kind)}
    unknown = [name for name in values if name not in known]
    if unknown:
        raise WbcError(
            f"A recipe has no {', '.join(where + name for name in unknown)}; "
            f"it has {', '.join(where + name for name in known)}."
        )
    for name, value in values.items():
        default = known[name]
        fits = (int, float) if isinstance(default, float) else type(default)
        if default is not dataclasses.MISSING and (
            not isinstance(value, fits)
            or (isinstance(value, bool) and not isinstance(default, bool))
        ):
            raise WbcError(f"A recipe takes {where}{name} like {default!r}, not {value!r}.")
    return kind(**values)


def read_config(path: str | Path) -> tuple[list[Path], dict[str, Any]]:
    """Read a TOML file that says how to train.

    Parameters
    ----------
    path : str or Path
        ``data`` lists training sets and ``start`` may name weights, both relative to the file; the
        rest is the recipe.

    Returns
    -------
    data : list of Path
    recipe : dict

    Raises
    ------
    WbcError
        If it cannot be read or is no TOML.
    """
    path = Path(path)
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WbcError(f"{path}: not a readable TOML file ({error}).") from error
    given = [name for name in ("paths", "out", "device", "taxonomy") if name in recipe]
    if given:
        raise WbcError(
            f"{path}: a recipe has no {', '.join(given)}; say it where the training is started."
        )
    data = recipe.pop("data", [])
    if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
        raise WbcError(f"{path}: data must be a list of paths, such as data = ['fields.csv'].")
    if isinstance(recipe.get("start"), str) and recipe["start"]:
        recipe["start"] = str(path.parent / recipe["start"])
    return [path.parent / one for one in data], recipe
