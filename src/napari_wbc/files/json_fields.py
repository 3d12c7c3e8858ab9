"""Fields of JSON objects that a stranger may have written, each of the type that it must have."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from napari_wbc.errors import WbcError

MAX_NUMBER = 1e9
"""No image has a billion pixels along a side."""
KIND_NAMES = {
    dict: "object",
    list: "list",
    str: "text",
    int: "whole number",
    bool: "true or false",
}
T = TypeVar("T")
Record = dict[str, Any]


def is_nan(value: object) -> bool:
    """Whether a value is the NaN that some programs write for what was not measured."""
    return isinstance(value, float) and math.isnan(value)


def part(record: object, key: str, kind: type[T], default: T | None = None) -> T:
    """A field of a JSON object, of the type that it must have; null counts as missing.

    Raises
    ------
    WbcError
        If it is missing without a default, or of another type.
    """
    value = record.get(key) if isinstance(record, dict) else None
    value = default if value is None and isinstance(record, dict) else value
    # A bool is an int to Python, but true is no number of pixels.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise WbcError(f"{key} is missing or no {KIND_NAMES[kind]}; correct it.")
    return value


def check_object(value: object) -> None:
    """Refuse what is no JSON object."""
    if not isinstance(value, dict):
        raise WbcError(f"{str(value)[:40]!r} is no object; correct it.")


def items(record: object, key: str) -> list[Record]:
    """A field of a JSON object that must be a list of objects."""
    values = part(record, key, list)
    if not set(map(type, values)) <= {dict}:
        raise WbcError(f"{key} holds something that is no object; correct it.")
    return values


def texts(record: object, key: str) -> tuple[str, ...]:
    """A field of a JSON object that must be a list of texts."""
    values = part(record, key, list)
    if not set(map(type, values)) <= {str}:
        raise WbcError(f"{key} holds something that is no text; correct it.")
    return tuple(values)


def number(text: str) -> float:
    """A finite number from a text; else a :class:`WbcError`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # Python alone takes "1_000" for a number.
    if not math.isfinite(value) or "_" in text:
        raise WbcError(f"{text[:40]!r} is no finite number; write one with a decimal point.")
    return value


def numbers(values: object, what: str) -> list[float]:
    """A JSON list of numbers, none larger than any image; some tools write them as texts."""
    if not isinstance(values, list) or not set(map(type, values)) <= {int, float, str}:
        raise WbcError(f"{what} is missing or not of numbers; correct it.")
    values = [number(value) if isinstance(value, str) else value for value in values]
    # A comparison with NaN is false.
    if values and not all(abs(value) <= MAX_NUMBER for value in values):
        raise WbcError(f"{what} has a number that is too large, or none; correct it.")
    return list(map(float, values))
