"""The command line ``napari-wbc``.

Exit codes: 0 done, 2 wrong arguments, 3 some files failed and the rest was written.
"""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_wbc import __version__
from napari_wbc.cli.choose import choose, doubts
from napari_wbc.cli.compare import compare
from napari_wbc.cli.explain import explain
from napari_wbc.cli.finetune import finetune
from napari_wbc.cli.models import models_app
from napari_wbc.cli.options import Device, Paths, Quiet, Weights, check_csv, detector_in_use, in_use
from napari_wbc.cli.progress import RESUMED, SOME_FILES_FAILED, drive
from napari_wbc.cli.project import agreement, export
from napari_wbc.cli.sets import set_app
from napari_wbc.cli.threads import computing
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.words import counted

if TYPE_CHECKING:
    from napari_wbc.model.differential import Differential
    from napari_wbc.pipeline.analyze import Analysis

__all__ = ["app", "main"]

WRONG_ARGUMENTS = 2
app = typer.Typer(
    name="napari-wbc",
    help="Locate, classify and count white blood cells in stained blood-film images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
train_app = typer.Typer(help="Train networks on labelled cells.", no_args_is_help=True)
app.add_typer(train_app, name="train")
app.command()(export)
app.command()(agreement)
app.command()(computing(explain))
app.command()(computing(finetune))
app.command()(computing(compare))
app.command()(computing(choose))
app.command()(computing(doubts))
app.add_typer(set_app, name="set")
app.add_typer(models_app, name="models")

Taxonomy = Annotated[
    str | None,
    typer.Option(
        help="Classes: two, four, five, eight or a YAML file.", show_default="the weights' own"
    ),
]


def main() -> None:
    """Run the command line; a WbcError becomes one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except WbcError as error:
        _errors().print(f"napari-wbc: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(WRONG_ARGUMENTS)


def _errors() -> Console:
    return Console(stderr=True)


def _version(asked: bool) -> None:
    if asked:
        print(f"napari-wbc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command()
@computing
def analyze(
    paths: Paths,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False)],
    detector: Annotated[str, typer.Option(help="mask-rcnn or hsv (by colour).")] = "mask-rcnn",
    preset: Annotated[
        str | None,
        typer.Option(
            help="Of hsv: nucleus or youssef-2024; of mask-rcnn: its weights, by name or file.",
            show_default="the weights in use, nucleus",
        ),
    ] = None,
    score: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Lowest score of a cell.", show_default="the detector's own"
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Of boxes that overlap more than this IoU, the surest stays (mask-rcnn).",
        ),
    ] = None,
    device: Device = "auto",
    weights: Weights = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Confidence below which a cell is unidentified.", show_default="the weights' own"
        ),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            help="Also keep it as a new project (.wbc), to be reviewed.", show_default=False
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Locate, classify and count the leukocytes of slides.

    A folder is one slide, an image file a slide of one field. Writes cells.csv,
    cells.geojson, fields.csv, differential.csv, differential.json and overlays/.
    """
    from napari_wbc.pipeline.analyze import analyze_steps
    from napari_wbc.pipeline.project import save_project

    make_folder(out)
    if project is not None and project.exists():
        raise WbcError(f"{project}: this project is there already; name another file.")
    if (
        len(paths) > 1 and (out / "cells.csv").is_file()
    ):  # slides/* names the results of the last run too
        paths = [path for path in paths if path.resolve() != out.resolve()]
    parameters = {"score": score, "overlap": overlap}
    steps = analyze_steps(
        paths,
        detector=detector,
        preset=detector_in_use(detector, preset),
        parameters={name: value for name, value in parameters.items() if value is not None},
        device=device,
        weights=in_use(weights),
        threshold=threshold,
        skip=out / "overlays",
    )
    analysis = drive(steps, _errors(), quiet=quiet)
    if project is not None:
        save_project(analysis, project)
    _write(analysis, out, quiet=quiet)
    if analysis.cells.empty and not quiet:
        _errors().print("No cell was found; try another --detector or --preset.")


def _write(analysis: Analysis, out: Path, *, quiet: bool) -> None:
    from napari_wbc.pipeline.report import write_results

    written = drive(write_results(analysis, out, analysis.taxonomy), _errors(), quiet=quiet)
    if not quiet:
        for one in analysis.slides:
            Console().print(_differential_table(one.differential))
        print(f"{counted(len(analysis.cells))} written to {out}")
    failed = {failure.path for failure in (*analysis.failures, *written.failures)}
    if failed:
        fields = sum(len(one.slide.fields) for one in analysis.slides)
        _errors().print(f"{len(failed)} of {fields} files failed; the rest was written to {out}")
        raise typer.Exit(SOME_FILES_FAILED)


def _differential_table(differential: Differential) -> Table:
    title = escape(f"{differential.slide}: {counted(differential.total, 'leukocyte')}")
    table = Table(title=title, title_justify="left")
    for name, justify in (
        ("class", "left"),
        ("count", "right"),
        ("%", "right"),
        ("95 % limits", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for s in differential.shares:
        known = s.percent == s.percent
        table.add_row(
            s.name,
            str(s.count),
            f"{s.percent:.1f}" if known else "–",
            f"{s.low:.1f} – {s.high:.1f}" if known else "–",
        )
    table.add_section()
    for b in differential.beside:
        related = b.per_100_wbc is not None and b.per_100_wbc == b.per_100_wbc
        table.add_row(
            b.name, str(b.count), "", f"{b.per_100_wbc:.1f} per 100 WBC" if related else ""
        )
    table.caption = "Research use only"
    return table


@app.command()
@computing
def classify(
    paths: Paths,
    out: Annotated[Path, typer.Option(help="CSV file for the predictions.", show_default=False)],
    device: Device = "auto",
    weights: Weights = None,
    quiet: Quiet = False,
) -> None:
    """Classify images that show one cell each."""
    from napari_wbc.pipeline.classify import classify_steps, write_predictions

    check_csv(out)
    result = drive(
        classify_steps(paths, weights=in_use(weights), device=device), _errors(), quiet=quiet
    )
    write_predictions(result, out)
    if not quiet:
        print(f"{len(result.predictions)} predictions written to {out}")
    if result.failures:
        _errors().print(f"{len(result.failures)} files failed; the rest was written to {out}")
        raise typer.Exit(SOME_FILES_FAILED)


@app.command()
@computing
def adapt(
    paths: Paths,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the new weights.", show_default=False)],
    weights: Weights = None,
    name: Annotated[str, typer.Option(help="Name of the new weights.")] = "adapted",
    detector: Annotated[str, typer.Option(help="mask-rcnn or hsv (by colour).")] = "mask-rcnn",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also where the weights are sure.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Adapt a classifier to your stain and camera, from unlabelled fields.

    Takes minutes. Compare the new weights with the old on cells that you know before you trust
    them.
    """
    from napari_wbc.pipeline.adapt import adapt_steps

    preset, weights = detector_in_use(detector), in_use(weights)
    steps = adapt_steps(
        paths,
        out,
        weights=weights,
        detector=detector,
        preset=preset,
        name=name,
        anyway=anyway,
        device=device,
    )
    adapted = drive(steps, _errors(), quiet=quiet)
    print(
        f"Weights adapted to {adapted.cells} cells written to {adapted.weights}, their card beside them."
    )
    print(f"Use them: napari-wbc analyze ... --weights {shlex.quote(str(adapted.weights))}")
    if adapted.failures:
        _errors().print(f"{len(adapted.failures)} files failed; the rest was learnt from")
        raise typer.Exit(SOME_FILES_FAILED)


@app.command()
@computing
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output"),
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Run the main job on real fields where NAPARI_WBC_DATA names them, else on a drawn smear."""
    from napari_wbc.pipeline.analyze import analyze_demo_steps

    make_folder(out)
    shown, analysis = drive(analyze_demo_steps(out, device=device), _errors(), quiet=quiet)
    print(f"Demo on {shown.origin}.")
    _write(analysis, out, quiet=quiet)
    if shown.leukocytes is not None:
        print(f"{shown.leukocytes} leukocytes were drawn.")
    print(f"Look at {out / 'overlays'}, {out / 'differential.csv'} and {out / 'cells.csv'}.")


@train_app.command("classifier")
@computing
def train_classifier(
    *,
    out: Annotated[Path, typer.Option(help="Folder for weights, card, curves and checkpoint.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Training set: a folder SPLIT/CLASS/image or a CSV manifest; may be repeated."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with data and recipe; options override it.")
    ] = None,
    taxonomy: Annotated[
        str, typer.Option(help="Classes: two, four, five, eight or a YAML file.")
    ] = "eight",
    name: Annotated[
        str | None, typer.Option(help="Name of the weights.", show_default="cdnn")
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help="A network's name, see docs/training.md.", show_default="cdnn"),
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="softmax, one-vs-rest or two-stage.", show_default="softmax")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Weights of a classifier to start from.", show_default=False)
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, show_default="30")] = None,
    draws: Annotated[
        int | None, typer.Option(min=0, help="Crops an epoch.", show_default="as many as there are")
    ] = None,
    balance: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="1: crops evenly, 0: classes.", show_default="0.5"),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, show_default="64")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="Of AdamW.", show_default="0.003")
    ] = None,
    matrix_rate: Annotated[
        float | None, typer.Option(min=0, help="Of Muon; 0: AdamW alone.", show_default="0.02")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="32-true or bf16-mixed.", show_default="32-true")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, show_default="0")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a classifier; run the same command again to resume it."""
    from napari_wbc.pipeline.training import train_steps
    from napari_wbc.storage.formats.taxonomy import read_taxonomy
    from napari_wbc.train.recipe import read_config

    paths, recipe = read_config(config) if config else ([], {})
    given = {
        "name": name,
        "architecture": architecture,
        "mode": mode,
        "start": start,
        "epochs": epochs,
        "draws": draws,
        "balance": balance,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "matrix_rate": matrix_rate,
        "precision": precision,
        "seed": seed,
    }
    recipe |= {key: value for key, value in given.items() if value is not None}
    paths = data or paths
    if not paths:
        raise WbcError(
            "Say what to train on: --data FOLDER_OR_CSV, or --config FILE.toml that names it."
        )
    steps = train_steps(paths, out, taxonomy=read_taxonomy(taxonomy), device=device, **recipe)
    trained = drive(steps, _errors(), quiet=quiet, interrupted=RESUMED)
    print(f"Weights written to {trained.weights}, their card and curves beside them.")


@train_app.command("detector")
@computing
def train_detector(
    *,
    out: Annotated[Path, typer.Option(help="Folder for weights, card, curves and checkpoint.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Training set: a CSV manifest with boxes or outlines; may be repeated."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with data and recipe; options override it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the weights.", show_default="mask_rcnn")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="mobilenet_v3_large, resnet50 (GroupNorm), resnet50_frozen_bn or vgg16.",
            show_default="mobilenet_v3_large",
        ),
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained", help="Start from torchvision's ImageNet weights (downloaded)."
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Weights of a detector to start from.", show_default=False)
    ] = None,
    blood_cells: Annotated[
        bool, typer.Option("--blood-cells", help="Also find red cells and platelets.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(min=1, show_default="20")] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Canvases an epoch.", show_default="1200")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, show_default="8")] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=0, help="End after so many epochs without a better one; 0: never."),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, show_default="0.001")] = None,
    precision: Annotated[
        str | None, typer.Option(help="32-true or bf16-mixed.", show_default="32-true")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, show_default="0")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a Mask R-CNN; run the same command again to resume it."""
    from napari_wbc.pipeline.locate import BLOOD_CLASSES
    from napari_wbc.pipeline.training import train_detector_steps
    from napari_wbc.train.recipe import read_config

    paths, recipe = read_config(config) if config else ([], {})
    given = {
        "name": name,
        "backbone": backbone,
        "pretrained": pretrained,
        "start": str(start) if start else None,
        "classes": BLOOD_CLASSES if blood_cells else None,
        "epochs": epochs,
        "draws": draws,
        "batch_size": batch_size,
        "patience": patience,
        "learning_rate": learning_rate,
        "precision": precision,
        "seed": seed,
    }
    recipe |= {key: value for key, value in given.items() if value is not None}
    paths = data or paths
    if not paths:
        raise WbcError(
            "Say what to train on: --data MANIFEST.csv, or --config FILE.toml that names it."
        )
    steps = train_detector_steps(paths, out, device=device, **recipe)
    trained = drive(steps, _errors(), quiet=quiet, interrupted=RESUMED)
    print(f"Weights written to {trained.weights}, their card and curves beside them.")


