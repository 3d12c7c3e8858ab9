"""``napari-wbc analyze``, ``classify``, ``adapt`` and ``demo``: from images to results."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table
from typer import Option

from napari_wbc.cli.film import (
    KEPT,
    Cells,
    Region,
    Seed,
    Tiles,
    Where,
    Workers,
    film_options,
    less_results,
)
from napari_wbc.cli.options import (
    DETECTOR,
    Detector,
    Device,
    Out,
    Paths,
    Quiet,
    Weights,
    check_csv,
    detector_in_use,
    given,
    in_use,
)
from napari_wbc.cli.progress import drive, end, note, print_table, say, shown
from napari_wbc.cli.report import tell
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.words import counted

if TYPE_CHECKING:
    from napari_wbc.model.differential import Differential
    from napari_wbc.pipeline.analysis import Analysis


def analyze(
    paths: Paths,
    *,
    out: Out,
    detector: Detector = DETECTOR,
    preset: Annotated[
        str | None,
        Option(
            help="Of hsv: nucleus or youssef-2024; else weights of Mask R-CNN, by name or file.",
            show_default="the weights in use, nucleus",
        ),
    ] = None,
    score: Annotated[
        float | None,
        Option(min=0, max=1, help="Lowest score of a cell.", show_default="the cell finder's own"),
    ] = None,
    overlap: Annotated[
        float | None,
        Option(
            min=0,
            max=1,
            help="Of boxes that overlap by more than this IoU, the surest is kept (mask-rcnn).",
        ),
    ] = None,
    device: Device = "auto",
    weights: Weights = None,
    threshold: Annotated[
        float | None,
        Option(
            help="Confidence below which a cell is unidentified.", show_default="the model's own"
        ),
    ] = None,
    project: Annotated[
        Path | None, Option(help="Also keep it as a new project (.wbc), to be reviewed.")
    ] = None,
    report: Annotated[
        bool, Option("--report", help="Also write a report of each slide, marked not reviewed.")
    ] = False,
    heat: Annotated[
        bool, Option("--heat", help="In the report, show where the model looked (Grad-CAM).")
    ] = False,
    where: Where = "everywhere",
    region: Region = None,
    tiles: Tiles = "meander",
    seed: Seed = 0,
    cells: Cells = None,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Locate, classify and count the leukocytes of slides.

    A folder is one slide, an image file a slide of one field; a scanned film is worked on tile by
    tile, and a run that was ended goes on where it was. Writes cells.csv, cells.geojson,
    fields.csv, differential.csv, differential.json and overlays/.
    """
    from napari_wbc.pipeline.analyze import analyze_steps
    from napari_wbc.pipeline.film.kept import forget
    from napari_wbc.pipeline.lab_report.reference import settings_of
    from napari_wbc.pipeline.lab_report.write import report_steps
    from napari_wbc.pipeline.project import save_project

    if heat and not report:
        raise WbcError("--heat is of the report; add --report.")
    # What cannot be written is refused now, not after minutes of work.
    make_folder(out)
    if project is not None and project.exists():
        raise WbcError(f"{project}: this project is there already; name another file.")
    paths = less_results(paths, out, "cells.csv")
    film = film_options(
        out, where=where, region=region, tiles=tiles, seed=seed, cells=cells, workers=workers
    )
    steps = analyze_steps(
        paths,
        detector,
        detector_in_use(detector, preset),
        # hsv has neither, so an option that was not given must not reach it.
        given(score=score, overlap=overlap),
        device=device,
        weights=in_use(weights),
        threshold=threshold,
        skip=out / "overlays",
        film=film,
    )
    analysis = drive(steps, quiet=quiet, interrupted=KEPT)
    # The results come first, so that a project or a report that cannot be written costs none.
    failed = _written(analysis, out, quiet=quiet)
    if project is not None:
        save_project(analysis, project)
    if report:
        reporting = report_steps(analysis, out / "report", settings_of(), heat=heat)
        tell(drive(reporting, quiet=quiet), quiet=quiet)
    # Of tiles that failed, the next run works on these alone.
    if not analysis.failures:
        forget(film.keep)
    if analysis.cells.empty and not quiet:
        note("No cell was found; try another --detector or --preset.")
    end(failed, f"the rest was written to {out}", total=analysis.n_fields)


