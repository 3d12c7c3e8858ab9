"""Signing a report: what must be done before, who signed, and whether it still holds.

Invariant: what was signed is kept as it was and never changed. A signature holds for the cells and
the settings that it was given for; whoever signs after a change makes a new version beside the old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, combinations
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.measure.agreement import CONSENSUS, agreement, annotations_of
from napari_wbc.model.taxonomy import CANDIDATE
from napari_wbc.model.words import counted, is_line
from napari_wbc.pipeline.lab_report.content import LabReport
from napari_wbc.pipeline.lab_report.settings import TABLES, Settings
from napari_wbc.pipeline.lab_report.values import report_json
from napari_wbc.storage.workspace import Workspace

MAX_SIGNER = 100


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed, and when, ISO 8601 with zone."""

    name: str
    when: str

    def __post_init__(self) -> None:
        name = self.name
        if not name.strip() or len(name) > MAX_SIGNER or not is_line(name):
            raise WbcError(
                f"{name[:40]!r} is no name to sign with; write one line of 1 to {MAX_SIGNER} "
                "characters."
            )


@dataclass(frozen=True, slots=True)
class Signed:
    """A version of a report that was signed.

    Parameters
    ----------
    version : int
        1, or more if it amends others.
    cells_sha256, settings_sha256 : str
        Of what was signed.
    report : mapping
        The report as JSON values, as it was.
    tables : mapping
        The reference intervals and critical findings that it was made with.
    """

    version: int
    signatures: tuple[Signature, ...]
    cells_sha256: str
    settings_sha256: str
    report: Mapping[str, Any]
    tables: Mapping[str, Any]

    def broken(self, report: LabReport) -> str:
        """Why the signatures are not of a report, in words; empty if they are."""
        last = self.signatures[-1]
        what: list[str] = []
        if self.cells_sha256 != report.cells_sha256:
            what.append("cells or labels have changed")
        if self.settings_sha256 != report.settings_sha256:
            what.append("the settings or the classes are others")
        if not what:
            return ""
        return (
            f"Since {last.name} signed version {self.version}, {' and '.join(what)}. This is not "
            "the signed report; it is kept in the project. Sign again to amend it."
        )


def note_key(slide: str, reading: str = "") -> str:
    """The key of a project's note with the signed versions of a slide's report.

    Each reader signs a report of one's own; the first reader's ``reading`` is empty.
    """
    return f"signed/{slide}/{reading}" if reading else f"signed/{slide}"


def signed_versions(value: object) -> tuple[Signed, ...]:
    """Versions of a note, the newest last.

    Raises
    ------
    WbcError
        If the note is damaged: a signature is not passed over as if there were none.
    """
    try:
        entries: Any = value or []
        versions: list[Signed] = []
        for entry in entries:
            signatures = tuple(Signature(**each) for each in entry["signatures"])
            version = Signed(**{**entry, "signatures": signatures})
            versions.append(version)
            Settings(shipped=tuple(TABLES)).with_kept(version.tables)
            names: list[Any] = [version.report["slide"], version.cells_sha256]
            names += [version.settings_sha256]
            names += chain.from_iterable((each.name, each.when) for each in signatures)
            # Its number becomes part of a file's name.
            if not signatures or version.version != len(versions) or not _are_texts(names):
                raise KeyError("signatures")
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise WbcError(
            "The signatures of this project are damaged; open a backup of it."
        ) from error
    return tuple(versions)


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def open_points(report: LabReport, unsettled: int = 0) -> tuple[str, ...]:
    """What is to be done before a report may be signed, in words.

    Parameters
    ----------
    unsettled : int
        Cells on which two readers differ, without a consensus.
    """
    rows = report.counted.rows
    points: list[str] = []
    to_review = sum(row.predicted for row in rows if row.name != CANDIDATE)
    audit_done = report.audit is not None and report.audit.is_complete
    if to_review and not audit_done:
        points.append(f"{counted(to_review)} not reviewed, and no complete audit")
    if missing := report.settings.target.missing(report.counted.total, report.limits):
        points.append(missing)
    candidates = sum(row.count for row in rows if row.name == CANDIDATE)
    if candidates:
        points.append(f"{counted(candidates, 'candidate')} not decided")
    if unsettled:
        points.append(
            f"{counted(unsettled, 'disagreement')} of two readers not settled: settle them, and "
            "sign the consensus"
        )
    return tuple(points)


def unsettled(workspace: Workspace, slide: str, reading: str = "") -> int:
    """Cells on which any two readers of a slide differ, and that ``reading`` does not settle.

    Only the consensus settles any.
    """
    names = {"", *workspace.readings(slide)} - {CONSENSUS}
    readings = [annotations_of(workspace.table(slide, name)) for name in sorted(names)]
    open_cells: set[str] = set()
    for first, second in combinations(readings, 2):
        compared = agreement(first, second, workspace.taxonomy)
        open_cells |= {cell_id for cell_id, _, _ in compared.disagreements}
    if reading == CONSENSUS:
        open_cells -= annotations_of(workspace.table(slide, CONSENSUS)).keys()
    return len(open_cells)


def as_signed(
    make: Callable[[Settings], LabReport], settings: Settings, versions: Sequence[Signed]
) -> LabReport:
    """A report; one that was signed has the shipped tables that it was signed with.

    Parameters
    ----------
    make : callable
        Makes the report by settings.
    """
    report = make(settings)
    if not versions or versions[-1].broken(report):
        return report
    kept = settings.with_kept(versions[-1].tables)
    return report if kept == settings else make(kept)


def with_signature(
    versions: Sequence[Signed], report: LabReport, signature: Signature
) -> tuple[Signed, ...]:
    """The versions after one more person signed a report.

    An unchanged report gets a second signature, a changed one a new version.

    Raises
    ------
    WbcError
        If this person has signed this version already.
    """
    last = versions[-1] if versions else None
    if last is None or last.broken(report):
        version = Signed(
            len(versions) + 1,
            (signature,),
            report.cells_sha256,
            report.settings_sha256,
            report_json(report),
            report.settings.tables,
        )
        return (*versions, version)
    if signature.name in [each.name for each in last.signatures]:
        raise WbcError(
            f"{signature.name} has signed version {last.version} already; a second signature is "
            "another person's."
        )
    signatures = (*last.signatures, signature)
    return (*versions[:-1], replace(last, signatures=signatures))


def to_note(versions: Sequence[Signed]) -> list[dict[str, Any]]:
    """Versions as JSON values, for a note of a project."""
    return [asdict(version) for version in versions]
