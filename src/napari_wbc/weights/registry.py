"""Weights by name: those shipped in the package, those of a person's library, or a path."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from napari_wbc.errors import WeightsError

DEFAULT_CLASSIFIER = "large"
DEFAULT_DETECTOR = "mask_rcnn"
_DATA = Path(__file__).parent / "data"


def shipped_weights() -> tuple[str, ...]:
    """Names of the weights in the package."""
    return tuple(sorted(path.stem for path in _DATA.glob("*.safetensors")))


def models_folder() -> Path:
    """Where a person's own models are kept: the folder that ``NAPARI_WBC_MODELS`` names.

    Where it names none, it is in the person's own data, such as
    ``~/.local/share/napari-wbc/weights``.
    """
    named = os.environ.get("NAPARI_WBC_MODELS")
    return Path(named) if named else user_data_path("napari-wbc", appauthor=False) / "weights"


def find_weights(name: str | Path = DEFAULT_CLASSIFIER) -> Path:
    """Where the weights of a name are.

    It is the name of shipped weights, or else of a model in the library, or else the path of a
    ``.safetensors`` file.

    Raises
    ------
    WeightsError
        If there are none.
    """
    file = f"{name}.safetensors"
    # The names of the package come first, so that no file of a person takes one over.
    for path in (_DATA / file, models_folder() / file, Path(name)):
        if path.suffix == ".safetensors" and path.is_file():
            return path
    if Path(name).is_file() and Path(name).suffix.lower() == ".wbcmodel":
        raise WeightsError(f"{name}: import this model first: napari-wbc models import {name}")
    own = [path.stem for path in sorted(models_folder().glob("*.safetensors"))]
    names = ", ".join(dict.fromkeys((*shipped_weights(), *own))) or "none"
    raise WeightsError(f"No weights {str(name)!r}; give a .safetensors file or one of: {names}.")
