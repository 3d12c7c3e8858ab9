"""``napari-wbc explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from napari_wbc.cli.options import Device, Paths, Quiet, Weights, detector_in_use, in_use
from napari_wbc.cli.progress import SOME_FILES_FAILED, drive

__all__ = ["explain"]


def explain(
    paths: Paths,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False)],
    method: Annotated[
        str,
        typer.Option(help="grad-cam, guided-grad-cam, integrated-gradients, occlusion or lime."),
    ] = "grad-cam",
    target: Annotated[
        str, typer.Option(help="Class asked for.", show_default="each cell's own")
    ] = "",
    against: Annotated[
        str, typer.Option(help="Class it is set against.", show_default="none")
    ] = "",
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Of Grad-CAM; may be repeated.", show_default="the deep ones"),
    ] = None,
    samples: Annotated[int, typer.Option(min=2, help="Of LIME, a cell.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of LIME.")] = 0,
    detector: Annotated[str, typer.Option(help="mask-rcnn or hsv (by colour).")] = "mask-rcnn",
    weights: Weights = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Show why cells were classified as they were: heat on the pixels that spoke for the class.

    Writes heat/ (TIFF, float32, 0 to 1), overlays/ (PNG) and heat.csv.
    """
    from napari_wbc.explain.attribution import Question
    from napari_wbc.pipeline.explain import explain_files_steps

    question = Question(method, target, against, tuple(layer or ()), samples, seed)
    preset, weights = detector_in_use(detector), in_use(weights)
    steps = explain_files_steps(
        paths, out, question, detector=detector, preset=preset, weights=weights, device=device
    )
    errors = Console(stderr=True)
    found = drive(steps, errors, quiet=quiet)
    if not quiet:
        print(f"{found.told}.")
        print(f"Heat, overlays and heat.csv written to {out}")
    if found.failures:
        errors.print(f"{len(found.failures)} files failed; the rest was written to {out}")
        raise typer.Exit(SOME_FILES_FAILED)
