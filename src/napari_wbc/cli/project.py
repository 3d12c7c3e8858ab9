"""``napari-wbc export`` and ``napari-wbc agreement``: reviewed projects in the shell."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer import Argument, Option

from napari_wbc.cli.options import Out, Project, Quiet
from napari_wbc.cli.progress import SOME_FILES_FAILED, drive, note
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.words import counted, printable


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
        print(f"{cells} of {counted(len(analysis.slides), 'slide')} written to {out}")
    if exported.failures:
        images = f"{len(exported.failures)} of {counted(analysis.n_fields, 'image')}"
        note(f"{images} cannot be read; all but their overlays was written to {out}")
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
        table.add_row(escape(printable(slide.slide)), *counts, percent, exact, kappa, limits)
    Console().print(table)
