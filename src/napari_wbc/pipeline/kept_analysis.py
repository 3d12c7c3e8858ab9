"""What a project keeps of the last analysis of a slide: failed files, blood cells, disagreements.

It is a note of the project, by field, so that the analysis of one field replaces the entries of
that field only. The functions are pure; their callers read and write the note.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import shapely

from napari_wbc.model.failure import Failure
from napari_wbc.model.slide import Slide
from napari_wbc.pipeline.film.regions import Regions

FAILED = "failed"
BLOOD_CELLS = "blood_cells"
DISAGREEMENTS = "disagreements"
LOOKED_AT = "looked_at"
REGIONS = "regions"
WHOLE: Mapping[str, str] = MappingProxyType({})
"""All films looked at as a whole."""
NO_REGIONS: Regions = MappingProxyType({})
PARTS = (FAILED, BLOOD_CELLS, DISAGREEMENTS, LOOKED_AT, REGIONS)


class Kept(NamedTuple):
    """What a note says, as :func:`to_note` was given it."""

    failures: tuple[Failure, ...]
    blood_cells: dict[str, dict[str, int]]
    disagreements: dict[str, str]
    looked_at: dict[str, str]
    regions: dict[str, dict[str, shapely.Geometry]]


def note_key(slide: str) -> str:
    """The key of the note of a slide.

    Examples
    --------
    >>> note_key("slide 1")
    'analysis/slide 1'
    """
    return f"analysis/{slide}"


def to_note(
    slide: Slide,
    failures: Iterable[Failure],
    blood_cells: Mapping[str, Mapping[str, int]],
    disagreements: Mapping[str, str],
    looked_at: Mapping[str, str] = WHOLE,
    *,
    regions: Regions = NO_REGIONS,
) -> dict[str, Any]:
    """An analysis as a note of JSON values.

    Parameters
    ----------
    slide : Slide
        That was analyzed, or the part of it that was; failures of other files are left out.
    blood_cells : mapping of str to mapping
        Field to red cells and platelets, if they were counted.
    disagreements : mapping of str to str
        Field to how far its cell finders disagree; without fields on which they agree.
    looked_at : mapping of str to str
        Scanned film to the part of it that was looked at; without films looked at as a whole.
    regions : mapping of str to mapping
        Scanned film to its regions by name.
    """
    # By id and not by path, since the folder of a slide may move.
    fov_ids = {field.path: field.fov_id for field in slide.fields}
    failed = {}
    for failure in failures:
        if failure.path in fov_ids:
            failed[fov_ids[failure.path]] = failure.message
    counted = {key: dict(value) for key, value in blood_cells.items()}
    said = {DISAGREEMENTS: dict(disagreements), LOOKED_AT: dict(looked_at)}
    drawn: dict[str, dict[str, str]] = {}
    for fov_id, areas in regions.items():
        drawn[fov_id] = {name: shapely.to_wkt(area, trim=True) for name, area in areas.items()}
    return {FAILED: failed, BLOOD_CELLS: counted, **said, REGIONS: drawn}


def from_note(value: object, slide: Slide) -> Kept:
    """What :func:`to_note` was given of these fields; entries that make no sense are left out.

    Parameters
    ----------
    value : object
        What the project has under :func:`note_key`; None if it has nothing.
    slide : Slide
        As its project has it now: the paths of failed files are those of its fields.

    Examples
    --------
    >>> tuple(from_note("garbage", Slide("s", ())))
    ((), {}, {}, {}, {})
    """
    failed = _by_field(value, FAILED)
    counted = _by_field(value, BLOOD_CELLS)
    failures = []
    blood_cells = {}
    disagreements = _texts(value, DISAGREEMENTS, slide)
    looked_at = _texts(value, LOOKED_AT, slide)
    # A project file may come from anywhere, and a damaged note must not keep its slides shut.
    for field in slide.fields:
        message = failed.get(field.fov_id)
        counts = _counts(counted.get(field.fov_id))
        if isinstance(message, str):
            failures.append(Failure(field.path, message))
        if counts:
            blood_cells[field.fov_id] = counts
    regions = _regions(value, slide)
    return Kept(tuple(failures), blood_cells, disagreements, looked_at, regions)


def merged_note(old: object, searched: Collection[str], new: Mapping[str, Any]) -> dict[str, Any]:
    """The note after some fields were analyzed again.

    Parameters
    ----------
    old : object
        The note before; None if there was none.
    searched : collection of str
        Ids of the fields that were analyzed now, also of those that failed.
    new : mapping
        Of :func:`to_note`, of these fields.
    """
    merged = {}
    for part in PARTS:
        entries = dict(_by_field(old, part))
        # An old failure of a field that was read now has no entry in the new note to replace it.
        for fov_id in searched:
            entries.pop(fov_id, None)
        merged[part] = entries | _by_field(new, part)
    return merged


def _by_field(value: object, part: str) -> dict[str, Any]:
    entries = value.get(part) if isinstance(value, Mapping) else None
    return entries if isinstance(entries, dict) else {}


def _texts(value: object, part: str, slide: Slide) -> dict[str, str]:
    """The texts of a part, of the fields of a slide."""
    entries = _by_field(value, part)
    said = {field.fov_id: entries.get(field.fov_id) for field in slide.fields}
    return {fov_id: text for fov_id, text in said.items() if isinstance(text, str) and text}


def _regions(value: object, slide: Slide) -> dict[str, dict[str, shapely.Geometry]]:
    """The regions of the fields of a slide; what is no area is left out."""
    entries = _by_field(value, REGIONS)
    regions: dict[str, dict[str, shapely.Geometry]] = {}
    for field in slide.fields:
        named = entries.get(field.fov_id)
        for name, text in named.items() if isinstance(named, dict) else ():
            area = shapely.from_wkt(text, on_invalid="ignore") if isinstance(text, str) else None
            if area is not None and area.area > 0 and area.is_valid:
                regions.setdefault(field.fov_id, {})[name] = area
    return regions


def _counts(value: object) -> dict[str, int]:
    """How many of each kind; kinds without a count are left out."""
    if not isinstance(value, dict):
        return {}
    # Not isinstance: JSON's true is an int to Python.
    return {name: n for name, n in value.items() if type(n) is int and n >= 0}