@app.command()
@computing
def evaluate(
    *,
    data: Annotated[list[Path], typer.Option(help="Training set; may be repeated.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    weights: Weights = None,
    taxonomy: Taxonomy = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables and pictures.", show_default=False)
    ] = None,
    heat: Annotated[bool, typer.Option(help="Ask by Grad-CAM where the model looks.")] = True,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure a classifier on labelled cells."""
    from napari_wbc.pipeline.evaluate import evaluate_steps, write_evaluation
    from napari_wbc.storage.formats.taxonomy import read_taxonomy

    classes = read_taxonomy(taxonomy) if taxonomy else None
    weights = in_use(weights)
    steps = evaluate_steps(
        data, split=split, weights=weights, taxonomy=classes, device=device, heat=heat
    )
    evaluation = drive(steps, _errors(), quiet=quiet)
    measures = (
        "accuracy",
        "balanced accuracy",
        "macro F1",
        "ROC AUC",
        "calibration error",
        "heat inside",
    )
    table = Table("source", "cells", *measures)
    for source, m in evaluation.scores.items():
        looked = evaluation.heat.get(source, ())
        inside = sum(looked) / len(looked) if len(looked) else float("nan")
        shares = (
            m.accuracy,
            m.balanced_accuracy,
            m.macro_f1,
            m.macro_auc,
            m.calibration_error,
            inside,
        )
        table.add_row(escape(source), str(m.n), *(f"{100 * v:.1f}" for v in shares))
    Console().print(table)
    if evaluation.left_out:
        left = ", ".join(f"{n} {label}" for label, n in evaluation.left_out.items())
        _errors().print(f"Left out, no class of the taxonomy: {left}", markup=False)
    if evaluation.warning:
        _errors().print(evaluation.warning, markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        write_evaluation(evaluation, out)
        print(f"Tables and pictures written to {out}")
