"""``napari-wbc export`` and ``napari-wbc agreement``: reviewed projects in the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_wbc.cli.options import Project, Quiet
from napari_wbc.cli.progress import SOME_FILES_FAILED, drive
from napari_wbc.files.atomic import make_folder

__all__ = ["agreement", "export"]


def export(
    project: Project,
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False)],
    reading: Annotated[str, typer.Option(help="A blind reading, or consensus.")] = "",
    quiet: Quiet = False,
) -> None:
    """Write a reviewed project as analyze writes its results.

    Exit code 3: images are missing or cannot be read, and all but their overlays was written.
    """
    from napari_wbc.pipeline.project import export_project_steps

    make_folder(out)
    errors = Console(stderr=True)
    exported = drive(export_project_steps(project, out, reading=reading), errors, quiet=quiet)
    slides = exported.analysis.slides
    if not quiet:
        cells = sum(len(slide.table) for slide in slides)
        print(f"{cells} cells of {len(slides)} slides written to {out}")
    if exported.failures:
        images = sum(len(slide.slide.fields) for slide in slides)
        errors.print(
            f"{len(exported.failures)} of {images} images cannot be read; all but their overlays was written "
            f"to {out}",
            soft_wrap=True,
        )
        raise typer.Exit(SOME_FILES_FAILED)


def agreement(
    project: Project,
    second: Annotated[
        str, typer.Argument(help="The blind reading; needed where there are several.")
    ] = "",
    first: Annotated[str, typer.Option(help="Another reading than the first reader's.")] = "",
) -> None:
    """Compare two readers of a project: agreement and Cohen's kappa."""
    from napari_wbc.pipeline.project import project_agreement

    table = Table("slide", "cells of both", "alike", "%", "kappa", "95 % limits")
    for one in project_agreement(project, first, second):
        a = one.agreement
        known = a.kappa is not None
        table.add_row(
            escape(one.slide),
            str(a.n),
            str(a.agreed),
            "" if a.percent is None else f"{a.percent:.1f}",
            f"{a.kappa:.3f}" if known else "",
            f"{a.kappa_low:.3f} to {a.kappa_high:.3f}" if known else "",
        )
    Console().print(table)
