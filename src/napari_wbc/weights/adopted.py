"""The record of what came into use, and what was taken back: a JSON file that only grows.

Invariant: a damaged record is told and never begun anew, and what a newer version wrote in it
stays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from napari_wbc.errors import WeightsError
from napari_wbc.files.atomic import replace_file


@dataclass(frozen=True, slots=True)
class Adoption:
    """One line of a history: what came into use.

    Parameters
    ----------
    when : str
        ISO 8601 with zone.
    sha256, model_id, file : str
        Of the model; ``file`` tells models of the same weights apart.
    back : int
        How many adoptions a roll-back took back, 0 for an adoption.
    """

    when: str
    sha256: str
    model_id: str
    file: str
    why: str = ""
    back: int = 0


def read_history(record: Path, kind: str) -> tuple[Adoption, ...]:
    """All that came into use of a kind, the earliest first; empty without a record."""
    history: list[Adoption] = []
    for entry in _load(record).get("history", {}).get(kind, []):
        try:
            adoption = _adoption(entry)
        except TypeError as error:
            raise _damaged(record) from error
        history.append(adoption)
    return tuple(history)


def append_adoption(record: Path, kind: str, adoption: Adoption) -> None:
    """Write one line more, whole or not at all; the caller keeps others from writing meanwhile.

    Raises
    ------
    WeightsError, OSError
        If the record is damaged, or cannot be written.
    """
    data = _load(record)
    data.setdefault("history", {}).setdefault(kind, []).append(asdict(adoption))
    replace_file(record, (json.dumps(data, indent=2) + "\n").encode())


def standing(history: Sequence[Adoption]) -> list[Adoption]:
    """The adoptions that were not taken back; the last one is in use.

    Examples
    --------
    >>> a, b = (Adoption("", name, name, name) for name in "ab")
    >>> standing([a, b, Adoption("", "a", "a", "a", back=1)]) == [a]
    True
    """
    stack: list[Adoption] = []
    for adoption in history:
        # A roll-back names the model that it returned to, which stands in the stack already.
        if adoption.back:
            del stack[-adoption.back :]
        else:
            stack.append(adoption)
    return stack


def _load(record: Path) -> dict[str, Any]:
    try:
        data = json.loads(record.read_text(encoding="utf-8"))
        lists = data.get("history", {}).values()
    except FileNotFoundError:
        # Before the first adoption there is no record.
        return {}
    except OSError as error:
        raise WeightsError(
            f"{record}: cannot be read ({error.strerror or error}); check the disk, then try again."
        ) from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise _damaged(record) from error
    if not all(isinstance(entries, list) for entries in lists):
        raise _damaged(record)
    return dict(data)


def _adoption(entry: Any) -> Adoption:
    # What a newer version wrote beside these is passed over.
    adoption = Adoption(**{f.name: entry[f.name] for f in fields(Adoption) if f.name in entry})
    *texts, back = astuple(adoption)
    if not set(map(type, texts)) <= {str} or type(back) is not int or back < 0:
        raise TypeError("a value is of another type")
    return adoption


def _damaged(record: Path) -> WeightsError:
    return WeightsError(
        f"{record}: the record of the models in use is damaged; put back a copy of it, or move it "
        "away to use the shipped models."
    )
