"""Numbers that people and files may set, each within its range."""

from __future__ import annotations

from collections.abc import Mapping

from napari_wbc.errors import WbcError

Ranges = Mapping[str, tuple[float, float]]
"""Least and most of a field, by its name."""


def check_ranges(record: object, ranges: Ranges) -> None:
    """Refuse a record of which a field is outside its range, or is no number.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> check_ranges(SimpleNamespace(epochs=30), {"epochs": (1, 100)})
    """
    for name, (least, most) in ranges.items():
        value = getattr(record, name)
        # A comparison with NaN is false.
        if not least <= value <= most:
            raise WbcError(f"{name} = {value} is impossible; it is from {least:g} to {most:g}.")
