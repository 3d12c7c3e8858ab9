"""What several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.weights.library import Library

__all__ = [
    "Device",
    "Paths",
    "Project",
    "Quiet",
    "Weights",
    "check_csv",
    "detector_in_use",
    "in_use",
]

Paths = Annotated[
    list[Path], typer.Argument(help="Image files, or folders of them.", show_default=False)
]
Project = Annotated[Path, typer.Argument(help="Project file (.wbc).", show_default=False)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, less text.")]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Name of a model, see `models list`, or a .safetensors file.",
        show_default="the one in use",
    ),
]


def check_csv(out: Path) -> None:
    """Refuse a CSV file that could not be written, or that another suffix says is none, before any work.

    Raises
    ------
    WbcError
        Of these.
    """
    if out.suffix.lower() != ".csv" or out.is_dir():
        raise WbcError(f"{out}: this is no CSV file; name one that ends in .csv.")
    make_folder(out.parent)


def detector_in_use(detector: str, preset: str | None = None) -> str | None:
    """The preset that a person named, or else the mask-rcnn weights in use; None for another detector."""
    return in_use(preset, kind="detector") if detector == "mask-rcnn" else preset


def in_use(weights: str | None, *, kind: str = "classifier") -> str:
    """The weights that a person named, or else those in use, which stderr tells if they are not shipped.

    Raises
    ------
    WeightsError
        If the record of what is in use is damaged.
    """
    if weights is not None:
        return weights
    library = Library()
    model = library.adopted(kind)
    told = library.note(kind)
    if model.card and not model.shipped:
        told = f"{kind.capitalize()} in use: {model.card.model_id}"
    if told:
        Console(stderr=True).print(told, markup=False, highlight=False, soft_wrap=True)
    return model.weights
