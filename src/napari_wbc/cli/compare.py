"""``napari-wbc compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_wbc.cli.options import Device, Quiet, in_use
from napari_wbc.cli.progress import drive
from napari_wbc.files.atomic import make_folder

__all__ = ["compare"]


def compare(
    *,
    data: Annotated[
        list[Path], typer.Option(help="Training set; may be repeated.", show_default=False)
    ],
    new: Annotated[str, typer.Option(help="Weights that may come into use.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the report.", show_default=False)],
    old: Annotated[
        str | None, typer.Option(help="Weights, by name or file.", show_default="those in use")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    taxonomy: Annotated[
        str | None,
        typer.Option(
            help="Classes: two, four, five, eight or a YAML file.", show_default="the weights' own"
        ),
    ] = None,
    heat: Annotated[bool, typer.Option(help="Compare where the models look, by Grad-CAM.")] = True,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Compare two classifiers on the same held-out cells, and say which one to use.

    Writes report.html (one page with everything), comparison.json, cells.csv and pictures.
    """
    from napari_wbc.measure.comparison_plots import COLUMNS, SIGNS, side_rows, table_rows
    from napari_wbc.pipeline.compare import compare_steps
    from napari_wbc.pipeline.compare_report import write_comparison
    from napari_wbc.storage.formats.taxonomy import read_taxonomy

    make_folder(out)
    errors = Console(stderr=True)
    classes = read_taxonomy(taxonomy) if taxonomy else None
    steps = compare_steps(
        data, in_use(old), new, split=split, taxonomy=classes, device=device, heat=heat
    )
    found = drive(steps, errors, quiet=quiet)
    write_comparison(found, out)
    console = Console()
    for title, head, rows in (
        ("Balanced accuracy", COLUMNS, table_rows(found)),
        ("All cells", ("measure", "old", "new"), side_rows(found)),
    ):
        table = Table(title=title, title_justify="left")
        for i, name in enumerate(head):
            table.add_column(name, justify="right" if i else "left")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for note in found.notes:
        errors.print(note, markup=False, highlight=False, soft_wrap=True)
    said = f"{SIGNS[found.measures.verdict][0]}. {found.measures.why}"
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    if not quiet:
        print(f"Research use only. Report written to {out / 'report.html'}")
