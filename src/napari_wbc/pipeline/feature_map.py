"""The cells of a slide on a plane: cells that look alike to a network lie close together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import ReadError
from napari_wbc.explain.projection import check_method, project_steps
from napari_wbc.imaging.read import read_field
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import Slide
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.analysis import ReadField
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """Where cells lie on a plane; the cells of fields that could not be read are left out."""

    cell_ids: tuple[str, ...]
    places: npt.NDArray[np.float32]
    """``(x, y)`` of each cell, shape (cells, 2), about the origin and with a spread of 1."""
    method: str
    model_id: str
    """Of the model whose features they are."""
    failures: tuple[Failure, ...] = ()


def feature_map_steps(
    slide: Slide,
    table: CellTable,
    method: str,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
    seed: int = 0,
    read: ReadField = read_field,
) -> Steps[FeatureMap]:
    """Map the cells of a slide; each field is read once.

    Parameters
    ----------
    table : CellTable
        Cells of other slides are left out.
    method : str
        One of :data:`~napari_wbc.explain.projection.METHODS`.
    weights, device
        As in :func:`~napari_wbc.pipeline.analyze.analyze`.

    Raises
    ------
    WbcError
        If there is no such method, or the model cannot be loaded.
    """
    check_method(method)
    total = sum(len(table.of_field(field.fov_id)) for field in slide.fields)
    yield Progress("loading weights", 0, total)
    classifier = load_classifier(weights, device=device)
    # An empty block first: a slide without cells has features of the right shape too.
    features = [np.zeros((0, classifier.network.head.in_features), np.float32)]
    cell_ids: list[str] = []
    failures: list[Failure] = []
    done = 0
    for field in slide.fields:
        cells = table.of_field(field.fov_id)
        if not cells:
            continue
        end = done + len(cells)
        try:
            image = read(field)
        except (ReadError, OSError) as error:
            failures.append(Failure(field.path, str(error)))
            yield Progress("features", end, total, f"{field.path.name} is left out: {error}")
        else:
            boxes = [cell.detection.bbox for cell in cells]
            for batch in classifier.iter_features(image, boxes):
                features.append(batch)
                done += len(batch)
                yield Progress("features", done, total)
            cell_ids += (cell.cell_id for cell in cells)
        # Cells of a field that failed count as done, so that the bar reaches its end.
        done = end
    places = yield from project_steps(np.concatenate(features), method, seed=seed)
    return FeatureMap(tuple(cell_ids), places, method, classifier.card.model_id, tuple(failures))
