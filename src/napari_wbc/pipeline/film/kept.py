"""What is kept of the tiles of a run, so that one that was ended goes on where it was.

Invariant: a file is there whole or not at all, and its name is a digest of all that its content
depends on: slide, windows, models and settings. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_wbc import __version__
from napari_wbc.classify.predict import Classifier
from napari_wbc.detect.look import Look, Seen
from napari_wbc.files.atomic import write_bytes
from napari_wbc.model.cell import Detection, Prediction
from napari_wbc.model.geometry import BBox, Outline

_VERSION = 1
"""Of what is kept; another version does not read it."""


class Kept:
    """Results by key, in files of a folder; in no file where there is no folder."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def seen(self, key: str) -> Seen | None:
        """What a tile showed; None if it is not kept, or damaged."""
        arrays = self._arrays(key)
        try:
            return None if arrays is None else _seen_of(arrays)
        # Another program's file, or one of a disk that fails: the tile is worked on again.
        except (KeyError, ValueError, TypeError, IndexError):
            return None

    def keep_seen(self, key: str, seen: Seen) -> None:
        """Keep what a tile showed."""
        self._keep(key, _arrays_of(seen))

    def predictions(
        self, key: str, classifier: Classifier, n: int
    ) -> tuple[Prediction, ...] | None:
        """Predictions of ``n`` cells of a tile; None if they are not kept, or damaged."""
        arrays = self._arrays(key)
        try:
            if arrays is None or len(arrays["probabilities"]) != n:
                return None
            card = classifier.card
            likes = arrays["unlikeness"].tolist() or [None] * n
            rows = map(tuple, arrays["probabilities"].tolist())
            return tuple(
                Prediction(
                    card.classes, row, classifier.threshold, card.model_id, like, card.sha256
                )
                for row, like in zip(rows, likes, strict=True)
            )
        except (KeyError, ValueError, TypeError):
            return None

    def keep_predictions(self, key: str, predictions: Sequence[Prediction]) -> None:
        """Keep the predictions of the cells of a tile."""
        likes = [one.unlikeness for one in predictions if one.unlikeness is not None]
        rows = np.array([one.probabilities for one in predictions])
        self._keep(key, {"probabilities": rows, "unlikeness": np.array(likes)})

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.npz"

    def _arrays(self, key: str) -> dict[str, Any] | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            # Opened here, since NumPy leaves a damaged file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def _keep(self, key: str, arrays: dict[str, Any]) -> None:
        path = self._path(key)
        if path is not None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **arrays)
            write_bytes(path, buffer.getvalue())


def forget(folder: Path | None) -> None:
    """Remove what is kept of a run, once its results are written."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def key_of(*parts: Any) -> str:
    """A digest of numbers, texts, None, and lists of these."""
    # Another version of the program may find other cells.
    text = json.dumps([_VERSION, __version__, *parts], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _arrays_of(seen: Seen) -> dict[str, Any]:
    outlines = [cell.outline.array() for cell in seen.coloured if cell.outline is not None]
    sizes = [len(cell.outline.vertices) if cell.outline else 0 for cell in seen.coloured]
    return {
        "boxes": seen.look.boxes,
        "labels": seen.look.labels,
        "scores": seen.look.scores,
        "masks": seen.look.masks,
        "coloured": np.array([cell.bbox.edges for cell in seen.coloured]).reshape(-1, 4),
        "sureness": np.array([cell.score for cell in seen.coloured]),
        "sizes": np.array(sizes, np.int64),
        "vertices": np.concatenate([np.zeros((0, 2)), *outlines]),
    }


def _seen_of(arrays: dict[str, Any]) -> Seen:
    look = Look(arrays["boxes"], arrays["labels"], arrays["scores"], arrays["masks"])
    parts = np.split(arrays["vertices"], np.cumsum(arrays["sizes"]))
    coloured: list[Detection] = []
    # The last part is what follows the last outline: nothing.
    for edges, score, vertices in zip(
        arrays["coloured"].tolist(), arrays["sureness"].tolist(), parts[:-1], strict=True
    ):
        outline = Outline.from_array(vertices) if len(vertices) else None
        coloured.append(Detection(BBox(*edges), outline, score))
    return Seen(look, tuple(coloured))
