"""Reports of a project: with its audits and signatures, which the project keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import read_field
from napari_wbc.model.audit import Audit, sample
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.step import now
from napari_wbc.model.words import listed
from napari_wbc.pipeline.analysis import Analysis, ReadField, analysis_of
from napari_wbc.pipeline.kept_audit import audit_key, audit_note, kept_audit, new_audit
from napari_wbc.pipeline.lab_report.choice import Choice, choice_key, difference, kept_choice
from napari_wbc.pipeline.lab_report.content import content
from napari_wbc.pipeline.lab_report.pool import pooled
from napari_wbc.pipeline.lab_report.sign import (
    Signature,
    as_signed,
    note_key,
    open_points,
    signed_versions,
    to_note,
    unsettled,
    with_signature,
)
from napari_wbc.pipeline.lab_report.write import Reported, folder_of, write_steps
from napari_wbc.pipeline.project import workspace_analysis
from napari_wbc.storage.tables import CELL_COLUMNS, cells_frame
from napari_wbc.storage.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    import pandas as pd

SIGNED = "The report is signed in the project; write it again without signing."


def draw_audit(
    path: str | Path, n: int | None = None, seed: int | None = None, *, pool: bool = False
) -> pd.DataFrame:
    """Draw an audit of each slide of a project, keep it there, and list its cells to review.

    Parameters
    ----------
    n : int, optional
        Cells of each slide; where it is not given, those of the audit that the project has, or 50.
    pool : bool
        Whether the slides are of one blood: then one audit is drawn of all their cells, for the
        report that pools them.
    seed : int, optional
        Where it is not given, the audit that the project has stays, or one is drawn by chance.

    Returns
    -------
    DataFrame
        A row a cell, the columns of ``cells.csv`` without probabilities, by predicted class. The
        prediction is in it: review the cells without looking at it.

    Raises
    ------
    WbcError
        If the project cannot be written, or has no slide, or an audit of other cells that no seed
        says to replace.
    """
    audit = new_audit(50 if n is None else n, seed)
    audits: list[Audit] = []
    with closing(open_workspace(path)) as workspace:
        analysis = workspace_analysis(workspace)
        if pool:
            analysis, _parts = pooled(analysis)
        with workspace.together():
            for slide in analysis.slides:
                key = audit_key(slide.slide.name)
                kept = kept_audit(workspace.get(key)) if seed is None else None
                if kept and n not in (None, kept.n):
                    raise WbcError(
                        f"{slide.slide.name}: has an audit of {kept.n} cells. Leave out --n to go "
                        "on with it, or give --seed to draw another in its place."
                    )
                audits.append(kept or audit)
                workspace.put(key, audit_note(audits[-1]))
    frame = cells_frame([(each.slide.name, each.table) for each in analysis.slides], ())
    drawn: list[str] = []
    for slide, chosen in zip(analysis.slides, audits, strict=True):
        for ids in sample(slide.table, chosen).values():
            drawn += ids
    return frame[frame["cell_id"].isin(drawn)][list(CELL_COLUMNS)]


def project_report_steps(
    path: str | Path, out: str | Path, choice: Choice, *, sign: str = "", **options: Any
) -> Steps[tuple[Reported, ...]]:
    """The steps of :func:`workspace_report_steps`, of a project by its file.

    Raises
    ------
    WbcError
        If the project cannot be read, or as :func:`workspace_report_steps`.
    """
    # What is to be kept there is a choice or a signature.
    read_only = not (sign or choice.given or options.get("anew"))
    with closing(open_workspace(path, read_only=read_only)) as workspace:
        return (yield from workspace_report_steps(workspace, out, choice, sign=sign, **options))


def workspace_report_steps(
    workspace: Workspace,
    out: str | Path,
    choice: Choice,
    *,
    anew: bool = False,
    masked: bool = False,
    slide: str = "",
    reading: str = "",
    sign: str = "",
    pool: bool = False,
    heat: bool = False,
    read: ReadField = read_field,
) -> Steps[tuple[Reported, ...]]:
    """Write the report of each slide of a project, and sign them all before if a name is given.

    Parameters
    ----------
    choice : Choice
        Overrides what was chosen before for a slide, which the project keeps; so does this choice.
    anew : bool
        Whether nothing counts that was chosen before.
    masked : bool
        Whether slide and specimen stay unnamed.
    slide : str
        Name of the one slide to report; every slide where empty.
    reading : str
        Name of a blind reading, or the consensus; the first reader's labels if empty.
    sign : str
        Who signs. All slides are signed or none, also if the program is killed meanwhile.
    pool : bool
        Whether the slides are of one blood, and counted as one.
    heat : bool
        Whether the page shows where the model looks in the cells of the gallery.

    Raises
    ------
    WbcError
        If a slide may not be signed yet, or one specimen is chosen for several slides.
    """
    made = now()
    # A value that makes no sense is told before anything is read.
    choice.settings()
    analysis, open_cells, parts = _to_report(
        workspace, choice, slide=slide, reading=reading, pool=pool
    )
    if pool and (line := _audits_of_films(workspace, analysis, parts)):
        yield Progress("counting", 0, 0, line)
    notes: dict[str, Any] = {}
    reported: list[Reported] = []
    for place, analyzed in enumerate(analysis.slides):
        name = analyzed.slide.name
        before = kept_choice(workspace.get(choice_key(name)))
        kept = Choice() if anew else before
        chosen = choice.over(kept)
        for line in _said(name, choice, kept):
            yield Progress("counting", place, len(analysis.slides), line)
        yield Progress("counting", place, len(analysis.slides))
        if chosen != before:
            notes[choice_key(name)] = chosen.given
        audit = kept_audit(workspace.get(audit_key(name)))
        versions = signed_versions(workspace.get(note_key(name, reading)))
        make = partial(content, analyzed, made=made, audit=audit, parts=parts)
        report = as_signed(make, chosen.settings(masked=masked), versions)
        folder = folder_of(analysis, place, out, masked=masked)
        reported.append(Reported(report, folder, versions))
    if workspace.read_only and not sign:
        if notes:
            line = f"Not kept in the project for the next report: {workspace.read_only}."
            yield Progress("counting", 0, 0, line)
        notes = {}
    if sign:
        reported = _signed(open_cells, reported, Signature(sign, made))
        for name, each in zip(open_cells, reported, strict=True):
            notes[note_key(name, reading)] = to_note(each.versions)
    yield from write_steps(
        reported,
        analysis.slides,
        heat=heat,
        read=read,
        commit=partial(_keep, workspace, notes),
        committed=SIGNED if sign else "",
    )
    return tuple(reported)


def open_points_steps(
    workspace: Workspace,
    choice: Choice,
    *,
    slide: str = "",
    reading: str = "",
    pool: bool = False,
) -> Steps[tuple[str, ...]]:
    """What is to be done before the reports of a project may be signed, in words.

    Parameters
    ----------
    choice, slide, reading, pool
        As for :func:`workspace_report_steps`; nothing counts that was chosen before.

    Raises
    ------
    WbcError
        As :func:`workspace_report_steps`.
    """
    settings = choice.settings()
    analysis, open_cells, parts = _to_report(
        workspace, choice, slide=slide, reading=reading, pool=pool
    )
    points: list[str] = []
    for place, analyzed in enumerate(analysis.slides):
        yield Progress("counting", place, len(analysis.slides))
        name = analyzed.slide.name
        audit = kept_audit(workspace.get(audit_key(name)))
        report = content(analyzed, settings, made=now(), audit=audit, parts=parts)
        points += open_points(report, open_cells[name])
    return tuple(points)


def _to_report(
    workspace: Workspace, choice: Choice, *, slide: str, reading: str, pool: bool
) -> tuple[Analysis, dict[str, int], dict[str, str] | None]:
    """The slides to report, the unsettled cells of each, and where several films are one its parts.

    Raises
    ------
    WbcError
        If there is no such slide, or one specimen is chosen for several.
    """
    analysis = workspace_analysis(workspace, reading=reading)
    if slide:
        analysis = analysis_of([each for each in analysis.slides if each.slide.name == slide])
        if not analysis.slides:
            raise WbcError(f"{workspace.path}: no slide {slide!r} in this project; choose another.")
    of_one_blood = (choice.specimen or None, choice.wbc, choice.sex or None, choice.age)
    if len(analysis.slides) > 1 and not pool and of_one_blood != (None,) * 4:
        raise WbcError(
            f"{workspace.path}: has several slides. Specimen, WBC count, sex and age are of one "
            "blood: name the slide, or pool films of one blood."
        )
    names = [analyzed.slide.name for analyzed in analysis.slides]
    open_cells = {name: unsettled(workspace, name, reading) for name in names}
    if not pool:
        return analysis, open_cells, None
    analysis, parts = pooled(analysis)
    return analysis, {analysis.slides[0].slide.name: sum(open_cells.values())}, parts


def _audits_of_films(
    workspace: Workspace, analysis: Analysis, parts: Mapping[str, str] | None
) -> str:
    """Why the audits of single films are not one of their pool, in words; empty without any."""
    pool = analysis.slides[0].slide.name
    films = dict.fromkeys((parts or {}).values())
    audited = [name for name in films if kept_audit(workspace.get(audit_key(name)))]
    if not audited or kept_audit(workspace.get(audit_key(pool))):
        return ""
    return (
        f"The audit of {listed(audited)} is a random sample of that slide, not of all pooled ones, "
        "and is left out. Draw one of the pool: napari-wbc audit --pool."
    )


def _said(slide: str, choice: Choice, kept: Choice) -> Iterator[str]:
    """What a person must know of a choice that was kept: where it counts, and where it does not."""
    if overridden := difference(choice, kept):
        yield f"{slide}: {overridden}, as the project had it."
    used = replace(kept, **dict.fromkeys(choice.given))
    if used.given:
        yield f"{slide}: as chosen before: {used.text}."


def _keep(workspace: Workspace, notes: Mapping[str, Any]) -> None:
    """Keep all notes in a project, or none."""
    if notes:
        with workspace.together():
            for key, note in notes.items():
                workspace.put(key, note)


def _signed(
    open_cells: Mapping[str, int], reported: list[Reported], signature: Signature
) -> list[Reported]:
    """The reports, all of them signed; ``open_cells`` are the unsettled ones of each, in order."""
    signed: list[Reported] = []
    for (name, unsettled_cells), each in zip(open_cells.items(), reported, strict=True):
        points = open_points(each.report, unsettled_cells)
        if points:
            raise WbcError(f"{name}: cannot be signed yet: {'; '.join(points)}.")
        versions = with_signature(each.versions, each.report, signature)
        signed.append(Reported(each.report, each.folder, versions))
    return signed
