"""Images of single cells to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import load_classifier
from napari_wbc.detect.hsv import one_cell_box
from napari_wbc.errors import ReadError
from napari_wbc.imaging.read import open_slide, read_image
from napari_wbc.model.cell import Prediction
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.stain_alarm import alarm_of, surer
from napari_wbc.pipeline.analysis import left_out_steps
from napari_wbc.pipeline.held_out import short_names
from napari_wbc.storage.tables import predictions_frame
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

if TYPE_CHECKING:
    import pandas as pd

BATCH_SIZE = 256
"""Cells between two steps of progress."""


@dataclass(frozen=True, slots=True)
class Classification:
    """Predictions of images of single cells."""

    predictions: tuple[tuple[Path, Prediction], ...]
    failures: tuple[Failure, ...] = ()

    @property
    def cells(self) -> pd.DataFrame:
        """One row an image, the columns of ``crops.csv``."""
        shown = short_names(path for path, _prediction in self.predictions)
        return predictions_frame((Path(shown[path]), said) for path, said in self.predictions)


def classify_steps(
    paths: Sequence[str | Path], *, weights: str | Path = DEFAULT_CLASSIFIER, device: str = "auto"
) -> Steps[Classification]:
    """The steps of :func:`classify_images`."""
    slides = [open_slide(path) for path in paths]
    yield from left_out_steps(slides)
    files: list[Path] = []
    for slide in slides:
        files += (field.path for field in slide.fields)
    yield Progress("loading weights", 0, len(files))
    classifier = load_classifier(weights, device=device)
    preset = classifier.preset
    paths_read: list[Path] = []
    crops: list[npt.NDArray[np.uint8]] = []
    anchors: list[npt.NDArray[np.float32]] = []
    failures: list[Failure] = []
    for done, path in enumerate(files, start=1):
        note = ""
        try:
            image = read_image(path)
            # The box is located, so that tight and wide images give crops of the same scale.
            crop, anchor = preset.cut(image, [one_cell_box(image, preset.factor)])
            crops.append(crop)
            anchors.append(anchor)
            paths_read.append(path)
        except ReadError as error:
            note = str(error)
            failures.append(Failure(path, note))
        yield Progress("locating", done, len(files), note)
    # Only the small crops are kept, so that cells of many images share a batch.
    predictions: list[Prediction] = []
    for start in range(0, len(crops), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        predictions += classifier.predict(
            np.concatenate(crops[rows]), np.concatenate(anchors[rows])
        )
        yield Progress("classifying", min(start + BATCH_SIZE, len(crops)), len(crops))
    if alarm := alarm_of(predictions):
        yield Progress("classifying", len(crops), len(crops), alarm)
        predictions = [
            surer(prediction, classifier.foreign_threshold) for prediction in predictions
        ]
    return Classification(tuple(zip(paths_read, predictions, strict=True)), tuple(failures))


def classify_images(
    paths: str | Path | Sequence[str | Path],
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
) -> Classification:
    """Classify images that show one cell each.

    The cell is located in its image first, so the image may be cut tight or wide.

    Parameters
    ----------
    paths : path or sequence of paths
        Image files, and folders of image files.
    weights : str or Path
        Name or file of the classifier's weights.
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    Classification
        Its ``cells`` is a data frame of ``path, prediction, confidence, p_<class>``.

    Raises
    ------
    WbcError
        If an argument is wrong or a path is missing.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from PIL import Image
    >>> import napari_wbc
    >>> from napari_wbc.imaging.synthetic import synthetic_smear
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> smear = synthetic_smear(2, shape=(200, 200), n_leukocytes=1, classes=("lymphocyte",))
    >>> Image.fromarray(smear.image).save(folder / "cell.png")
    >>> napari_wbc.classify_images(folder, device="cpu").cells["prediction"].tolist()
    ['lymphocyte']
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    return run(classify_steps(paths, weights=weights, device=device))
