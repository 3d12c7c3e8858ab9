"""The files of a report: a page, JSON, CSV and FHIR."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc.files.atomic import make_folder, write_text
from napari_wbc.imaging.read import read_field
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.step import now
from napari_wbc.pipeline.analysis import Analysis, ReadField, SlideAnalysis
from napari_wbc.pipeline.lab_report.content import LabReport, Settings, content, field_names
from napari_wbc.pipeline.lab_report.fhir import fhir_bundle
from napari_wbc.pipeline.lab_report.page import page
from napari_wbc.pipeline.lab_report.pictures import pictures
from napari_wbc.pipeline.lab_report.values import report_json
from napari_wbc.storage.tables import CELL_COLUMNS, cells_frame, write_csv

if TYPE_CHECKING:
    import pandas as pd

FILES = ("report.html", "report.json", "report.csv", "fhir.json")
_PLAIN = re.compile(r"[^0-9A-Za-z_-]+")


@dataclass(frozen=True, slots=True)
class Reported:
    """A report on the disk."""

    report: LabReport
    folder: Path


def report_steps(
    analysis: Analysis, out: str | Path, settings: Settings, *, read: ReadField = read_field
) -> Steps[tuple[Reported, ...]]:
    """Write the report of each slide of an analysis.

    A single slide's files lie in ``out``, those of several in a folder each: ``report.html`` (one
    page that needs no other file), ``report.json``, ``report.csv`` (every cell with who labelled it
    and when) and ``fhir.json`` (HL7 FHIR R4).

    Raises
    ------
    WbcError
        If something cannot be written.
    """
    reported: list[Reported] = []
    total = len(analysis.slides)
    for place, slide in enumerate(analysis.slides):
        yield Progress("writing reports", place, total)
        folder = Path(out)
        if total > 1:
            folder /= folder_name(slide.slide.name, place + 1, masked=settings.masked)
        report = content(slide, settings, now())
        write_report(report, slide, folder, read=read)
        reported.append(Reported(report, folder))
    yield Progress("writing reports", total, total)
    return tuple(reported)


def folder_name(slide: str, number: int, *, masked: bool = False) -> str:
    """A safe name of a folder for a slide, whatever the slide is called.

    Examples
    --------
    >>> folder_name('../"x"', 3)
    '03-x'
    """
    plain = "" if masked else _PLAIN.sub("-", slide).strip("-")[:60]
    return f"{number:02d}-{plain}" if plain else f"{number:02d}"


def write_report(
    report: LabReport,
    slide: SlideAnalysis,
    folder: Path,
    *,
    audited: Collection[str] = (),
    signatures: Sequence[str] = (),
    signed: Mapping[str, Any] | None = None,
    read: ReadField = read_field,
) -> None:
    """Write the four files of one report.

    Parameters
    ----------
    signatures : sequence of str
        Who signed and when, in words.
    signed : mapping, optional
        The signatures as JSON values; None where nobody has signed.
    """
    make_folder(folder)
    taxonomy = report.settings.policy.taxonomy_of(slide.taxonomy)
    names = field_names(slide, report.settings)
    shown = pictures(slide, taxonomy, names, read)
    write_text(folder / FILES[0], page(report, shown, signatures))
    _write_json(folder / FILES[1], {**report_json(report), "signed": signed})
    write_csv(folder / FILES[2], _frame(report, slide, names, audited))
    amended = signed is not None and signed.get("version", 1) > 1
    _write_json(folder / FILES[3], fhir_bundle(report, signed=signed is not None, amended=amended))


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, f"{text}\n")


def _frame(
    report: LabReport, slide: SlideAnalysis, names: Mapping[str, str], audited: Collection[str]
) -> pd.DataFrame:
    """A row a cell: as in ``cells.csv``, then who labelled it and when."""
    frame = cells_frame([(report.slide, slide.table)], ())[list(CELL_COLUMNS)].copy()
    frame["fov"] = frame["fov"].map(names)
    annotations = [cell.annotation for cell in slide.table.values()]
    frame["annotator"] = [each.annotator if each else "" for each in annotations]
    frame["when"] = [each.when if each else "" for each in annotations]
    sampled = set(audited)
    frame["audited"] = [cell_id in sampled for cell_id in slide.table]
    return frame
