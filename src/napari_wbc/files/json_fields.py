"""Fields of JSON objects that a stranger may have written, each of the type that it must have."""

from __future__ import annotations

from typing import Any, TypeVar

from napari_wbc.errors import WbcError

__all__ = ["Record", "items", "numbers", "part", "texts"]

FARTHEST = 1e9
"""Largest number that is taken for one of an image: a billion pixels."""
WORDS = {
    dict: "object",
    list: "list",
    str: "text",
    int: "whole number",
    bool: "true or false",
}
T = TypeVar("T")
Record = dict[str, Any]


def part(record: object, key: str, kind: type[T], default: T | None = None) -> T:
    """A field of a JSON object, of the type that it must have.

    Raises
    ------
    WbcError
        If it is missing without a default, or of another type.
    """
    value = record.get(key, default) if isinstance(record, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise WbcError(f"{key} is missing or no {WORDS[kind]}; correct it.")
    return value


def items(record: object, key: str) -> list[Record]:
    """A field of a JSON object that must be a list of objects."""
    found = part(record, key, list)
    if not all(isinstance(one, dict) for one in found):
        raise WbcError(f"{key} holds something that is no object; correct it.")
    return found


def texts(record: object, key: str) -> tuple[str, ...]:
    """A field of a JSON object that must be a list of texts."""
    found = part(record, key, list)
    if not all(isinstance(one, str) for one in found):
        raise WbcError(f"{key} holds something that is no text; correct it.")
    return tuple(found)


def numbers(values: object, what: str) -> list[float]:
    """A JSON list of numbers, none larger than any image."""
    if not isinstance(values, list) or not all(type(one) in (int, float) for one in values):
        raise WbcError(f"{what} is missing or not of numbers; correct it.")
    if any(abs(one) > FARTHEST for one in values):
        raise WbcError(f"{what} has a number that is too large; correct it.")
    return [float(one) for one in values]
