"""How good a classifier is on labelled cells it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.files.atomic import make_folder, write_text
from napari_wbc.measure import plots
from napari_wbc.measure.metrics import Metrics, Scores, measure_by_source, score_by_source
from napari_wbc.model.heat import OUTSIDE
from napari_wbc.model.mapping import mapped, mapping
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.pipeline.heat_share import has_maps, located_steps, share_steps, some_of
from napari_wbc.pipeline.held_out import hashed_steps, held_out_steps, leaks, relabelled
from napari_wbc.train.dataset import CropSet, cut_training_crops
from napari_wbc.weights.card import taxonomy_of, training_images
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

__all__ = ["Evaluation", "evaluate_steps", "predict_steps", "write_evaluation"]

BATCH = 256
SUSPECT = 0.1
"""Share of cells whose heat lies elsewhere, above which it is told."""
FEWEST = 20
"""Cells of which a share is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a classifier says of labelled cells.

    Parameters
    ----------
    taxonomy : Taxonomy
        Of B classes.
    truth : ndarray, shape (N,), int64
        Index of each cell's class.
    probabilities : ndarray, shape (N, B), 0 to 1
        Rows sum to 1.
    sources : ndarray, shape (N,), str
        Laboratory or data set of each cell.
    left_out : mapping of str to int
        Labels that are no class of the taxonomy, and how many cells have them.
    model_id : str
        Name and version of the weights.
    heat : mapping of str to ndarray
        By source, the share of Grad-CAM's heat inside some cells that are classified rightly, 0 to
        1.
    known : int
        Cells of images that the weights were trained or chosen on, as far as their card lists them.
    """

    taxonomy: Taxonomy
    truth: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    sources: npt.NDArray[np.str_]
    left_out: Mapping[str, int] = field(default_factory=dict)
    model_id: str = ""
    heat: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    known: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the indices."""
        return self.taxonomy.names

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """Index of the most probable class, shape (N,), whatever its confidence."""
        best: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return best

    @property
    def warning(self) -> str:
        """That it knows the cells, or looks at something else too often; empty if neither."""
        told = []
        if self.known:
            told.append(
                f"{self.known} of these cells are of images that the model was trained or chosen on, which "
                "flatters."
            )
        for source, shares in self.heat.items():
            n = int((shares < OUTSIDE).sum())
            if len(shares) >= FEWEST and n > SUSPECT * len(shares):
                told.append(
                    f"{source}: of {len(shares)} cells rightly classified, {n} have most of their heat "
                    "outside the cell; the model may look at something else."
                )
        return " ".join(told)

    @property
    def scores(self) -> dict[str, Scores]:
        """All measures, by source."""
        return score_by_source(self.truth, self.probabilities, self.sources, self.classes)

    @property
    def metrics(self) -> dict[str, Metrics]:
        """Agreement with the labels, by source."""
        return measure_by_source(self.truth, self.predicted, self.sources, self.classes)


def evaluate_steps(
    paths: Sequence[str | Path],
    *,
    split: str = "test",
    weights: str | Path = DEFAULT_CLASSIFIER,
    taxonomy: Taxonomy | None = None,
    device: str = "auto",
    heat: bool = True,
) -> Steps[Evaluation]:
    """Measure a classifier on one split of training sets.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    split : str
        ``train``, ``val`` or ``test``.
    weights : str or Path
        Name or file of the classifier's weights.
    taxonomy : Taxonomy, optional
        To measure by; both labels and probabilities are mapped to it. The model's own where None.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    heat : bool
        Whether to ask by Grad-CAM where it looks, on 200 cells of each source at most that it has
        right.

    Returns
    -------
    Evaluation
        Cells whose label is no class of the taxonomy are left out and counted.

    Raises
    ------
    WbcError
        If the split is empty, none of its labels or of the model's classes counts as a class of
        the taxonomy, or an argument is wrong.
    """
    cells = yield from held_out_steps(paths, split)
    yield Progress("loading weights", 0, len(cells))
    classifier = load_classifier(weights, device=device)
    known = 0
    if training_images(classifier.card):
        hashes = yield from hashed_steps(cells, "looking for images that were trained on")
        known = int(leaks(cells, hashes, classifier.card).sum())
    names = classifier.card.classes
    taxonomy = taxonomy or taxonomy_of(classifier.card)
    mapping(names, taxonomy)  # where there is none, it is said before the crops are cut
    kept, left_out = relabelled(cells, taxonomy)
    data = yield from cut_training_crops(kept, taxonomy.names, classifier.preset)
    own = yield from predict_steps(classifier, data)
    probabilities = mapped(own, names, taxonomy)
    looked: dict[str, npt.NDArray[np.float64]] = {}
    if heat and has_maps(classifier):
        right = probabilities.argmax(axis=1) == data.labels
        each = [
            some_of(right & (data.sources == source))
            for source in dict.fromkeys(data.sources.tolist())
        ]
        picked = np.sort(np.concatenate(each))
        located = yield from located_steps([kept[i] for i in picked], classifier)
        some = data.where(np.isin(np.arange(len(kept)), picked))
        shares = yield from share_steps(classifier, some, own[picked].argmax(axis=1), located)
        for source in dict.fromkeys(some.sources.tolist()):
            here = shares[some.sources == source]
            looked[source] = here[np.isfinite(here)]
    return Evaluation(
        taxonomy,
        data.labels,
        probabilities,
        data.sources,
        left_out,
        classifier.card.model_id,
        looked,
        known,
    )


def predict_steps(classifier: Classifier, data: CropSet) -> Steps[npt.NDArray[np.float64]]:
    """Probabilities of the classifier's own classes, shape (N, A), of crops cut as its preset says."""
    found: list[tuple[float, ...]] = []
    for start in range(0, len(data.crops), BATCH):
        rows = slice(start, start + BATCH)
        found += [p.probabilities for p in classifier.predict(data.crops[rows], data.red[rows])]
        yield Progress("classifying", len(found), len(data.crops))
    return np.array(found)


def write_evaluation(evaluation: Evaluation, out: str | Path) -> None:
    """Write ``scores.json`` (every measure by source) and the pictures of them.

    Parameters
    ----------
    evaluation : Evaluation
    out : str or Path
        Folder; gets ``confusion.png``, ``roc.png`` and ``calibration.png`` too.
    """
    out = Path(out)
    make_folder(out)
    plots.write_evaluation(
        out, evaluation.truth, evaluation.probabilities, evaluation.sources, evaluation.classes
    )
    content = {
        "model": evaluation.model_id,
        "classes": evaluation.classes,
        "left_out": dict(evaluation.left_out),
        "sources": {source: asdict(scores) for source, scores in evaluation.scores.items()},
        "heat_inside": {
            source: round(float(s.mean()), 4) for source, s in evaluation.heat.items() if len(s)
        },
        "warning": evaluation.warning,
    }
    write_text(out / "scores.json", json.dumps(content, indent=1) + "\n")
