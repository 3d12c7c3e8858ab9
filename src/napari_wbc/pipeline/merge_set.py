"""The cells of a training set beside those of a project: which are new, and which are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_wbc.model.cell import Annotation, Cell
from napari_wbc.model.matching import (
    DOUBTFUL,
    MAX_OVERLAP,
    counterparts,
    overlap_with,
    same_box,
)
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import Step, now
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.training_set import LabelledField
from napari_wbc.pipeline.incoming import There
from napari_wbc.storage.workspace import Workspace

LEFT_OUT = ""
"""What a label becomes whose cells are not wanted."""


def doubts_note(doubts: Sequence[str]) -> str:
    """One line about cells that may be the ones that a project has, or others; empty for none."""
    if not doubts:
        return ""
    cells = "1 cell overlaps one" if len(doubts) == 1 else f"{len(doubts)} cells overlap ones"
    return f"{cells} of the project by less than half, so look whether it is the same: {doubts[0]}."


def merge_fields_steps(
    workspace: Workspace,
    fields: Sequence[LabelledField],
    wanted: Mapping[str, str],
    there: There,
    source: str,
) -> Steps[tuple[int, list[str]]]:
    """Put fields into a project, slide by slide; how many cells they label, and those in doubt."""
    doubts: list[str] = []
    slides = {slide.name: slide for slide in workspace.slides()}
    slide_of = {cell_id: slide for cell_id, (slide, _fov_id) in there.cells.items()}
    labelled = 0
    done = 0
    groups: dict[str, list[LabelledField]] = {}
    for field in fields:
        groups.setdefault(field.slide, []).append(field)
    for name, group in groups.items():
        new = [field for field in group if field.fov_id not in there.fields]
        fovs = list(slides[name].fields) if name in slides else []
        fovs += [FieldOfView(field.fov_id, field.path) for field in new]
        # A field that comes twice is one field of the slide.
        workspace.put_slide(Slide(name, tuple(dict.fromkeys(fovs))))
        before = workspace.table(name)
        merged: list[Cell] = []
        for field in group:
            done += 1
            yield Progress("writing labels", done, len(fields))
            cells: list[Cell] = []
            for cell in field.cells:
                if wanted[cell.label] != LEFT_OUT:
                    imported = _labelled(cell, field.fov_id, wanted[cell.label], source)
                    # Ids are unique in a project, but two slides of a set may use the same.
                    is_own = slide_of.get(cell.cell_id, name) == name
                    cells.append(imported if is_own else _renamed(imported))
            labelled += len(cells)
            merged += _merged(before, field.fov_id, cells, doubts)
        after = before.with_cells(merged)
        slide_of |= dict.fromkeys(after, name)
        # One step a slide, so that the import of a slide is undone at once.
        if change := diff(before, after):
            step = Step(workspace.last + 1, f"import {source}", "import", change, when=now())
            workspace.write(name, [step])
        workspace.put_image_facts(list(map(_facts, new)))
    return labelled, doubts


def _facts(field: LabelledField) -> dict[str, Any]:
    stat = field.path.stat()
    return {
        "key": field.fov_id,
        "size": stat.st_size,
        "modified": stat.st_mtime_ns,
        "sha256": field.sha256,
    }


def _renamed(cell: Cell) -> Cell:
    """The cell with a new id, where another has its own."""
    return replace(cell, cell_id=Cell.new(cell.fov_id, cell.detection).cell_id)


def by_model(cell: Cell) -> bool:
    """Whether a model labelled the cell, and nobody has reviewed it."""
    return cell.annotation is None and cell.prediction is not None


def _labelled(cell: Cell, fov_id: str, label: str, source: str) -> Cell:
    # What only a model said must not become a person's annotation.
    if by_model(cell):
        return replace(cell, fov_id=fov_id)
    by_set = cell.annotation or Annotation(cell.label)
    annotator = by_set.annotator or f"import of {source}"
    annotation = Annotation(label, annotator, by_set.when or now())
    return replace(cell, fov_id=fov_id, annotation=annotation)


def _merged(table: CellTable, fov_id: str, cells: list[Cell], doubts: list[str]) -> list[Cell]:
    """The cells; of one that the project has already, its own cell as the set has it."""
    merged: list[Cell] = []
    existing = table.of_field(fov_id)
    low, high = DOUBTFUL
    matches = counterparts(cells, existing, MAX_OVERLAP)
    for cell, match in zip(cells, matches, strict=True):
        if match is None:
            if overlap_with(cell, existing) >= low:
                doubts.append(f"{_place(cell)} was added")
            merged.append(_renamed(cell) if cell.cell_id in table else cell)
            continue
        overlap = overlap_with(cell, [match])
        if overlap < high and cell.cell_id != match.cell_id:
            doubts.append(f"{_place(cell)} was taken for that one")
        result = match
        # What only a model said corrects nothing.
        if cell.annotation:
            same = same_box(cell, match)
            result = (match if same else match.moved(cell.detection)).annotated(cell.annotation)
        merged.append(result)
    return merged


def _place(cell: Cell) -> str:
    edges = ", ".join(map("{:g}".format, cell.detection.bbox.edges))
    return f"{cell.label} at ({edges}) of {cell.fov_id}"
