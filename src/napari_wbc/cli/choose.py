"""``napari-wbc choose`` and ``napari-wbc doubts``: what to label next, and what to look at twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_wbc.cli.options import Device, Project, Quiet, Weights, check_csv, in_use
from napari_wbc.cli.progress import SOME_FILES_FAILED, drive

if TYPE_CHECKING:
    from napari_wbc.pipeline.analyze import Failure

__all__ = ["choose", "doubts"]

SHOWN = 5
"""Fields and doubts that are printed; the file has all."""
CELLS = ["slide", "fov", "cell_id", "top", "left", "bottom", "right", "rank", "label", "confidence"]
DOUBTS = ["slide", "fov", "cell_id", "label", "suggested", "doubt"]

Out = Annotated[Path, typer.Option(help="CSV file for the cells.", show_default=False)]


def choose(
    project: Project,
    *,
    out: Out,
    n: Annotated[int, typer.Option("--n", min=1, help="How many cells.")] = 50,
    weights: Weights = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Choose the cells of a project whose labels would teach the model the most."""
    import pandas as pd

    from napari_wbc.pipeline.choose import choose_steps
    from napari_wbc.pipeline.project import project_analysis
    from napari_wbc.storage.tables import write_csv

    check_csv(out)
    located = [(one.slide, one.table) for one in project_analysis(project).slides]
    found = drive(
        choose_steps(located, in_use(weights), n, device=device), Console(stderr=True), quiet=quiet
    )
    rows = []
    for rank, one in enumerate(found.cells, start=1):
        cell, box = one.cell, one.cell.detection.bbox
        edges = (round(edge, 2) for edge in (box.top, box.left, box.bottom, box.right))
        rows.append(
            [
                one.slide,
                cell.fov_id,
                cell.cell_id,
                *edges,
                rank,
                cell.label,
                round(one.confidence, 6),
            ]
        )
    write_csv(out, pd.DataFrame(rows, columns=CELLS))
    if not quiet:
        if found.fields:
            table = Table("fields worth opening first", "gain")
            for _slide, fov, gain in found.fields[:SHOWN]:
                table.add_row(escape(fov), f"{gain:.1f}")
            Console().print(table)
        print(f"{len(rows)} cells written to {out}")
    _end(found.failures)


def doubts(
    data: Annotated[
        Path, typer.Argument(help="Project file (.wbc), or a training set.", show_default=False)
    ],
    *,
    out: Out,
    weights: Weights = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Find labels to look at twice: those that other cells of their class speak against."""
    import pandas as pd

    from napari_wbc.pipeline.choose import doubt_set_steps, doubt_steps
    from napari_wbc.pipeline.project import project_analysis
    from napari_wbc.storage.tables import write_csv

    check_csv(out)
    if data.suffix.lower() == ".wbc":
        located = [(one.slide, one.table) for one in project_analysis(data).slides]
        steps = doubt_steps(located, in_use(weights), device=device)
    else:
        steps = doubt_set_steps([data], in_use(weights), device=device)
    found = drive(steps, Console(stderr=True), quiet=quiet)
    rows = [
        [one.slide, one.fov, one.cell_id, one.label, one.suggested, round(one.doubt, 4)]
        for one in found.doubts
    ]
    write_csv(out, pd.DataFrame(rows, columns=DOUBTS))
    if not quiet:
        if rows:
            table = Table(
                "field", "label", "looks like", "doubt", title="Doubted most", title_justify="left"
            )
            for one in found.doubts[:SHOWN]:
                table.add_row(*map(escape, (one.fov, one.label, one.suggested)), f"{one.doubt:.2f}")
            Console().print(table)
        print(f"{len(rows)} of {found.judged} labels are doubted; written to {out}")
    _end(found.failures)


def _end(failures: tuple[Failure, ...]) -> None:
    if failures:
        Console(stderr=True).print(f"{len(failures)} files failed; the rest was looked at")
        raise typer.Exit(SOME_FILES_FAILED)