def _written(analysis: Analysis, out: Path, *, quiet: bool) -> int:
    """Write results, and return how many files failed."""
    from napari_wbc.pipeline.report import write_results

    written = drive(write_results(analysis, out), quiet=quiet)
    if not quiet:
        for slide in analysis.slides:
            print_table(_differential_table(slide.differential))
        say(f"{counted(len(analysis.cells))} written to {out}")
    # A file may fail in the analysis and again for its overlay; it is counted once.
    return len({failure.path for failure in (*analysis.failures, *written.failures)})


def _differential_table(differential: Differential) -> Table:
    # rich takes a slide that is named [b] for markup.
    title = shown(f"{differential.slide}: {counted(differential.total, 'leukocyte')}")
    table = Table(
        title=title,
        title_justify="left",
        caption="Research use only. The model's errors are not in the limits.",
    )
    table.add_column("class")
    for name in ("count", "%", "95 % limits"):
        table.add_column(name, justify="right")
    for share in differential.shares:
        # Without a leukocyte there is no percentage.
        empty = math.isnan(share.percent)
        percent = "–" if empty else f"{share.percent:.1f}"
        limits = "–" if empty else f"{share.low:.1f} – {share.high:.1f}"
        table.add_row(share.name, str(share.count), percent, limits)
    table.add_section()
    for row in differential.beside:
        rate = row.per_100_wbc
        related = limits = ""
        if rate is not None and not math.isnan(rate):
            related = f"{rate:.1f} per 100"
            limits = f"{row.low:.1f} – {row.high:.1f}"
        # A label may come from a file of anybody's; rich takes [b] for markup.
        table.add_row(shown(row.name), str(row.count), related, limits)
    return table


def classify(
    paths: Paths,
    out: Annotated[Path, Option(help="CSV file for the predictions.")],
    device: Device = "auto",
    weights: Weights = None,
    quiet: Quiet = False,
) -> None:
    """Classify images that show one cell each."""
    from napari_wbc.pipeline.classify import classify_steps
    from napari_wbc.storage.tables import write_csv

    check_csv(out)
    steps = classify_steps(paths, weights=in_use(weights), device=device)
    result = drive(steps, quiet=quiet)
    write_csv(out, result.cells)
    if not quiet:
        say(f"{counted(len(result.predictions), 'prediction')} written to {out}")
    end(len(result.failures), f"the rest was written to {out}")


def adapt(
    paths: Paths,
    *,
    out: Annotated[Path, Option(help="Folder for the new model.")],
    weights: Weights = None,
    name: Annotated[str, Option(help="Name of the new model.")] = "adapted",
    detector: Detector = DETECTOR,
    anyway: Annotated[
        bool, Option("--anyway", help="Adapt even if the model is sure of the cells already.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Adapt a classifier to your stain and camera, from unlabelled fields.

    Takes minutes. Compare the new model with the old on cells that you know before you trust
    it.
    """
    from napari_wbc.pipeline.adapt import adapt_steps

    steps = adapt_steps(
        paths,
        out,
        preset=detector_in_use(detector),
        weights=in_use(weights),
        detector=detector,
        name=name,
        anyway=anyway,
        device=device,
    )
    adapted = drive(steps, quiet=quiet)
    say(f"Model adapted to {counted(adapted.cells)} written to {adapted.weights}")
    # Quoted, so that a path with a space can be copied into the shell.
    say(f"Use it: napari-wbc analyze ... --weights {shlex.quote(str(adapted.weights))}")
    end(len(adapted.failures), "the rest was used")


def demo(
    out: Annotated[Path, Option(help="Folder for the results.")] = Path("demo-output"),
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Run the main job on real fields where NAPARI_WBC_DATA names them, else on a drawn smear."""
    from napari_wbc.pipeline.demo import demo_steps

    make_folder(out)
    result = drive(demo_steps(out, device=device), quiet=quiet)
    say(f"Demo on {result.origin}.")
    failed = _written(result.analysis, out, quiet=quiet)
    if result.leukocytes is not None:
        say(f"{counted(result.leukocytes, 'leukocyte')} drawn.")
    say(f"Look at {out / 'overlays'}, {out / 'differential.csv'} and {out / 'cells.csv'}.")
    end(failed, f"the rest was written to {out}", total=result.analysis.n_fields)
