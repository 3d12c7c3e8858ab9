"""A reviewed project without a window: its slides as results, and how far its readers agree."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import all_or_nothing, beside, missing_folders, put_new, remove_made
from napari_wbc.imaging.read import check_readable
from napari_wbc.measure.agreement import CONSENSUS, Agreement, agreement, annotations_of
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.step import Step, now
from napari_wbc.model.table import CellTable, diff
from napari_wbc.pipeline.analysis import Analysis, SlideAnalysis, analysis_of
from napari_wbc.pipeline.kept_analysis import from_note, note_key, to_note
from napari_wbc.pipeline.kept_audit import audit_key, kept_audit
from napari_wbc.pipeline.report import write_results
from napari_wbc.storage.workspace import (
    Workspace,
    check_journal,
    create_workspace,
    lock_of,
    open_workspace,
)


@dataclass(frozen=True, slots=True)
class Exported:
    """A project whose results were written."""

    analysis: Analysis
    failures: tuple[Failure, ...] = ()
    """Images of the slides that are missing or cannot be read now; everything else was written."""


@dataclass(frozen=True, slots=True)
class Readers:
    """Two readings of a slide compared."""

    slide: str
    first: str
    second: str
    agreement: Agreement


def project_analysis(path: str | Path, *, reading: str = "") -> Analysis:
    """The slides of a project as they are reviewed.

    Parameters
    ----------
    path : str or Path
        It is only read, also while the workbench has it open.
    reading : str
        Name of a blind reading; the first reader's labels if empty.

    Raises
    ------
    WbcError
        If the project cannot be read, its cells are not those of its journal, it has no slide, or
        no slide has such a reading.
    """
    with closing(open_workspace(path, read_only=True)) as workspace:
        return workspace_analysis(workspace, reading=reading)


def workspace_analysis(workspace: Workspace, *, reading: str = "") -> Analysis:
    """The slides of an open project, as :func:`project_analysis`."""
    check_journal(workspace)
    slides = workspace.slides()
    if not slides:
        raise WbcError(f"{workspace.path}: no slide in this project; choose another.")
    _check_reading(workspace, reading, workspace.path)
    taxonomy = workspace.taxonomy
    reviewed = []
    for slide in slides:
        table = workspace.table(slide.name, reading)
        kept = from_note(workspace.get(note_key(slide.name)), slide)
        audit = kept_audit(workspace.get(audit_key(slide.name)))
        reviewed.append(SlideAnalysis(slide, table, *kept, audit=audit, taxonomy=taxonomy))
    return analysis_of(reviewed)


def export_project_steps(
    path: str | Path, out: str | Path, *, reading: str = ""
) -> Steps[Exported]:
    """Write the slides of :func:`project_analysis` as ``napari-wbc analyze`` writes its results.

    Cells of an image that is missing or cannot be read are in all tables; only its overlay is not
    drawn.
    """
    analysis = project_analysis(path, reading=reading)
    unread = yield from _unread_steps(analysis)
    written = yield from write_results(analysis, out)
    return Exported(analysis, (*unread, *written.failures))


def _unread_steps(analysis: Analysis) -> Steps[tuple[Failure, ...]]:
    """Files that the last analysis could not read, and that still cannot be read."""
    failures: list[Failure] = []
    for reviewed in analysis.slides:
        # A field that holds cells is read for its overlay anyway, and reported there.
        listed = set(reviewed.listed_fields)
        failed = [field for field in reviewed.slide.fields if field.fov_id not in listed]
        for done, field in enumerate(failed, start=1):
            note = ""
            try:
                check_readable(field)
            except ReadError as error:
                note = str(error)
                failures.append(Failure(field.path, note))
            yield Progress("reading images that failed", done, len(failed), note)
    return tuple(failures)


def project_agreement(path: str | Path, first: str = "", second: str = "") -> tuple[Readers, ...]:
    """How far two readers of a project agree, slide by slide.

    Parameters
    ----------
    first, second : str
        Names of readings; the first reader's is empty. An empty second is the only blind reading.

    Raises
    ------
    WbcError
        If the project cannot be read or has no such reading.
    """
    with closing(open_workspace(path, read_only=True)) as workspace:
        check_journal(workspace)
        second = second_reading(workspace, second)
        _check_reading(workspace, first, path)
        readers = []
        for slide in workspace.slides():
            ours = annotations_of(workspace.table(slide.name, first))
            theirs = annotations_of(workspace.table(slide.name, second))
            compared = agreement(ours, theirs, workspace.taxonomy)
            readers.append(Readers(slide.name, first, second, compared))
    return tuple(readers)


def second_reading(workspace: Workspace, name: str = "") -> str:
    """A blind reading of a project by its name, or the only one where none is given.

    Raises
    ------
    WbcError
        If there is no such reading, or there are several to choose from.
    """
    path = workspace.path
    if not name:
        # The consensus is made of the readings, so it is no second opinion.
        names = _readings(workspace) - {CONSENSUS}
        if not names:
            raise WbcError(
                f"{path}: only one reader so far; a blind reading begins in the list of "
                "readers on the page Slide."
            )
        if len(names) > 1:
            choice = ", ".join(sorted(names))
            raise WbcError(f"{path}: say which reading to compare with; there are: {choice}.")
        (name,) = names
    _check_reading(workspace, name, path)
    return name


def save_project(analysis: Analysis, path: str | Path) -> Path:
    """Keep an analysis, which nobody has reviewed, as a new project for the workbench.

    Raises
    ------
    WbcError
        If the file is there already or cannot be written; there is no project then.
    """
    path = Path(path).resolve()
    if path.exists():
        raise _taken(path)
    # Written beside and renamed at the end: a failure half-way leaves no project that looks whole.
    with all_or_nothing() as made, beside(path) as part:
        made.extend(missing_folders(path.parent))
        try:
            with closing(create_workspace(part, analysis.taxonomy)) as workspace:
                _keep(analysis, workspace)
            put_new(part, path)
        except FileExistsError as error:
            raise _taken(path) from error
        except OSError as error:
            raise WbcError(
                f"{path}: the project cannot be put there ({error.strerror or error}); choose "
                "another place."
            ) from error
        except WbcError as error:
            raise WbcError(str(error).replace(str(part), str(path))) from error
        finally:
            # The lock is named after the file, so it would outlive the renamed one.
            remove_made([lock_of(part)])
    return path


def _taken(path: Path) -> WbcError:
    return WbcError(f"{path}: this project is there already; name another file.")


def _keep(analysis: Analysis, workspace: Workspace) -> None:
    """Put the slides of an analysis into a new project."""
    for seq, result in enumerate(analysis.slides, start=1):
        slide = result.slide
        # The cells are one step, so that undo in the workbench can take them back.
        change = diff(CellTable(), result.table)
        workspace.put_slide(slide)
        workspace.write(slide.name, [Step(seq, "analyze", "model", change, when=now())])
        note = to_note(
            slide,
            result.failures,
            result.blood_cells,
            result.disagreements,
            result.looked_at,
            regions=result.regions,
        )
        workspace.put(note_key(slide.name), note)


def _readings(workspace: Workspace) -> set[str]:
    """Names of all readings but the first reader's, which has none."""
    names: set[str] = set()
    for slide in workspace.slides():
        names.update(workspace.readings(slide.name))
    return names - {""}


def _check_reading(workspace: Workspace, name: str, path: str | Path) -> None:
    names = _readings(workspace)
    if name and name not in names:
        choice = ", ".join(sorted(names)) or "none"
        raise WbcError(f"{path}: no reading {name!r} in this project; there are: {choice}.")
