"""The audit of a slide as a note of its project."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.model.audit import Audit
from napari_wbc.model.step import now


def audit_key(slide: str) -> str:
    """The key of a project's note with the audit of a slide."""
    return f"audit/{slide}"


def kept_audit(value: object) -> Audit | None:
    """The audit of a note; None where there is none, or it makes no sense.

    Examples
    --------
    >>> kept_audit({"n": 50, "seed": 7}), kept_audit("garbage")
    (Audit(n=50, seed=7), None)
    """
    match value:
        case {"n": int(n), "seed": int(seed)}:
            with suppress(WbcError):
                return Audit(n, seed)
    return None


def audit_note(audit: Audit) -> dict[str, Any]:
    """An audit as the note of a project."""
    return {"n": audit.n, "seed": audit.seed, "when": now()}


def new_audit(n: int = 50, seed: int | None = None) -> Audit:
    """An audit of ``n`` cells of a slide, with a seed by chance where none is given."""
    return Audit(n, secrets.randbelow(2**31) if seed is None else seed)
