"""``napari-wbc choose`` and ``doubts``: which cells to label next, which labels to check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.table import Table
from typer import Argument, Option

from napari_wbc.cli.options import Device, Project, Quiet, Weights, check_csv, in_use
from napari_wbc.cli.progress import drive, end, print_table, say, shown
from napari_wbc.model.words import counted

SHOWN = 5
"""Fields and doubts that are printed; the file has all."""
CELLS = ["slide", "fov", "cell_id", "top", "left", "bottom", "right", "rank", "label", "confidence"]
DOUBTS = ["slide", "fov", "cell_id", "label", "suggested", "doubt"]

Out = Annotated[Path, Option(help="CSV file for the cells.")]


def choose(
    project: Project,
    *,
    out: Out,
    n: Annotated[int, Option("--n", min=1, help="How many cells.")] = 50,
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
    slides = [(slide.slide, slide.table) for slide in project_analysis(project).slides]
    choice = drive(choose_steps(slides, in_use(weights), n, device=device), quiet=quiet)
    rows = []
    for rank, chosen in enumerate(choice.cells, start=1):
        cell = chosen.cell
        box = cell.detection.bbox
        edges = (round(box.top, 2), round(box.left, 2), round(box.bottom, 2), round(box.right, 2))
        confidence = round(chosen.confidence, 6)
        rows.append([chosen.slide, cell.fov_id, cell.cell_id, *edges, rank, cell.label, confidence])
    write_csv(out, pd.DataFrame(rows, columns=CELLS))
    if not quiet:
        if choice.fields:
            table = Table("fields worth opening first", "gain")
            for _slide, fov, gain in choice.fields[:SHOWN]:
                table.add_row(shown(fov), f"{gain:.1f}")
            print_table(table)
        say(f"{counted(len(rows))} written to {out}")
    end(len(choice.failures), "the rest was looked at")


def doubts(
    data: Annotated[Path, Argument(help="Project file (.wbc), or a training set.")],
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
    # Of a project only what a person labelled is doubted; a training set has nothing else.
    if data.suffix.lower() == ".wbc":
        slides = [(slide.slide, slide.table) for slide in project_analysis(data).slides]
        steps = doubt_steps(slides, in_use(weights), device=device)
    else:
        steps = doubt_set_steps([data], in_use(weights), device=device)
    doubted = drive(steps, quiet=quiet)
    rows = []
    for cell in doubted.doubts:
        doubt = round(cell.doubt, 4)
        rows.append([cell.slide, cell.fov, cell.cell_id, cell.label, cell.suggested, doubt])
    write_csv(out, pd.DataFrame(rows, columns=DOUBTS))
    if not quiet:
        if rows:
            table = Table("field", "label", "looks like", "doubt", title="Doubted most")
            for cell in doubted.doubts[:SHOWN]:
                texts = map(shown, (cell.fov, cell.label, cell.suggested))
                table.add_row(*texts, f"{cell.doubt:.2f}")
            print_table(table)
        say(f"Doubted: {len(rows)} of {counted(doubted.judged, 'label')}; written to {out}")
    end(len(doubted.failures), "the rest was looked at")
