"""What a project keeps of the last analysis of a slide, beside its cells: failed files and blood cells.

It is a note of the project, by field, so that the analysis of one field replaces what is known of
that field alone. The functions are pure; who calls them reads and writes the note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from napari_wbc.model.failure import Failure
from napari_wbc.model.slide import Slide

__all__ = ["from_note", "merged_note", "note_key", "to_note"]

FAILED, BLOOD_CELLS = "failed", "blood_cells"


def note_key(slide: str) -> str:
    """The key of the note of a slide.

    Examples
    --------
    >>> note_key("slide 1")
    'analysis/slide 1'
    """
    return f"analysis/{slide}"


def to_note(
    slide: Slide, failures: Iterable[Failure], blood_cells: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """An analysis as a note, in values that JSON knows.

    Parameters
    ----------
    slide : Slide
        That was analyzed, or the part of it that was.
    failures : iterable of Failure
        Of files of the slide; others are left out.
    blood_cells : mapping of str to mapping
        Field to red cells and platelets, where they were counted.
    """
    fov_ids = {field.path: field.fov_id for field in slide.fields}
    return {
        FAILED: {fov_ids[f.path]: f.message for f in failures if f.path in fov_ids},
        BLOOD_CELLS: {fov_id: dict(counts) for fov_id, counts in blood_cells.items()},
    }


def from_note(value: object, slide: Slide) -> tuple[tuple[Failure, ...], dict[str, dict[str, int]]]:
    """Failed files and blood cells of a note; what makes no sense in it is left out.

    Parameters
    ----------
    value : object
        What the project has under :func:`note_key`; None where it has nothing.
    slide : Slide
        As its project has it now: the paths of failed files are those of its fields.

    Returns
    -------
    failures : tuple of Failure
    blood_cells : dict of str to dict
        Field to red cells and platelets.

    Examples
    --------
    >>> from_note("garbage", Slide("s", ()))
    ((), {})
    """
    failed, counted = _by_field(value, FAILED), _by_field(value, BLOOD_CELLS)
    failures = [
        Failure(field.path, message)
        for field in slide.fields
        if isinstance(message := failed.get(field.fov_id), str)
    ]
    blood_cells = {
        field.fov_id: _counts(counted[field.fov_id])
        for field in slide.fields
        if field.fov_id in counted
    }
    return tuple(failures), {fov_id: counts for fov_id, counts in blood_cells.items() if counts}


def merged_note(old: object, searched: Iterable[str], new: Mapping[str, Any]) -> dict[str, Any]:
    """The note after some fields were analyzed again.

    Parameters
    ----------
    old : object
        The note before; None where there was none.
    searched : iterable of str
        Ids of the fields that were analyzed now, also of those that failed.
    new : mapping
        Of :func:`to_note`, of these fields.
    """
    gone = set(searched)
    merged = {}
    for part in (FAILED, BLOOD_CELLS):
        left = {
            fov_id: value for fov_id, value in _by_field(old, part).items() if fov_id not in gone
        }
        merged[part] = left | _by_field(new, part)
    return merged


def _by_field(value: object, part: str) -> dict[str, Any]:
    entries = value.get(part) if isinstance(value, Mapping) else None
    return entries if isinstance(entries, dict) else {}


def _counts(value: object) -> dict[str, int]:
    """How many of each kind; kinds without a count are left out."""
    if not isinstance(value, dict):
        return {}
    return {name: n for name, n in value.items() if type(n) is int and n >= 0}
