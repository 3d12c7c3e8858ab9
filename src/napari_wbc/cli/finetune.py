"""``napari-wbc finetune``: corrected labels to a better model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from napari_wbc.cli.progress import drive
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR

__all__ = ["finetune"]


def finetune(
    sets: Annotated[list[Path], typer.Argument(help="Training sets.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="Folder for weights, card, curves and checkpoint.")],
    detector: Annotated[bool, typer.Option("--detector", help="A detector, not a classifier.")] = False,
    start: Annotated[
        str | None, typer.Option(help="Weights to go on from.", show_default="the shipped ones")
    ] = None,
    old: Annotated[
        list[Path] | None,
        typer.Option(help="Training set that these weights know, learnt again in part; may be repeated."),
    ] = None,
    replay: Annotated[int, typer.Option(min=0, help="Cells of old sets that are learnt again.")] = 2000,
    new_class: Annotated[list[str] | None, typer.Option(help="A class to add; may be repeated.")] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Only the last layer learns.")] = False,
    name: Annotated[str | None, typer.Option(help="Name of the new weights.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, less text.")] = False,
) -> None:
    """Go on training with corrected labels; run the same command again to resume it.

    Minutes on two cores for 100 to 1,000 cells. Compare the new weights with the old before you adopt them.
    """
    from napari_wbc.pipeline.finetune import finetune_detector_steps, finetune_steps

    recipe: dict[str, Any] = {"name": name, "epochs": epochs}
    recipe = {"seed": seed, **{key: value for key, value in recipe.items() if value is not None}}
    steps: Any
    if detector:
        steps = finetune_detector_steps(
            sets, out, start=start or DEFAULT_DETECTOR, old=old or (), device=device, **recipe
        )
    else:
        steps = finetune_steps(
            sets,
            out,
            start=start or DEFAULT_CLASSIFIER,
            old=old or (),
            replay=replay,
            new_classes=new_class or (),
            freeze=freeze,
            device=device,
            **recipe,
        )
    trained = drive(steps, Console(stderr=True), quiet=quiet)
    print(f"Weights written to {trained.weights}, their card and curves beside them.")
    if not detector:
        old_name, new_name = (shlex.quote(str(one)) for one in (start or DEFAULT_CLASSIFIER, trained.weights))
        print(f"Compare: napari-wbc compare --data HELD_OUT --old {old_name} --new {new_name} --out DIR")
