"""``napari-wbc finetune``: corrected labels to a better model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from napari_wbc.cli.options import Device, Quiet, in_use
from napari_wbc.cli.progress import RESUMED, drive
from napari_wbc.errors import WbcError

__all__ = ["finetune"]

OPTIONS = {"replay": "--replay", "new_classes": "--new-class", "freeze": "--freeze"}


def finetune(
    sets: Annotated[list[Path], typer.Argument(help="Training sets.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="Folder for weights, card, curves and checkpoint.")],
    detector: Annotated[
        bool, typer.Option("--detector", help="A detector, not a classifier.")
    ] = False,
    start: Annotated[
        str | None, typer.Option(help="Weights to go on from.", show_default="those in use")
    ] = None,
    old: Annotated[
        list[Path] | None,
        typer.Option(
            help="Training set that these weights know, learnt again in part; may be repeated."
        ),
    ] = None,
    replay: Annotated[
        int | None,
        typer.Option(min=0, help="Cells of old sets that are learnt again.", show_default="2000"),
    ] = None,
    new_class: Annotated[
        list[str] | None, typer.Option(help="A class to add; may be repeated.")
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Only the last layer learns.")] = False,
    name: Annotated[str | None, typer.Option(help="Name of the new weights.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Go on training with corrected labels; run the same command again to resume it.

    Minutes on two cores for 100 to 1,000 cells. Compare the new weights with the old before you
    adopt them.
    """
    from napari_wbc.pipeline.finetune import finetune_steps
    from napari_wbc.pipeline.finetune_detector import finetune_detector_steps

    recipe: dict[str, Any] = {
        "name": name,
        "epochs": epochs,
        "replay": replay,
        "new_classes": new_class,
    }
    recipe = {"seed": seed, **{key: value for key, value in recipe.items() if value is not None}}
    if freeze:
        recipe["freeze"] = True
    if detector and (wrong := recipe.keys() & {"replay", "new_classes", "freeze"}):
        named = ", ".join(sorted(OPTIONS[one] for one in wrong))
        raise WbcError(f"{named}: of a classifier only; leave it out, or leave --detector out.")
    start = in_use(start, kind="detector" if detector else "classifier")
    finetuned = finetune_detector_steps if detector else finetune_steps
    steps: Any = finetuned(sets, out, start=start, old=old or (), device=device, **recipe)
    trained = drive(steps, Console(stderr=True), quiet=quiet, interrupted=RESUMED)
    print(f"Weights written to {trained.weights}, their card and curves beside them.")
    if not detector:
        old_name, new_name = (shlex.quote(str(one)) for one in (start, trained.weights))
        print(
            f"Compare: napari-wbc compare --data HELD_OUT --old {old_name} --new {new_name} --out DIR"
        )
