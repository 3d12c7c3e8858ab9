"""Cells to rows and JSON, and back, every float exactly as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from itertools import chain
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.files.json_fields import check_object, numbers, part, texts
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.words import is_line

Row = dict[str, Any]
EDGES = ("top", "left", "bottom", "right")
PARTS = ("detection", "prediction", "annotation")
SAID = ("probabilities", "threshold", "model_id", "unlikeness", "weights")
"""Fields of a prediction beside its names."""


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
    box = _box([row[edge] for edge in EDGES])
    prediction = annotation = None
    if row["p_names"] is not None:
        said = {name: row[f"p_{name}"] for name in SAID}
        said["probabilities"] = json.loads(row["p_probabilities"])
        prediction = _said(said, _names(row["p_names"]))
    if row["a_label"] is not None:
        annotation = _labelled(row["a_label"], row["a_annotator"], row["a_when"])
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
        kept = getattr(cell, name)
        if other is None or kept != getattr(other, name):
            parts[name] = None if kept is None else _part(kept)
    return json.dumps(parts)


def is_whole(text: str) -> bool:
    """Whether :func:`parts_of` wrote all parts of a cell."""
    return "fov_id" in json.loads(text)


def with_parts(cell_id: str, cell: Cell | None, text: str) -> Cell:
    """A cell with the parts that :func:`parts_of` wrote; a new one where there was none."""
    parts = json.loads(text)
    check_object(parts)
    fov_id = part(parts, "fov_id", str) if cell is None else cell.fov_id
    values: Row = {}
    for name in PARTS:
        if name in parts:
            # A cell may have no prediction and no annotation, but it has a place.
            absent = parts[name] is None and name != "detection"
            values[name] = None if absent else _READERS[name](parts[name])
        elif cell is not None:
            values[name] = getattr(cell, name)
    return Cell(cell_id, fov_id, **values)


def _part(kept: Detection | Prediction | Annotation) -> Row:
    if isinstance(kept, Annotation):
        return asdict(kept)
    if isinstance(kept, Prediction):
        return _prediction_parts(kept)
    outline = None if kept.outline is None else kept.outline.vertices
    parts: Row = {"box": kept.bbox.edges, "outline": outline}
    parts |= {"score": kept.score, "drawn": kept.drawn}
    if kept.located_by is not None:
        parts["located_by"] = _located_by_parts(kept.located_by)
    if kept.candidate:
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


def _detection(found: Row) -> Detection:
    outline = None if found["outline"] is None else _outline(found["outline"])
    # Files of the first version do not say what located a cell.
    located_by = found.get("located_by")
    if located_by is not None:
        located_by = _located_by(json.dumps(located_by))
    (score,) = numbers([found["score"]], "score")
    drawn = part(found, "drawn", bool)
    candidate = part(found, "candidate", bool, False)
    return Detection(_box(found["box"]), outline, score, drawn, located_by, candidate)


def _prediction(said: Row) -> Prediction:
    return _said(said, _names(json.dumps(said["names"])))


def _said(said: Row, names: tuple[str, ...]) -> Prediction:
    threshold = said["threshold"]
    unlikeness = said["unlikeness"]
    told = [threshold] if unlikeness is None else [threshold, unlikeness]
    if min(_numbers(told, "threshold or unlikeness")) < 0 or threshold > 1:
        raise WbcError(f"A threshold of {threshold} or an unlikeness of {unlikeness} cannot be.")
    shares = tuple(_numbers(said["probabilities"], "probabilities"))
    model_id, weights = (part(said, name, str) for name in ("model_id", "weights"))
    return Prediction(names, shares, threshold, model_id, unlikeness, weights)


def _annotation(said: Row) -> Annotation:
    return _labelled(*(part(said, name, str) for name in ("label", "annotator", "when")))


def _numbers(values: list[Any], what: str) -> list[float]:
    # Other programs write numbers as texts, ours does not: such a row is damaged.
    if any(isinstance(value, str) for value in values):
        raise WbcError(f"{what} is not of numbers.")
    return numbers(values, what)


def _box(edges: list[float]) -> BBox:
    return BBox(*_numbers(edges, "box"))


def _labelled(label: str, annotator: str, when: str) -> Annotation:
    _check_label(label)
    return Annotation(label, annotator, when)


def _check_label(label: str) -> None:
    # A label that no class has is shown as it is; one that cannot be seen would count as nothing.
    if not label or not is_line(label):
        raise WbcError(f"{label[:40]!r} is no label.")


_READERS = {"detection": _detection, "prediction": _prediction, "annotation": _annotation}


def _outline(vertices: list[list[float]]) -> Outline:
    if set(map(len, vertices)) != {2}:
        raise WbcError("A vertex of the outline is not two numbers.")
    flat = _numbers(list(chain.from_iterable(vertices)), "outline")
    return Outline(tuple(zip(flat[::2], flat[1::2], strict=True)))


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
    names = texts({"names": json.loads(text)}, "names")
    for name in names:
        _check_label(name)
    return names
