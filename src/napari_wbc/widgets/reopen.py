"""The workbench with other classes: a new one in the dock of the old, since every panel shows the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.session.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wbc.model.slide import Slide
    from napari_wbc.widgets.workbench import Workbench

__all__ = ["OtherClasses", "add_classes", "reopen"]


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


def reopen(bench: Workbench, taxonomy: Taxonomy, project: OtherClasses | None) -> Workbench:
    """Put a workbench of other classes in the place of this one, which lets go of everything.

    Parameters
    ----------
    bench : Workbench
        In a dock of its viewer.
    taxonomy : Taxonomy
    project : OtherClasses, optional
        To open in it.
    """
    window, dock = bench.viewer.window, bench.parentWidget()
    name, area = getattr(dock, "name", ""), getattr(dock, "area", "right")
    layers = (*bench.view.layers, *filter(None, [bench.explain.layer.layer]))
    window.remove_dock_widget(bench)
    for layer in layers:
        if layer in bench.viewer.layers:
            bench.viewer.layers.remove(layer)
    fresh = type(bench)(bench.viewer, Session(taxonomy))
    window.add_dock_widget(fresh, name=name, area=area)
    fresh.train.take_over(bench.train)
    if project is not None:
        slide = project.slide
        if isinstance(slide, str):
            fresh.open_project(project.path, slide, project.reading)
        else:
            fresh.open_slide(slide)
    return fresh
