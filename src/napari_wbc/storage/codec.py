"""Cells to rows and JSON, and back, every float exactly as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy, Prediction
from napari_wbc.model.geometry import BBox, Outline

Row = dict[str, Any]
EDGES = ("top", "left", "bottom", "right")
PARTS = ("detection", "prediction", "annotation")


def cell_row(cell: Cell) -> Row:
    """A cell's place as a row of ``cells``, less its slide."""
    detection = cell.detection
    outline = detection.outline
    located_by = detection.located_by
    return {
        "cell_id": cell.cell_id,
        "fov_id": cell.fov_id,
        **dict(zip(EDGES, detection.bbox.edges, strict=True)),
        "outline": None if outline is None else json.dumps(outline.vertices),
        "score": detection.score,
        "drawn": int(detection.drawn),
        "located_by": None if located_by is None else _located_by_text(located_by),
        "candidate": int(detection.candidate),
    }


def prediction_row(cell_id: str, prediction: Prediction) -> Row:
    """A row of ``predictions``."""
    return {
        "cell_id": cell_id,
        "label": prediction.label,
        "confidence": prediction.confidence,
        **_prediction_parts(prediction),
        "names": _names_text(prediction.names),
        "probabilities": json.dumps(prediction.probabilities),
    }


def annotation_row(cell_id: str, reading: str, annotation: Annotation) -> Row:
    """A row of ``annotations``."""
    return {"cell_id": cell_id, "reading": reading, **asdict(annotation)}


def cell_of(row: Mapping[str, Any]) -> Cell:
    """A cell from a row of ``cells`` joined with its prediction and annotation.

    Their columns start with ``p_`` and ``a_``.
    """
    outline = None if row["outline"] is None else _outline(json.loads(row["outline"]))
    box = BBox(row["top"], row["left"], row["bottom"], row["right"])
    prediction = annotation = None
    if row["p_names"] is not None:
        prediction = Prediction(
            _names(row["p_names"]),
            tuple(json.loads(row["p_probabilities"])),
            row["p_threshold"],
            row["p_model_id"],
            row["p_unlikeness"],
            row["p_weights"],
        )
    if row["a_label"] is not None:
        annotation = Annotation(row["a_label"], row["a_annotator"], row["a_when"])
    located_by = None if row["located_by"] is None else _located_by(row["located_by"])
    # Files before version 3 have no candidates.
    candidate = bool(row["candidate"])
    drawn = bool(row["drawn"])
    detection = Detection(box, outline, row["score"], drawn, located_by, candidate)
    return Cell(row["cell_id"], row["fov_id"], detection, prediction, annotation)


def parts_of(cell: Cell, other: Cell | None = None) -> str:
    """The parts of a cell as JSON, all of them or those in which it differs from another."""
    # The journal grows for as long as the project lives, so it has no part that stayed the same.
    parts: Row = {} if other is not None else {"fov_id": cell.fov_id}
    for name in PARTS:
        part = getattr(cell, name)
        if other is None or part != getattr(other, name):
            parts[name] = None if part is None else _part(part)
    return json.dumps(parts)


def is_whole(text: str) -> bool:
    """Whether :func:`parts_of` wrote all parts of a cell."""
    return "fov_id" in json.loads(text)


def with_parts(cell_id: str, cell: Cell | None, text: str) -> Cell:
    """A cell with the parts that :func:`parts_of` wrote; a new one where there was none."""
    parts = json.loads(text)
    fov_id = parts["fov_id"] if cell is None else cell.fov_id
    values: Row = {}
    for name in PARTS:
        if name in parts:
            values[name] = parts[name] and _READERS[name](parts[name])
        elif cell is not None:
            values[name] = getattr(cell, name)
    return Cell(cell_id, fov_id, **values)


def _part(part: Detection | Prediction | Annotation) -> Row:
    if isinstance(part, Annotation):
        return asdict(part)
    if isinstance(part, Prediction):
        return _prediction_parts(part)
    outline = None if part.outline is None else part.outline.vertices
    parts: Row = {"box": part.bbox.edges, "outline": outline}
    parts |= {"score": part.score, "drawn": part.drawn}
    if part.located_by is not None:
        parts["located_by"] = _located_by_parts(part.located_by)
    if part.candidate:
        parts["candidate"] = True
    return parts


def _prediction_parts(prediction: Prediction) -> Row:
    return {
        "names": prediction.names,
        "probabilities": prediction.probabilities,
        "threshold": prediction.threshold,
        "model_id": prediction.model_id,
        "unlikeness": prediction.unlikeness,
        "weights": prediction.weights,
    }


def _detection(part: Row) -> Detection:
    outline = None if part["outline"] is None else _outline(part["outline"])
    # Files of the first version do not say what located a cell.
    located_by = part.get("located_by")
    if located_by is not None:
        located_by = _located_by(json.dumps(located_by))
    candidate = part.get("candidate", False)
    return Detection(
        BBox(*part["box"]), outline, part["score"], part["drawn"], located_by, candidate
    )


def _prediction(part: Row) -> Prediction:
    return Prediction(
        **part | {"names": tuple(part["names"]), "probabilities": tuple(part["probabilities"])}
    )


def _annotation(part: Row) -> Annotation:
    return Annotation(**part)


_READERS = {"detection": _detection, "prediction": _prediction, "annotation": _annotation}


def _outline(vertices: list[list[float]]) -> Outline:
    return Outline(tuple((row, col) for row, col in vertices))


def _located_by_parts(located_by: LocatedBy) -> Row:
    return {"detector": located_by.detector, "parameters": dict(located_by.parameters)}


# Thousands of cells of a run share what located them and the names of their classes, so each is
# written and read once; and equal cells then share one object.
@lru_cache(maxsize=64)
def _located_by_text(located_by: LocatedBy) -> str:
    return json.dumps(_located_by_parts(located_by))


@lru_cache(maxsize=64)
def _located_by(text: str) -> LocatedBy:
    """What located a cell, the same object for all cells of a run."""
    match json.loads(text):
        case {"detector": str(detector), "parameters": dict(parameters)}:
            if set(map(type, parameters.values())) <= {int, float}:
                return LocatedBy(detector, tuple(parameters.items()))
    raise WbcError(
        f"{text[:80]!r} does not say what located a cell; export or save the file again."
    )


@lru_cache(maxsize=64)
def _names_text(names: tuple[str, ...]) -> str:
    return json.dumps(names)


@lru_cache(maxsize=64)
def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
