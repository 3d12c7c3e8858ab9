"""Options and arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from napari_wbc.cli.progress import note
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.weights.library import Library

Paths = Annotated[list[Path], Argument(help="Image files, or folders of them.")]
Project = Annotated[Path, Argument(help="Project file (.wbc).")]
Out = Annotated[Path, Option(help="Folder for the results.")]
Detector = Annotated[str, Option(help="Cell finder: mask-rcnn, hsv (by colour), or auto: both.")]
DETECTOR = "auto"
"""The default cell finder; it stands here too, since to import its room takes a second."""
Device = Annotated[str, Option(help="auto, cpu or cuda.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="No progress bar, less text.")]
Split = Annotated[str, Option(help="train, val or test.")]
Taxonomy = Annotated[
    str | None,
    Option(help="Classes: two, four, five, eight or a YAML file.", show_default="the model's own"),
]
Weights = Annotated[
    str | None,
    Option(
        help="Name of a model, see `models list`, or a .safetensors file.",
        show_default="the one in use",
    ),
]


def check_csv(out: Path) -> None:
    """Refuse a file that is no CSV file or could not be written, before any work.

    Raises
    ------
    WbcError
        If it has another suffix, is a folder, or its folder cannot be made.
    """
    if out.suffix.lower() != ".csv" or out.is_dir():
        raise WbcError(f"{out}: this is no CSV file; name one that ends in .csv.")
    make_folder(out.parent)


def detector_in_use(detector: str, preset: str | None = None) -> str | None:
    """The preset that was named, or the Mask R-CNN weights in use; None of the search by colour."""
    return in_use(preset, kind="detector") if detector != "hsv" else preset


def given(**options: Any) -> dict[str, Any]:
    """Options that a person gave: those that are None must not override a default or a file."""
    return {name: value for name, value in options.items() if value is not None}


def in_use(weights: str | None, *, kind: str = "classifier") -> str:
    """The weights that a person named, or else those in use.

    A note on standard error names those in use, unless they are the shipped ones.

    Raises
    ------
    WeightsError
        If the record of what is in use is damaged.
    """
    if weights is not None:
        return weights
    library = Library()
    model = library.adopted(kind)
    # If the adopted model is missing, the shipped one works in its place, and the note says so.
    message = library.note(kind)
    if model.card and not model.shipped:
        message = f"{kind.capitalize()} in use: {model.card.model_id}"
    if message:
        note(message)
    return model.weights
