"""Several films of one blood, counted as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import shapely

from napari_wbc.errors import WbcError
from napari_wbc.measure.homogeneity import homogeneity
from napari_wbc.model.cell import Cell
from napari_wbc.model.differential import row_counts
from napari_wbc.model.slide import Slide
from napari_wbc.model.stain_alarm import stain_alarm
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import Place, Taxonomy
from napari_wbc.model.words import counted
from napari_wbc.pipeline.analysis import Analysis, SlideAnalysis, analysis_of

MOST_CAUSES = 3


def pooled(analysis: Analysis) -> tuple[Analysis, dict[str, str]]:
    """All slides of an analysis as one, and of each field the slide that it is of.

    Raises
    ------
    WbcError
        If there is no slide, or two have a cell of one id.
    """
    slides = analysis.slides
    if not slides:
        raise WbcError("There is no slide to be pooled; name a project that has some.")
    name = pool_name([each.slide.name for each in slides])
    fields = tuple(chain.from_iterable(each.slide.fields for each in slides))
    cells: list[Cell] = []
    parts: dict[str, str] = {}
    blood_cells: dict[str, Mapping[str, int]] = {}
    disagreements: dict[str, str] = {}
    looked_at: dict[str, str] = {}
    regions: dict[str, Mapping[str, shapely.Geometry]] = {}
    for each in slides:
        cells += each.table.values()
        parts |= dict.fromkeys(each.listed_fields, each.slide.name)
        blood_cells |= each.blood_cells
        disagreements |= each.disagreements
        looked_at |= each.looked_at
        regions |= each.regions
    table = CellTable(cells)
    if len(table) < len(cells):
        raise WbcError(f"{name}: two slides have the same cells; pool slides of different films.")
    failures = tuple(chain.from_iterable(each.failures for each in slides))
    whole = SlideAnalysis(
        Slide(name, fields),
        table,
        failures,
        blood_cells,
        disagreements,
        looked_at,
        regions,
        taxonomy=slides[0].taxonomy,
    )
    return analysis_of([whole]), parts


def pool_name(slides: Sequence[str]) -> str:
    """What a report calls several slides that are counted as one."""
    return " + ".join(slides)


def stain_alarms(table: CellTable, parts: Mapping[str, str]) -> tuple[str, ...]:
    """The stain alarm of each film that raises it: one film's stain tells nothing of another's.

    Parameters
    ----------
    parts : mapping of str to str
        Of each field its slide.
    """
    films: dict[str, list[Cell]] = {}
    for cell in table.values():
        films.setdefault(parts.get(cell.fov_id, cell.fov_id), []).append(cell)
    alarms = {name: stain_alarm(cells) for name, cells in films.items()}
    return tuple(f"{name}: {alarm}" for name, alarm in alarms.items() if alarm)


def unevenness(
    table: CellTable, taxonomy: Taxonomy, parts: Mapping[str, str], what: str
) -> tuple[str, ...]:
    """What says that parts of a count are not of one blood, in words; empty if nothing does.

    Parameters
    ----------
    parts : mapping of str to str
        Of each field the part that it is of: itself, or its slide.
    what : str
        What the parts are: fields or slides.
    """
    labels: dict[str, dict[str, int]] = {}
    for cell in table.values():
        part = labels.setdefault(parts.get(cell.fov_id, cell.fov_id), {})
        part[cell.label] = part.get(cell.label, 0) + 1
    return differing(labels, taxonomy, what)


def differing(
    labels: Mapping[str, Mapping[str, int]], taxonomy: Taxonomy, what: str
) -> tuple[str, ...]:
    """What says that parts differ, in words, of their cells by label; empty if nothing does."""
    rows = {part: row_counts(counts, taxonomy) for part, counts in labels.items()}
    result = homogeneity(rows, taxonomy.names_at(Place.LEUKOCYTE))
    if result is None or not result.differs:
        return ()
    causes = [
        f"{counted(cause.count, cause.label)} in {cause.part}, {cause.expected:.1f} expected"
        for cause in result.causes[:MOST_CAUSES]
    ]
    text = f"The {what} differ more than chance explains (chi-square, {_p_text(result.p)})"
    return (f"{text}: {'; '.join(causes)}." if causes else f"{text}.",)


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
