"""A project of other classes than those of the workbench."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.session.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wbc.model.slide import Slide

__all__ = ["OtherClasses", "add_classes"]


class OtherClasses(NamedTuple):
    """A project whose classes are not those of the workbench."""

    taxonomy: Taxonomy
    path: Path
    slide: Slide | str = ""
    reading: str = ""


def add_classes(session: Session, taxonomy: Taxonomy) -> OtherClasses | None:
    """Write more classes into the open project.

    Returns
    -------
    OtherClasses or None
        The project to open anew, None where nothing is open.

    Raises
    ------
    WbcError
        If the cells are in memory only, or are not saved.
    """
    workspace = session.workspace
    if workspace is None:
        if session.table:
            raise WbcError("These cells are in memory only; classes are added in a project.")
        return None
    if not session.flush():
        raise WbcError(f"What you did is not saved: {session.saved.why}.")
    workspace.put("taxonomy", taxonomy.to_dict())
    return OtherClasses(taxonomy, workspace.path, session.slide.name, session.reading)
