"""``napari-wbc export`` and ``napari-wbc agreement``: reviewed projects in the shell."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from napari_wbc.cli.options import Out, Project, Quiet, check_csv
from napari_wbc.cli.progress import SOME_FILES_FAILED, drive, note, say, shown
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.words import counted, listed


def export(
    project: Project,
    out: Out,
    reading: Annotated[str, Option(help="A blind reading, or consensus.")] = "",
    quiet: Quiet = False,
) -> None:
    """Write a reviewed project as analyze writes its results.

    Exit code 3: images are missing or cannot be read, and all but their overlays was written.
    """
    from napari_wbc.pipeline.project import export_project_steps

    make_folder(out)
    exported = drive(export_project_steps(project, out, reading=reading), quiet=quiet)
    analysis = exported.analysis
    if not quiet:
        cells = counted(len(analysis.cells))
        say(f"{cells} of {counted(len(analysis.slides), 'slide')} written to {out}")
    if exported.failures:
        images = f"{len(exported.failures)} of {counted(analysis.n_fields, 'image')}"
        note(
            f"{images} cannot be read; all but their overlays was written to {out}. If their "
            f"folder was renamed or moved, open {project} in napari and choose Images moved…"
        )
        raise typer.Exit(SOME_FILES_FAILED)


def agreement(
    project: Project,
    second: Annotated[
        str, Argument(help="The blind reading; needed where there are several.")
    ] = "",
    first: Annotated[str, Option(help="Another reading than the first reader's.")] = "",
) -> None:
    """Compare two readers of a project: agreement and Cohen's kappa."""
    from napari_wbc.pipeline.project import project_agreement

    table = Table("slide", "cells of both", "alike", "%", "95 % limits", "kappa", "95 % limits")
    for slide in project_agreement(project, first, second):
        agreement = slide.agreement
        percent = exact = ""
        if agreement.percent is not None:
            percent = f"{agreement.percent:.1f}"
            _, low, high = agreement.percent_limits
            exact = f"{low:.1f} to {high:.1f}"
        kappa = limits = ""
        # Two readers who give every cell one class have no kappa.
        if agreement.kappa is not None:
            kappa = f"{agreement.kappa:.3f}"
            limits = f"{agreement.kappa_low:.3f} to {agreement.kappa_high:.3f}"
        counts = str(agreement.n), str(agreement.agreed)
        table.add_row(shown(slide.slide), *counts, percent, exact, kappa, limits)
    Console().print(table)


def h20(
    project: Project,
    out: Annotated[Path, Option(help="CSV file for the counts.")],
    second: Annotated[
        str, Argument(help="The blind reading; needed where there are several.")
    ] = "",
) -> None:
    """Count films of one blood by two examiners, as CLSI H20-Ed3 has it.

    The slides of the project are the films; the examiners are the first reader and a blind
    reading.
    """
    from napari_wbc.pipeline.h20 import h20 as counts
    from napari_wbc.storage.tables import write_csv

    check_csv(out)
    result = counts(project, second)
    write_csv(out, result.frame)
    table = Table("examiner", "film", "class", "count", "%", "95 % limits")
    for film, examiner, counted_there in result.films:
        for row in counted_there.shares:
            if row.count:
                limits = _between(row.low, row.high)
                texts = (examiner, film, row.name, str(row.count), f"{row.percent:.1f}", limits)
                table.add_row(*(shown(text) for text in texts))
    Console().print(table)
    compared = result.compared
    if compared.n:
        share, low, high = compared.percent_limits
        kappa = "" if compared.kappa is None else f"; kappa {compared.kappa:.3f}"
        say(f"{counted(compared.n)} of both: {share:.1f} % ({low:.1f} to {high:.1f}) alike{kappa}")
    for line in result.notes:
        note(line)


def verify(
    project: Project,
    against: Annotated[Path, Option(help="CSV table with the columns slide, class, percent.")],
    out: Annotated[Path, Option(help="CSV file for the classes of each slide.")],
    reading: Annotated[str, Option(help="A blind reading, or consensus.")] = "",
) -> None:
    """Compare a project with an analyser's or a manual count of the same blood.

    Each class: on how many slides the other percentage lies in our 95 % limits, the mean
    difference, the limits of agreement, and Deming's line.
    """
    from napari_wbc.pipeline.against import against as compared
    from napari_wbc.pipeline.project import project_analysis
    from napari_wbc.storage.tables import write_csv

    check_csv(out)
    result = compared(project_analysis(project, reading=reading), against)
    write_csv(out, result.frame)
    table = Table("class", "slides", "within", "bias", "95 % limits", "agreement", "slope", "r")
    for each in result.methods:
        within = f"{each.within} of {each.slides}"
        limits = _between(each.bias.low, each.bias.high)
        agreement = _between(each.low, each.high)
        slope = "–" if math.isnan(each.slope.value) else f"{each.slope.value:.2f}"
        r = "–" if math.isnan(each.correlation) else f"{each.correlation:.2f}"
        bias = f"{each.bias.value:+.1f}"
        row = (each.label, str(each.slides), within, bias, limits, agreement, slope, r)
        table.add_row(*(shown(text) for text in row))
    Console().print(table)
    if result.unknown:
        note(f"{against}: not in the project, left out: {listed(result.unknown)}")


def _between(low: float, high: float) -> str:
    return "–" if math.isnan(low) else f"{low:.1f} to {high:.1f}"
