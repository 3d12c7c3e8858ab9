"""``napari-wbc train`` and ``finetune``: from labelled cells to a new model."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from napari_wbc.cli.added import computing, training
from napari_wbc.cli.options import Device, Quiet, given, in_use
from napari_wbc.cli.progress import RESUMED, drive, say
from napari_wbc.errors import WbcError

train_app = typer.Typer(help="Train networks on labelled cells.", no_args_is_help=True)
Out = Annotated[Path, Option(help="Folder for model, curves and checkpoint.")]
CLASSIFIER_OPTIONS = {"replay": "--replay", "new_classes": "--new-class", "freeze": "--freeze"}


@train_app.command("classifier")
@computing
@training(
    name="cdnn",
    sets="Training set: a folder SPLIT/CLASS/image or a CSV manifest; may be repeated.",
    epochs=("30", 1),
    draws=("as many as there are", 0),
    batch_size=("64", 2),
    learning_rate=("0.003", 1e-9),
)
def train_classifier(
    *,
    out: Out,
    taxonomy: Annotated[
        str, Option(help="Classes: two, four, five, eight or a YAML file.")
    ] = "eight",
    architecture: Annotated[
        str | None, Option(help="A network's name, see docs/training.md.", show_default="cdnn")
    ] = None,
    mode: Annotated[
        str | None, Option(help="softmax, one-vs-rest or two-stage.", show_default="softmax")
    ] = None,
    start: Annotated[str | None, Option(help="Classifier to start from.")] = None,
    balance: Annotated[
        float | None,
        Option(
            min=0,
            max=1,
            help="How cells are drawn: 1 all alike, 0 all classes alike.",
            show_default="0.5",
        ),
    ] = None,
    matrix_rate: Annotated[
        float | None,
        Option(
            min=0,
            help="Step size of the optimizer Muon; 0 trains by AdamW alone.",
            show_default="0.02",
        ),
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    **shared: Any,
) -> None:
    """Train a classifier; run the same command again to resume it."""
    from napari_wbc.pipeline.training import train_steps
    from napari_wbc.storage.formats.taxonomy import read_taxonomy

    options = shared | {"architecture": architecture, "mode": mode, "start": start}
    options |= {"balance": balance, "matrix_rate": matrix_rate}
    fixed = {"taxonomy": read_taxonomy(taxonomy), "device": device}
    _train(train_steps, out, options, fixed, quiet=quiet)


@train_app.command("detector")
@computing
@training(
    name="mask_rcnn",
    sets="Training set: a CSV manifest with boxes or outlines; may be repeated.",
    epochs=("20", 1),
    draws=("1200", 1),
    batch_size=("8", 1),
    learning_rate=("0.001", 0),
)
def train_detector(
    *,
    out: Out,
    backbone: Annotated[
        str | None,
        Option(
            help="efficientnet_lite0, mobilenet_v3_large, resnet50, resnet50_frozen_bn, vgg16.",
            show_default="mobilenet_v3_large",
        ),
    ] = None,
    pretrained: Annotated[
        bool | None,
        Option("--pretrained", help="Start from ImageNet weights (see the page on training)."),
    ] = None,
    start: Annotated[Path | None, Option(help="Cell finder to start from.")] = None,
    blood_cells: Annotated[
        bool, Option("--blood-cells", help="Also find red cells and platelets.")
    ] = False,
    patience: Annotated[
        int | None, Option(min=0, help="End after so many epochs without a better one; 0: never.")
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    **shared: Any,
) -> None:
    """Train a Mask R-CNN; run the same command again to resume it."""
    from napari_wbc.detect.mask_rcnn import BLOOD_CLASSES
    from napari_wbc.pipeline.training import train_detector_steps

    options = shared | {"backbone": backbone, "pretrained": pretrained, "patience": patience}
    options["start"] = str(start) if start else None
    options["classes"] = BLOOD_CLASSES if blood_cells else None
    _train(train_detector_steps, out, options, {"device": device}, quiet=quiet)


def _train(
    verb: Callable[..., Any],
    out: Path,
    options: Mapping[str, Any],
    fixed: Mapping[str, Any],
    *,
    quiet: bool,
) -> None:
    """Train by the recipe of the file ``config``, where an option that was given comes first."""
    from napari_wbc.train.recipe import read_config

    recipe = given(**options)
    data = recipe.pop("data", [])
    if config := recipe.pop("config", None):
        sets, written = read_config(config)
        data = data or sets
        recipe = written | recipe
    if not data:
        raise WbcError(
            "Say what to train on: --data TRAINING_SET, or --config FILE.toml that names it."
        )
    trained = drive(verb(data, out, **fixed, **recipe), quiet=quiet, interrupted=RESUMED)
    say(f"Model written to {trained.weights}, its curves beside it.")


def finetune(
    sets: Annotated[list[Path], Argument(help="Training sets.")],
    *,
    out: Out,
    detector: Annotated[
        bool, Option("--detector", help="A cell finder, not a classifier.")
    ] = False,
    start: Annotated[
        str | None, Option(help="Model to go on from.", show_default="the one in use")
    ] = None,
    old: Annotated[
        list[Path] | None,
        Option(help="Training set that this model knows, used again in part; may be repeated."),
    ] = None,
    replay: Annotated[
        int | None,
        Option(min=0, help="Cells of old sets that are used again.", show_default="2000"),
    ] = None,
    new_class: Annotated[list[str] | None, Option(help="A class to add; may be repeated.")] = None,
    freeze: Annotated[bool, Option("--freeze", help="Only the last layer learns.")] = False,
    name: Annotated[str | None, Option(help="Name of the new model.")] = None,
    epochs: Annotated[int | None, Option(min=1)] = None,
    seed: Annotated[int, Option(min=0, max=2**31 - 1)] = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Go on training with corrected labels; run the same command again to resume it.

    Minutes on two cores for 100 to 1,000 cells. Compare the new model with the old before you
    adopt it.
    """
    from napari_wbc.pipeline.finetune import finetune_steps
    from napari_wbc.pipeline.finetune_detector import finetune_detector_steps

    recipe = given(name=name, epochs=epochs, seed=seed, replay=replay, new_classes=new_class)
    recipe |= given(freeze=freeze or None)
    # Refused, not ignored: the new model would not be what was asked for.
    if detector and (wrong := recipe.keys() & CLASSIFIER_OPTIONS.keys()):
        names = ", ".join(sorted(map(CLASSIFIER_OPTIONS.__getitem__, wrong)))
        raise WbcError(f"{names}: of a classifier only; leave it out, or leave --detector out.")
    start = in_use(start, kind="detector" if detector else "classifier")
    verb: Any = finetune_detector_steps if detector else finetune_steps
    steps = verb(sets, out, start=start, old=old or (), device=device, **recipe)
    trained = drive(steps, quiet=quiet, interrupted=RESUMED)
    say(f"Model written to {trained.weights}, its curves beside it.")
    if not detector:
        models = f"--old {shlex.quote(start)} --new {shlex.quote(str(trained.weights))}"
        say(f"Compare: napari-wbc compare --data HELD_OUT {models} --out DIR")
