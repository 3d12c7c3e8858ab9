"""Training sets to new weights."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES, DetectorPreset
from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Steps
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.evaluate import read_training_sets
from napari_wbc.storage.atomic import make_folder
from napari_wbc.train.augment import Augmentation
from napari_wbc.train.dataset import cut_training_crops
from napari_wbc.train.detector import DetectorRecipe, TrainedDetector, train_detector
from napari_wbc.train.engine import ROOM, Recipe, Trained, train_classifier
from napari_wbc.train.fields import read_fields
from napari_wbc.weights.device import resolve_device

__all__ = ["read_config", "train_detector_steps", "train_steps"]


def train_steps(
    paths: Sequence[str | Path], out: str | Path, *, device: str = "auto", **recipe: Any
) -> Steps[Trained]:
    """Train a classifier of the eight classes.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    out : str or Path
        Folder of the weights, the card and the checkpoint; an interrupted run is resumed.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    **recipe
        Of :class:`~napari_wbc.train.engine.Recipe`.
    """
    plan = Recipe(**recipe)
    device = resolve_device(device)
    make_folder(Path(out))
    cells = [cell for cell in read_training_sets(paths) if cell.split != "test"]
    data = yield from cut_training_crops(cells, EIGHT_CLASSES.names, plan.preset, room=ROOM)
    return (yield from train_classifier(data, EIGHT_CLASSES.names, plan, out, device=device))


def train_detector_steps(
    paths: Sequence[str | Path], out: str | Path, *, device: str = "auto", **recipe: Any
) -> Steps[TrainedDetector]:
    """Train a detector.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    out : str or Path
        Folder of the weights, the card, the curves and the checkpoint; an interrupted run is resumed.
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
    plan = _recipe(recipe)
    device = resolve_device(device)
    make_folder(Path(out))
    cells = [cell for cell in read_training_sets(paths) if cell.split != "test"]
    data = yield from read_fields(cells, plan.classes, plan.preset)
    return (yield from train_detector(data, plan, out, device=device))


def _recipe(values: Mapping[str, Any]) -> DetectorRecipe:
    plan = dict(values)
    for name, kind in (("preset", DetectorPreset), ("augmentation", Augmentation)):
        part = plan.get(name, {})
        if not isinstance(part, Mapping):
            raise WbcError(f"A detector's recipe takes {name} as a table of values, not {part!r}.")
        plan[name] = _filled(kind, part, f"{name}.")
    if "classes" in plan:
        classes = plan["classes"]
        if not isinstance(classes, (list, tuple)) or not all(isinstance(one, str) for one in classes):
            raise WbcError(f"A detector's recipe takes classes like {BLOOD_CLASSES}, not {classes!r}.")
        plan["classes"] = tuple(classes)
    result: DetectorRecipe = _filled(DetectorRecipe, plan, "")
    return result


def _filled(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    known = {f.name: f.default for f in dataclasses.fields(kind)}
    unknown = [name for name in values if name not in known]
    if unknown:
        raise WbcError(
            f"A detector's recipe has no {', '.join(where + name for name in unknown)}; "
            f"it has {', '.join(where + name for name in known)}."
        )
    for name, value in values.items():
        default = known[name]
        fits = (int, float) if isinstance(default, float) else type(default)
        if default is not dataclasses.MISSING and (
            not isinstance(value, fits) or (isinstance(value, bool) and not isinstance(default, bool))
        ):
            raise WbcError(f"A detector's recipe takes {where}{name} like {default!r}, not {value!r}.")
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
    given = [name for name in ("paths", "out", "device") if name in recipe]
    if given:
        raise WbcError(f"{path}: a recipe has no {', '.join(given)}; say it where the training is started.")
    data = recipe.pop("data", [])
    if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
        raise WbcError(f"{path}: data must be a list of paths, such as data = ['fields.csv'].")
    if isinstance(recipe.get("start"), str) and recipe["start"]:
        recipe["start"] = str(path.parent / recipe["start"])
    return [path.parent / one for one in data], recipe
