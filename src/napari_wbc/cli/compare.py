"""``napari-wbc evaluate`` and ``compare``: how good one model is, and which of two is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from typer import Option

from napari_wbc.cli.options import Device, Quiet, Split, Taxonomy, Weights, in_use
from napari_wbc.cli.progress import drive, note, print_table, say, shown
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.words import counted

Sets = Annotated[list[Path], Option(help="Training set; may be repeated.")]


def evaluate(
    *,
    data: Sets,
    split: Split = "test",
    weights: Weights = None,
    taxonomy: Taxonomy = None,
    out: Annotated[Path | None, Option(help="Folder for tables and pictures.")] = None,
    heat: Annotated[bool, Option(help="Ask by Grad-CAM where the model looks.")] = True,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure a classifier on labelled cells."""
    from napari_wbc.pipeline.evaluate import evaluate_steps, write_evaluation
    from napari_wbc.pipeline.held_out import counts_text
    from napari_wbc.storage.formats.taxonomy import read_taxonomy

    classes = read_taxonomy(taxonomy) if taxonomy else None
    steps = evaluate_steps(
        data, split=split, weights=in_use(weights), taxonomy=classes, device=device, heat=heat
    )
    evaluation = drive(steps, quiet=quiet)
    table = Table("source", "cells", "accuracy", "balanced accuracy", "macro F1", "ROC AUC")
    table.add_column("calibration error")
    table.add_column("heat inside")
    for source, scores in evaluation.scores.items():
        # There are none with --no-heat, or if the network has no maps.
        shares = evaluation.heat.get(source, ())
        inside = sum(shares) / len(shares) if len(shares) else math.nan
        values = [scores.accuracy, scores.balanced_accuracy, scores.macro_f1]
        values += [scores.macro_auc, scores.calibration_error, inside]
        table.add_row(shown(source), str(scores.n), *(f"{100 * value:.1f}" for value in values))
    print_table(table)
    if evaluation.left_out:
        note(f"Left out, no class of the taxonomy: {counts_text(evaluation.left_out)}")
    if evaluation.warning:
        note(evaluation.warning)
    if out is not None:
        write_evaluation(evaluation, out)
        say(f"Tables and pictures written to {out}")


def compare(
    *,
    data: Sets,
    new: Annotated[str, Option(help="Model that may come into use.")],
    out: Annotated[Path, Option(help="Folder for the report.")],
    old: Annotated[
        str | None, Option(help="Model, by name or file.", show_default="the one in use")
    ] = None,
    split: Split = "test",
    taxonomy: Taxonomy = None,
    heat: Annotated[bool, Option(help="Compare where the models look, by Grad-CAM.")] = True,
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

    # Two models on a large set take minutes; a folder that cannot be made is refused before.
    make_folder(out)
    classes = read_taxonomy(taxonomy) if taxonomy else None
    steps = compare_steps(
        data, in_use(old), new, split=split, taxonomy=classes, device=device, heat=heat
    )
    comparison = drive(steps, quiet=quiet)
    write_comparison(comparison, out)
    console = Console()
    cells = counted(comparison.measures.overall.n)
    print_table(_table("Balanced accuracy", COLUMNS, table_rows(comparison)))
    print_table(_table(f"All {cells}", ("measure", "old", "new"), side_rows(comparison)))
    for message in comparison.notes:
        note(message)
    # The verdict is printed even if quiet: it is what the command is for.
    measures = comparison.measures
    note(f"{SIGNS[measures.verdict][0]}. {measures.why}", console)
    if not quiet:
        say(f"Research use only. Report written to {out / 'report.html'}")


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The first column holds words, the others numbers."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(names):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*map(shown, row))
    return table
