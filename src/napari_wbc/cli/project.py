"""``napari-wbc export`` and ``napari-wbc agreement``: reviewed projects in the shell."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from typer import Argument, Option

from napari_wbc.cli.options import Out, Project, Quiet, check_csv
from napari_wbc.cli.progress import SOME_FILES_FAILED, drive, note, print_table, say, shown
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.limits import Estimate
from napari_wbc.model.words import counted, listed

if TYPE_CHECKING:
    from napari_wbc.measure.methods import Methods


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
    print_table(table)


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
    print_table(table)
    compared = result.compared
    if compared.n:
        share, low, high = compared.percent_limits
        kappa = ""
        if compared.kappa is not None:
            between = f"{compared.kappa_low:.3f} to {compared.kappa_high:.3f}"
            kappa = f"; kappa {compared.kappa:.3f} ({between})"
        say(f"{counted(compared.n)} of both: {share:.1f} % ({low:.1f} to {high:.1f}) alike{kappa}")
    for line in result.notes:
        note(line)


def verify(
    project: Project,
    against: Annotated[
        Path, Option(help="CSV table with the columns slide, class, percent, and if known cells.")
    ],
    out: Annotated[Path, Option(help="CSV file for the classes of each slide.")],
    reading: Annotated[str, Option(help="A blind reading, or consensus.")] = "",
) -> None:
    """Compare a project with an analyser's or a manual count of the same blood.

    Each class: on how many slides the other percentage lies in our 95 % limits, the mean
    difference, the limits of agreement, and a line: Passing and Bablok's, or Deming's where the
    column cells says that the other method counted many more or fewer cells. Beside the CSV file
    stand one of the classes, with both lines, and a picture of the errors against the counts.
    """
    from napari_wbc.measure.methods import FEWEST_CELLS, FEWEST_SLIDES
    from napari_wbc.measure.methods_plots import draw_methods
    from napari_wbc.measure.plots import write_figure
    from napari_wbc.pipeline.against import against as compared
    from napari_wbc.pipeline.project import project_analysis
    from napari_wbc.storage.tables import write_csv

    check_csv(out)
    result = compared(project_analysis(project, reading=reading), against)
    write_csv(out, result.frame)
    write_csv(out.with_name(f"{out.stem}-classes.csv"), result.classes)
    write_figure(out.with_suffix(".png"), draw_methods(result.pairs, result.methods))
    table = Table(
        "class", "within", "bias", "limits of agreement", "line", "slope", "intercept", "r"
    )
    for each in result.methods:
        row = (
            each.label,
            f"{each.within} of {each.slides}",
            _limited(each.bias, "+.1f"),
            _between(each.low, each.high),
            _line(each),
            _limited(each.line[0], ".2f"),
            _limited(each.line[1], ".1f"),
            "–" if math.isnan(each.correlation) else f"{each.correlation:.2f}",
        )
        table.add_row(*(shown(text) for text in row))
    print_table(table)
    if any(math.isnan(each.error_ratio) for each in result.methods):
        note(
            f"{against}: no column cells, so both methods are taken to err alike, and the lines "
            "have no limits. Against an analyser, which counts thousands of cells, such a line is "
            "too steep: add the column."
        )
    elif few := [each.label for each in result.methods if math.isnan(each.line[0].low)]:
        note(
            f"No limits of the line of {listed(few)}: they would not hold. Compare "
            f"{FEWEST_SLIDES} slides or more, with {FEWEST_CELLS} or more cells of the class."
        )
    for each in result.methods:
        if each.total.may_be_asked_a_tenth:
            verdict = "within" if each.total.is_within_a_tenth else "not within"
            error = f"{100 * each.total.error:+.1f} %"
            say(f"{each.label}, all slides together: {error}, {verdict} 10 %")
    if result.left_out:
        shares = [f"{name} ({mean:.1f} % on average)" for name, mean in result.left_out.items()]
        note(
            f"{against}: no class of the project, left out: {listed(shares)}. The other "
            "percentages are of all its leukocytes, these too."
        )
    if result.unknown:
        note(f"{against}: not in the project, left out: {listed(result.unknown)}")


def _line(compared: Methods) -> str:
    if math.isnan(compared.line[0].value):
        return "–"
    return "Passing-Bablok" if compared.is_robust else "Deming"


def _limited(estimate: Estimate, form: str) -> str:
    if math.isnan(estimate.value):
        return "–"
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"


def _between(low: float, high: float) -> str:
    return "–" if math.isnan(low) else f"{low:.1f} to {high:.1f}"
