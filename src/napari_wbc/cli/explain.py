"""``napari-wbc explain``."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from napari_wbc.cli.options import (
    DETECTOR,
    Detector,
    Device,
    Out,
    Paths,
    Quiet,
    Weights,
    detector_in_use,
    in_use,
)
from napari_wbc.cli.progress import drive, end, say


def explain(
    paths: Paths,
    *,
    out: Out,
    method: Annotated[
        str, Option(help="grad-cam, guided-grad-cam, integrated-gradients, occlusion or lime.")
    ] = "grad-cam",
    target: Annotated[str, Option(help="Class asked for.", show_default="each cell's own")] = "",
    against: Annotated[
        str,
        Option(
            help="Show what speaks for the class rather than for this one.", show_default="none"
        ),
    ] = "",
    layer: Annotated[
        list[str] | None, Option(help="Of Grad-CAM; may be repeated.", show_default="the deep ones")
    ] = None,
    samples: Annotated[int, Option(min=2, help="Of LIME, a cell.")] = 200,
    seed: Annotated[int, Option(min=0, help="Of LIME.")] = 0,
    detector: Detector = DETECTOR,
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
    preset = detector_in_use(detector)
    steps = explain_files_steps(
        paths, out, question, detector, preset, weights=in_use(weights), device=device
    )
    explained = drive(steps, quiet=quiet)
    if not quiet:
        say(f"{explained.summary}.")
        say(f"Heat, overlays and heat.csv written to {out}")
    end(len(explained.failures), f"the rest was written to {out}")
