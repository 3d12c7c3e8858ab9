"""The files of a report: a page, JSON, CSV and FHIR."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.staged import part_of, staged
from napari_wbc.imaging.read import read_field
from napari_wbc.model.audit import sample
from napari_wbc.model.heat import Heat
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.step import now
from napari_wbc.pipeline.analysis import Analysis, ReadField, SlideAnalysis
from napari_wbc.pipeline.lab_report.content import LabReport, content, field_names
from napari_wbc.pipeline.lab_report.fhir import fhir_bundle
from napari_wbc.pipeline.lab_report.models import heat_steps, used_models
from napari_wbc.pipeline.lab_report.page import page, readable_time
from napari_wbc.pipeline.lab_report.pictures import NO_HEAT, gallery_cells, pictures
from napari_wbc.pipeline.lab_report.settings import Settings
from napari_wbc.pipeline.lab_report.sign import Signed, to_note
from napari_wbc.pipeline.lab_report.values import report_json
from napari_wbc.storage.tables import CELL_COLUMNS, cells_frame, write_csv

if TYPE_CHECKING:
    import pandas as pd

FILES = ("report.html", "report.json", "report.csv", "fhir.json")
_SIGNED = re.compile(r"signed-\d+\.json")
_CONTROLS = re.compile("[\x7f-\x9f]")
_PLAIN = re.compile(r"[^0-9A-Za-z_-]+")


@dataclass(frozen=True, slots=True)
class Reported:
    """A report on the disk, with the versions of it that were signed."""

    report: LabReport
    folder: Path
    versions: tuple[Signed, ...] = ()

    @property
    def broken(self) -> str:
        """Why the last signatures are not of this report; empty if they are, or there are none."""
        return self.versions[-1].broken(self.report) if self.versions else ""


def report_steps(
    analysis: Analysis,
    out: str | Path,
    settings: Settings,
    *,
    heat: bool = False,
    read: ReadField = read_field,
) -> Steps[tuple[Reported, ...]]:
    """Write the report of each slide of an analysis that is in no project.

    A single slide's files lie in ``out``, those of several in a folder each: ``report.html`` (one
    page that needs no other file), ``report.json``, ``report.csv`` (every cell with who labelled it
    and when) and ``fhir.json`` (HL7 FHIR R4).

    Parameters
    ----------
    heat : bool
        Whether the page shows where the model looks in the cells of the gallery.

    Raises
    ------
    WbcError
        If something cannot be written.
    """
    reported: list[Reported] = []
    for place, slide in enumerate(analysis.slides):
        yield Progress("counting", place, len(analysis.slides))
        folder = folder_of(analysis, place, out, masked=settings.masked)
        reported.append(Reported(content(slide, settings, now()), folder))
    yield from write_steps(reported, analysis.slides, heat=heat, read=read)
    return tuple(reported)


def write_steps(
    reported: Sequence[Reported],
    slides: Sequence[SlideAnalysis],
    *,
    heat: bool = False,
    read: ReadField = read_field,
    commit: Callable[[], None] | None = None,
    committed: str = "",
) -> Steps[None]:
    """Write the files of all reports, or none: beside first, then they take their places together.

    Parameters
    ----------
    commit : callable, optional
        What belongs to the files and is kept elsewhere; called once all of them are written, before
        they take their places.
    committed : str
        What is true after ``commit``, in words, for the error if the files cannot be placed.

    Raises
    ------
    WbcError
        If something cannot be written, or the signed report of another slide would be overwritten;
        the files that were there are then as they were.
    """
    for each in reported:
        _check_signed(each)
    with staged([each.folder for each in reported], _is_ours) as place:
        for done, (each, slide) in enumerate(zip(reported, slides, strict=True)):
            yield Progress("writing reports", done, len(reported))
            yield from _write_report_steps(each, slide, part_of(each.folder), heat=heat, read=read)
        yield Progress("writing reports", len(reported), len(reported))
        if commit is not None:
            commit()
        try:
            place()
        except WbcError as error:
            raise WbcError(" ".join(filter(None, (str(error), committed)))) from error


def _check_signed(each: Reported) -> None:
    """A signed report in the folder stays, unless its signature is kept with this one."""
    try:
        found = json.loads((each.folder / FILES[1]).read_text(encoding="utf-8"))
        signed = found["signed"]
        first, name = signed["signatures"][0], signed["signatures"][0]["name"]
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return
    if first not in [asdict(version.signatures[0]) for version in each.versions]:
        raise WbcError(
            f"{each.folder}: has another report, which {name} signed; it is not overwritten. "
            "Choose another folder."
        )


def _is_ours(name: str) -> bool:
    return name in FILES or _SIGNED.fullmatch(name) is not None


def folder_of(analysis: Analysis, place: int, out: str | Path, *, masked: bool = False) -> Path:
    """The folder of the report of one slide."""
    if len(analysis.slides) == 1:
        return Path(out)
    name = analysis.slides[place].slide.name
    return Path(out) / folder_name(name, place + 1, masked=masked)


def folder_name(slide: str, number: int, *, masked: bool = False) -> str:
    """A safe name of a folder for a slide, whatever the slide is called.

    Examples
    --------
    >>> folder_name('../"x"', 3)
    '03-x'
    """
    plain = "" if masked else _PLAIN.sub("-", slide).strip("-")[:60]
    return f"{number:02d}-{plain}" if plain else f"{number:02d}"


def _write_report_steps(
    each: Reported, slide: SlideAnalysis, folder: Path, *, heat: bool, read: ReadField
) -> Steps[None]:
    """Write the four files of a report, and every version that was signed as it was."""
    report = each.report
    taxonomy = report.settings.policy.taxonomy_of(slide.taxonomy)
    names = field_names(slide, report.settings)
    models = used_models(report.models)
    heats: Mapping[str, Heat] = NO_HEAT
    if heat:
        heats = yield from heat_steps(slide, gallery_cells(slide, taxonomy), models, read)
    shown = pictures(slide, taxonomy, names, read, heats)
    broken = each.broken
    signed = bool(each.versions) and not broken
    signatures = _signatures(each) if signed else ()
    text = page(report, shown, signatures, broken=broken, models=models)
    write_text(folder / FILES[0], text)
    _write_json(folder / FILES[1], {**report_json(report), "signed": _signed_json(each)})
    write_csv(folder / FILES[2], _frame(report, slide, names))
    amended = len(each.versions) > 1
    _write_json(folder / FILES[3], fhir_bundle(report, signed=signed, amended=amended))
    for version, note in zip(each.versions, to_note(each.versions), strict=True):
        # A masked report beside one that names the slide would be masked no more.
        if version.report["slide"] == report.slide:
            _write_json(folder / f"signed-{version.version}.json", note)


def _signatures(reported: Reported) -> list[str]:
    """Who signed, in words; of an amended report also the versions before."""
    last = reported.versions[-1]
    lines = [f"{each.name}, {readable_time(each.when)}" for each in last.signatures]
    for before in reported.versions[:-1]:
        names = ", ".join(each.name for each in before.signatures)
        when = readable_time(before.signatures[0].when)
        lines.append(f"Amends version {before.version}, signed by {names}, {when}")
    return lines


def _signed_json(each: Reported) -> dict[str, Any] | None:
    if not each.versions:
        return None
    last = each.versions[-1]
    return {
        "version": last.version,
        "signatures": [asdict(signature) for signature in last.signatures],
        "intact": not each.broken,
        "broken": each.broken,
    }


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    # json leaves these control characters as they are; some terminals obey them.
    plain = _CONTROLS.sub(lambda letter: f"\\u{ord(letter[0]):04x}", text)
    write_text(path, f"{plain}\n")


def _frame(report: LabReport, slide: SlideAnalysis, names: Mapping[str, str]) -> pd.DataFrame:
    """A row a cell: as in ``cells.csv``, then who labelled it and when."""
    frame = cells_frame([(report.slide, slide.table)], ())[list(CELL_COLUMNS)].copy()
    frame["fov"] = frame["fov"].map(names)
    annotations = [cell.annotation for cell in slide.table.values()]
    frame["annotator"] = [each.annotator if each else "" for each in annotations]
    frame["when"] = [each.when if each else "" for each in annotations]
    drawn = sample(slide.table, report.audit.audit) if report.audit else {}
    sampled = set(chain.from_iterable(drawn.values()))
    frame["audited"] = [cell_id in sampled for cell_id in slide.table]
    return frame
