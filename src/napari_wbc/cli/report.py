"""``napari-wbc report``: the report of a project, as a laboratory signs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from napari_wbc.cli.options import Out, Project, Quiet, check_csv
from napari_wbc.cli.progress import drive, note, say
from napari_wbc.errors import WbcError
from napari_wbc.model.words import counted

if TYPE_CHECKING:
    from napari_wbc.pipeline.lab_report.write import Reported


def report(
    project: Project,
    *,
    out: Out,
    slide: Annotated[str, Option(help="Name of the one slide to report.")] = "",
    reading: Annotated[str, Option(help="A blind reading, or consensus.")] = "",
    wbc: Annotated[float | None, Option(help="WBC count of the same blood, 10^9/L.")] = None,
    wbc_corrected: Annotated[
        bool | None,
        Option(
            "--wbc-corrected/--wbc-not-corrected",
            help="The analyser corrected it for nucleated red cells.",
            show_default="not corrected",
        ),
    ] = None,
    specimen: Annotated[str | None, Option(help="Number of the specimen.")] = None,
    sex: Annotated[
        str | None, Option(help="female or male (f or m), for the reference intervals.")
    ] = None,
    age: Annotated[
        float | None, Option(help="In years, for the reference intervals.", show_default="adult")
    ] = None,
    pool: Annotated[
        bool, Option("--pool", help="The slides are films of one specimen, and counted as one.")
    ] = False,
    masked: Annotated[
        bool, Option("--masked", help="Anonymise: name neither slide nor specimen.")
    ] = False,
    bands_apart: Annotated[
        bool | None,
        Option(
            "--bands-apart/--bands-merged",
            help="Band neutrophils have a row of their own.",
            show_default="merged",
        ),
    ] = None,
    unidentified_counted: Annotated[
        bool | None,
        Option(
            "--unidentified-counted/--unidentified-outside",
            help="Unidentified cells are in the denominator.",
            show_default="outside",
        ),
    ] = None,
    correct_from: Annotated[
        float | None,
        Option(
            help="Erythroblasts per 100 WBC from which on the WBC count is corrected.",
            show_default="0",
        ),
    ] = None,
    simultaneous: Annotated[
        bool | None,
        Option(
            "--simultaneous/--each",
            help="Show limits that hold for all classes at once.",
            show_default="of each class",
        ),
    ] = None,
    intervals: Annotated[
        Path | None,
        Option(help="CSV table of reference intervals.", show_default="the shipped one"),
    ] = None,
    findings: Annotated[
        Path | None, Option(help="CSV table of critical findings.", show_default="the shipped one")
    ] = None,
    target: Annotated[
        int | None,
        Option(help="Leukocytes to be counted before a report may be signed.", show_default="100"),
    ] = None,
    within: Annotated[
        float | None,
        Option(help="Largest half-width of the limits of a class, in points, to be signed."),
    ] = None,
    heat: Annotated[
        bool, Option("--heat", help="Show where the model looks in the cells shown, by Grad-CAM.")
    ] = False,
    anew: Annotated[
        bool, Option("--anew", help="Take nothing that was chosen for the slide before.")
    ] = False,
    sign: Annotated[
        str | None, Option(help="Name of the person who signs.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write the report of each slide of a project: HTML to print, JSON, CSV and FHIR.

    The project keeps what is chosen for a slide, here or in the window; options override it.

    A signed report is locked: a change of labels or settings breaks the signature visibly, and
    signing again makes a new version. A second person may sign too.
    """
    from napari_wbc.model.reference import sex_of
    from napari_wbc.pipeline.lab_report.choice import Choice, absolute
    from napari_wbc.pipeline.lab_report.project import project_report_steps

    # An empty variable of the shell is no name, and no wish not to sign.
    if sign is not None and not sign.strip():
        raise WbcError("A signature needs a name; give one after --sign.")
    choice = Choice(
        specimen,
        wbc,
        wbc_corrected,
        None if sex is None else sex_of(sex),
        age,
        target,
        within,
        bands_apart,
        unidentified_counted,
        correct_from,
        simultaneous,
        absolute(intervals),
        absolute(findings),
    )
    steps = project_report_steps(
        project,
        out,
        choice,
        anew=anew,
        heat=heat,
        masked=masked,
        slide=slide,
        reading=reading,
        sign=sign or "",
        pool=pool,
    )
    tell(drive(steps, quiet=quiet), quiet=quiet)


def tell(reports: tuple[Reported, ...], *, quiet: bool) -> None:
    """Say on standard error what a person must not overlook, and where the reports are."""
    for each in reports:
        for alarm in each.report.critical:
            note(f"{each.report.slide}: critical: {alarm.text}")
        if each.broken:
            note(f"{each.report.slide}: {each.broken}")
        if not quiet:
            say(str(each.folder / "report.html"))


def audit(
    project: Project,
    out: Annotated[Path, Option(help="CSV file for the cells to review.")],
    n: Annotated[
        int | None,
        Option(
            help="Cells of each slide, and at least 5 of each predicted class.",
            show_default="those of the audit it has, or 50",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        Option(
            help="Decides which cells are drawn; a new draw takes the place of the old.",
            show_default="the draw it has, or by chance",
        ),
    ] = None,
    pool: Annotated[
        bool, Option("--pool", help="One sample of all slides, for the report that pools them.")
    ] = False,
) -> None:
    """Draw a random sample of each slide, to be reviewed for the report.

    The project keeps it. Once all of it is reviewed, the report tells each class with limits that
    have the model's errors in them.
    """
    from napari_wbc.pipeline.lab_report.project import draw_audit
    from napari_wbc.storage.tables import write_csv

    check_csv(out)
    drawn = draw_audit(project, n, seed, pool=pool)
    write_csv(out, drawn)
    say(f"{counted(len(drawn))} to review written to {out}")
