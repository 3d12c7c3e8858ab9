"""Weights by name: those shipped in the package, or a path to a person's own."""

from __future__ import annotations

from pathlib import Path

from napari_wbc.errors import WeightsError

__all__ = ["DEFAULT_CLASSIFIER", "DEFAULT_DETECTOR", "find_weights", "shipped_weights"]

DEFAULT_CLASSIFIER = "cdnn"
DEFAULT_DETECTOR = "mask_rcnn"
_DATA = Path(__file__).parent / "data"


def shipped_weights() -> tuple[str, ...]:
    """Names of the weights in the package."""
    return tuple(sorted(path.stem for path in _DATA.glob("*.safetensors")))


def find_weights(name: str | Path = DEFAULT_CLASSIFIER) -> Path:
    """Where the weights of a name are.

    Parameters
    ----------
    name : str or Path
        Name of shipped weights, or the path of a ``.safetensors`` file.

    Raises
    ------
    WeightsError
        If there are none.
    """
    for path in (_DATA / f"{name}.safetensors", Path(name)):
        if path.suffix == ".safetensors" and path.is_file():
            return path
    shipped = ", ".join(shipped_weights()) or "none"
    raise WeightsError(f"No weights {str(name)!r}; give a .safetensors file or one of: {shipped}.")
