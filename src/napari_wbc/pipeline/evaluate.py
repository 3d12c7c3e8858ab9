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
from napari_wbc.measure.metrics import Metrics, Scores, by_source, measure, score
from napari_wbc.model.heat import OUTSIDE
from napari_wbc.model.mapping import mapped, mapping
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.pipeline.heat_share import has_maps, share_steps, some_of
from napari_wbc.pipeline.held_out import held_out_steps, relabelled, trained_on_steps
from napari_wbc.train.dataset import CropSet, cut_training_crops
from napari_wbc.weights.card import taxonomy_of
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

BATCH = 256
"""Crops that are classified between two reports of progress."""
MAX_ELSEWHERE = 0.1
"""Share of cells with their heat mostly outside, above which there is a warning."""
MIN_EXPLAINED = 20
"""Cells below which that share says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a classifier says of N labelled cells, by a taxonomy of B classes."""

    taxonomy: Taxonomy
    truth: npt.NDArray[np.int64]
    """Index of each cell's class, shape (N,)."""
    probabilities: npt.NDArray[np.float64]
    """Shape (N, B), 0 to 1; rows sum to 1."""
    sources: npt.NDArray[np.str_]
    """Laboratory or data set of each cell, shape (N,)."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Labels that are no class of the taxonomy, and how many cells have them."""
    model_id: str = ""
    heat: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    """By source, the share of Grad-CAM's heat inside some rightly classified cells, 0 to 1."""
    known: int = 0
    """Cells of images that the weights were trained or chosen on, as far as their card lists."""

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
        """Whether the model knows the cells or often looks beside them; empty if neither."""
        warnings = []
        if self.known:
            warnings.append(
                f"{self.known} of these cells are of images that the model was trained or chosen "
                "on, which flatters."
            )
        for source, shares in self.heat.items():
            n = int((shares < OUTSIDE).sum())
            if len(shares) >= MIN_EXPLAINED and n > MAX_ELSEWHERE * len(shares):
                warnings.append(
                    f"{source}: of {len(shares)} cells rightly classified, {n} have most of their "
                    "heat outside the cell; the model may look at something else."
                )
        return " ".join(warnings)

    @property
    def scores(self) -> dict[str, Scores]:
        """All measures, by source."""
        return by_source(score, self.truth, self.probabilities, self.sources, self.classes)

    @property
    def metrics(self) -> dict[str, Metrics]:
        """Agreement with the labels, by source."""
        return by_source(measure, self.truth, self.predicted, self.sources, self.classes)


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
    split : {"train", "val", "test"}
    weights : str or Path
        Name or file of the classifier's weights.
    taxonomy : Taxonomy, optional
        To measure by; both labels and probabilities are mapped to it. The model's own where None.
        Cells whose label is no class of it are left out and counted.
    device : {"auto", "cpu", "cuda"}
    heat : bool
        Whether to ask by Grad-CAM where it looks, on 200 cells of each source at most that it has
        right.

    Raises
    ------
    WbcError
        If the split is empty, none of its labels or of the model's classes counts as a class of
        the taxonomy, or an argument is wrong.
    """
    held_out = yield from held_out_steps(paths, split)
    yield Progress("loading weights", 0, len(held_out))
    classifier = load_classifier(weights, device=device)
    seen = yield from trained_on_steps(held_out, [classifier.card])
    names = classifier.card.classes
    taxonomy = taxonomy or taxonomy_of(classifier.card)
    # Cutting crops takes minutes, so a model without a class of the taxonomy is refused first.
    mapping(names, taxonomy)
    cells, left_out = relabelled(held_out, taxonomy)
    data = yield from cut_training_crops(cells, taxonomy.names, classifier.preset)
    chances = yield from predict_steps(classifier, data)
    probabilities = mapped(chances, names, taxonomy)
    heat_inside: dict[str, npt.NDArray[np.float64]] = {}
    if heat and has_maps(classifier):
        right = probabilities.argmax(axis=1) == data.labels
        heat_inside = yield from _heat_steps(classifier, data, chances, right)
    return Evaluation(
        taxonomy,
        data.labels,
        probabilities,
        data.sources,
        left_out,
        classifier.card.model_id,
        heat_inside,
        int(seen.sum()),
    )


def _heat_steps(
    classifier: Classifier,
    data: CropSet,
    chances: npt.NDArray[np.float64],
    right: npt.NDArray[np.bool_],
) -> Steps[dict[str, npt.NDArray[np.float64]]]:
    """By source, the share of the heat inside some of the cells that the model has right."""
    picked = np.zeros(len(right), dtype=bool)
    for source in np.unique(data.sources):
        picked[some_of(right & (data.sources == source))] = True
    crops = data.where(picked)
    # Heat is asked for the model's own class: a class of the taxonomy may be several of them.
    target = chances[picked].argmax(axis=1)
    shares = yield from share_steps(classifier, crops, target, crops.detections)
    heat_inside: dict[str, npt.NDArray[np.float64]] = {}
    for source in dict.fromkeys(crops.sources.tolist()):
        of_source = shares[crops.sources == source]
        heat_inside[source] = of_source[np.isfinite(of_source)]
    return heat_inside


def predict_steps(classifier: Classifier, data: CropSet) -> Steps[npt.NDArray[np.float64]]:
    """Probabilities of the classifier's own classes, shape (N, A), of crops that its preset cut."""
    rows: list[tuple[float, ...]] = []
    for start in range(0, len(data.crops), BATCH):
        batch = slice(start, start + BATCH)
        predictions = classifier.predict(data.crops[batch], data.red[batch])
        rows += [prediction.probabilities for prediction in predictions]
        yield Progress("classifying", len(rows), len(data.crops))
    return np.array(rows)


def write_evaluation(evaluation: Evaluation, out: str | Path) -> None:
    """Write ``scores.json`` (every measure by source) and the pictures of them.

    The folder ``out`` gets ``confusion.png``, ``roc.png`` and ``calibration.png`` too.
    """
    out = make_folder(Path(out))
    plots.write_evaluation(
        out, evaluation.truth, evaluation.probabilities, evaluation.sources, evaluation.classes
    )
    heat_inside: dict[str, float] = {}
    for source, shares in evaluation.heat.items():
        if len(shares):
            heat_inside[source] = round(float(shares.mean()), 4)
    content = {
        "model": evaluation.model_id,
        "classes": evaluation.classes,
        "left_out": dict(evaluation.left_out),
        "sources": {source: asdict(scores) for source, scores in evaluation.scores.items()},
        "heat_inside": heat_inside,
        "warning": evaluation.warning,
    }
    write_text(out / "scores.json", json.dumps(content, indent=1) + "\n")
