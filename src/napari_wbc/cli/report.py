"""``napari-wbc report``: the report of a project, as a laboratory signs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from napari_wbc.cli.options import Out, Project, Quiet
from napari_wbc.cli.progress import drive, note
from napari_wbc.files.atomic import make_folder
from napari_wbc.model.words import counted, printable

if TYPE_CHECKING:
    from napari_wbc.pipeline.analysis import Analysis
    from napari_wbc.pipeline.lab_report.content import Settings

Wbc = Annotated[float | None, Option(help="WBC count of the same blood, 10^9/L.")]
Corrected = Annotated[
    bool, Option("--wbc-corrected", help="The analyser corrected it for nucleated red cells.")
]
Specimen = Annotated[str, Option(help="Number of the specimen.")]
Intervals = Annotated[
    Path | None, Option(help="CSV table of reference intervals.", show_default="the shipped one")
]


def report(
    project: Project,
    *,
    out: Out,
    reading: Annotated[str, Option(help="A blind reading, or consensus.")] = "",
    wbc: Wbc = None,
    wbc_corrected: Corrected = False,
    specimen: Specimen = "",
    sex: Annotated[str, Option(help="female or male, for the reference intervals.")] = "",
    age: Annotated[
        float | None, Option(help="In years, for the reference intervals.", show_default="adult")
    ] = None,
    masked: Annotated[bool, Option("--masked", help="Name neither slide nor specimen.")] = False,
    bands_apart: Annotated[
        bool, Option("--bands-apart", help="Band neutrophils have a row of their own.")
    ] = False,
    unidentified_counted: Annotated[
        bool, Option("--unidentified-counted", help="Unidentified cells are in the denominator.")
    ] = False,
    correct_from: Annotated[
        float, Option(help="Erythroblasts per 100 WBC from which on the WBC count is corrected.")
    ] = 0.0,
    simultaneous: Annotated[
        bool, Option("--simultaneous", help="Show limits that hold for all classes at once.")
    ] = False,
    intervals: Intervals = None,
    findings: Annotated[
        Path | None, Option(help="CSV table of critical findings.", show_default="the shipped one")
    ] = None,
    target: Annotated[int, Option(help="Leukocytes to be counted.")] = 100,
    quiet: Quiet = False,
) -> None:
    """Write the report of each slide of a project: HTML to print, JSON, CSV and FHIR."""
    from napari_wbc.model.blood_count import WbcCount
    from napari_wbc.model.policy import Policy
    from napari_wbc.model.reference import Subject
    from napari_wbc.pipeline.lab_report.reference import settings_of
    from napari_wbc.pipeline.project import project_analysis

    settings = settings_of(
        intervals,
        findings,
        policy=Policy(bands_apart, unidentified_counted, correct_from, simultaneous),
        wbc=None if wbc is None else WbcCount(wbc, wbc_corrected),
        specimen=specimen,
        subject=Subject(sex, age),
        masked=masked,
        target=target,
    )
    analysis = project_analysis(project, reading=reading)
    write_reports(analysis, out, settings, quiet=quiet)


def write_reports(
    analysis: Analysis, out: Path, settings: Settings | None = None, *, quiet: bool = False
) -> None:
    """Write the reports of an analysis, and say what a person must not overlook."""
    from napari_wbc.pipeline.lab_report.reference import settings_of
    from napari_wbc.pipeline.lab_report.write import report_steps

    make_folder(out)
    reports = drive(report_steps(analysis, out, settings or settings_of()), quiet=quiet)
    for each in reports:
        for found in each.report.critical:
            cells = counted(found.count)
            note(f"{each.report.slide}: critical: {found.finding.name}, {cells}")
        if not quiet:
            print(printable(str(each.folder / "report.html")))
