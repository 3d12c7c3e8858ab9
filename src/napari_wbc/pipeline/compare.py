"""Two classifiers on the same held-out cells, before one takes the place of the other.

Invariant: both models are asked about the same cells, and about none that a card says it was
trained on.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import make_folder, write_bytes, write_text
from napari_wbc.measure.comparison import Answers, Comparison, Measures, measured
from napari_wbc.measure.comparison_plots import (
    COLUMNS,
    SIGNS,
    draw_pictures,
    limited,
    side_rows,
    table_rows,
)
from napari_wbc.model.mapping import mapped, mapping
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import UNIDENTIFIED, Taxonomy
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.pipeline.evaluate import predict_steps
from napari_wbc.pipeline.heat_share import located_steps, share_steps, some_of
from napari_wbc.pipeline.held_out import hashed_steps, held_out_steps, leaks, relabelled
from napari_wbc.storage.tables import write_csv
from napari_wbc.train.dataset import CropSet, cut_training_crops
from napari_wbc.weights.card import RESEARCH_USE, ModelCard, taxonomy_of, training_images

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare_steps", "write_comparison"]

SIDES = ("old", "new")
PICTURES = {
    "difference": "What differs",
    "confusion": "Confusion matrices",
    "calibration": "Calibration",
    "changed": "Changed cells",
}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto }
h1 { margin-bottom: 0 } h2 { margin-top: 2rem; font-size: 1.1rem } img { max-width: 100% }
.why { font-size: 1.1rem } .use { border-top: 1px solid #ccc; padding-top: .5rem; font-weight: bold }
table { border-collapse: collapse } td, th { padding: .25rem .8rem; text-align: right }
td:first-child, th:first-child { text-align: left } tr + tr { border-top: 1px solid #ddd }
"""


class _Model(NamedTuple):
    """One of the two."""

    side: str
    classifier: Classifier

    @property
    def card(self) -> ModelCard:
        return self.classifier.card

    @property
    def cut(self) -> tuple[int, float, bool]:
        """Models of which this is the same take the same crops."""
        preset = self.classifier.preset
        return preset.size, preset.factor, preset.anchors > 0


def compare_steps(
    paths: Sequence[str | Path],
    old: str | Path,
    new: str | Path,
    *,
    split: str = "test",
    taxonomy: Taxonomy | None = None,
    device: str = "auto",
    heat: bool = True,
) -> Steps[Comparison]:
    """Compare two classifiers on one split of training sets.

    Parameters
    ----------
    paths : sequence of path
        Training sets.
    old, new : str or Path
        Names or files of the classifiers' weights.
    split : str
        ``train``, ``val`` or ``test``.
    taxonomy : Taxonomy, optional
        To compare by; labels and probabilities are mapped to it. Where None, that of the old model
        if every class of the new counts as one of it, else that of the new.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    heat : bool
        Whether to ask by Grad-CAM where both models look, on 200 cells at most that both have
        right.

    Returns
    -------
    Comparison

    Raises
    ------
    WbcError
        If the split is empty, all its images are ones that a model was trained on, none of its
        labels or of a model's classes counts as a class of the taxonomy, or an argument is wrong.
    """
    cells: Sequence[LabelledCell] = yield from held_out_steps(paths, split)
    yield Progress("loading weights", 0, len(cells))
    sides = {"old": old, "new": new}
    models = [_Model(side, load_classifier(file, device=device)) for side, file in sides.items()]
    taxonomy = taxonomy or _taxonomy_of(*(model.card for model in models))
    for model in models:
        mapping(
            model.card.classes, taxonomy
        )  # where there is none, it is said before the crops are cut
    cells, notes = yield from _unseen_steps(cells, models)
    kept, left_out = relabelled(cells, taxonomy)
    if left_out:
        told = ", ".join(f"{n} {label}" for label, n in left_out.items())
        notes.append(f"Cells left out, no class of the taxonomy: {told}.")
    data, own = yield from _asked_steps(kept, taxonomy, models)
    before, after = (
        _answers(model, chances, taxonomy) for model, chances in zip(models, own, strict=True)
    )
    yield Progress("comparing", 0, len(kept))
    truth, names = data.labels, taxonomy.names
    slides = np.array([cell.slide for cell in kept], dtype=np.str_)
    measures = measured(truth, before, after, names, sources=data.sources, slides=slides)
    notes += _unknown(models, taxonomy, truth) + _limits(measures)
    right = np.stack([answers.predicted == truth for answers in (before, after)])
    looked = None
    if heat:
        looked, note = yield from _heat_steps(kept, right[0] & right[1], models, own, data)
        notes += [note] if note else []
    crops = data.crops[right[0] != right[1]]
    return Comparison(
        taxonomy, truth, before, after, tuple(kept), measures, crops, looked, tuple(notes)
    )


def _answers(model: _Model, chances: npt.NDArray[np.float64], taxonomy: Taxonomy) -> Answers:
    """What a model says in another taxonomy; how sure it is, it says of its own classes."""
    sure = chances.max(axis=1) >= model.classifier.threshold
    return Answers(model.card.model_id, mapped(chances, model.card.classes, taxonomy), sure)


def _taxonomy_of(old: ModelCard, new: ModelCard) -> Taxonomy:
    known = taxonomy_of(old)
    return known if all(known.class_of(name) for name in new.classes) else taxonomy_of(new)


def _unseen_steps(
    cells: Sequence[LabelledCell], models: Sequence[_Model]
) -> Steps[tuple[list[LabelledCell], list[str]]]:
    """The cells that no card lists, and what there is to say of it; images are hashed if a card lists any."""
    notes = [
        f"The card of the {model.side} model does not list the images it was trained on, so it may know some "
        "of these cells."
        for model in models
        if not training_images(model.card)
    ]
    if len(notes) == len(models):
        return list(cells), notes
    hashes = yield from hashed_steps(cells, "looking for images that were trained on")
    seen = np.zeros(len(cells), dtype=bool)
    for model in models:
        known = leaks(cells, hashes, model.card)
        seen |= known
        if n := int(known.sum()):
            notes.append(
                f"{n} cells are of images the {model.side} model was trained on; they were left out."
            )
    if seen.all():
        raise WbcError(
            "Every held-out image is one that a model was trained on; label other slides, or choose another "
            "split."
        )
    return [cell for cell, out in zip(cells, seen, strict=True) if not out], notes


def _asked_steps(
    cells: Sequence[LabelledCell], taxonomy: Taxonomy, models: Sequence[_Model]
) -> Steps[tuple[CropSet, list[npt.NDArray[np.float64]]]]:
    """The crops of the new model, mostly the old one's too, and what both say of their own classes."""
    before, after = models
    data = yield from cut_training_crops(cells, taxonomy.names, before.classifier.preset)
    old = yield from predict_steps(before.classifier, data)
    if before.cut != after.cut:
        data = yield from cut_training_crops(cells, taxonomy.names, after.classifier.preset)
    new = yield from predict_steps(after.classifier, data)
    return data, [old, new]


def _unknown(
    models: Sequence[_Model], taxonomy: Taxonomy, truth: npt.NDArray[np.int64]
) -> list[str]:
    """What either model cannot say, and what it says that does not count."""
    notes = []
    for side, classifier in models:
        names = classifier.card.classes
        reached = mapping(names, taxonomy)
        if len(missing := np.flatnonzero(~reached.any(axis=0))):
            told, n = (
                ", ".join(taxonomy.names[k] for k in missing),
                int(np.isin(truth, missing).sum()),
            )
            notes.append(
                f"The {side} model does not know {told}, so it cannot be right on {n} cells."
            )
        if len(more := np.flatnonzero(~reached.any(axis=1))):
            told = ", ".join(names[k] for k in more)
            notes.append(
                f"The {side} model's {told} are no class here; its other classes share what they had."
            )
    return notes


def _limits(measures: Measures) -> list[str]:
    """What the limits of each source take for granted."""
    notes = []
    for source, one in measures.by_source.items():
        if one.slides and not one.by_slide:
            notes.append(
                f"{source}: only {one.slides} slides, or not all of them known; the limits take cells as "
                "independent and hold for these slides, not for new ones."
            )
        elif not one.by_slide:
            notes.append(
                f"{source}: slides are not known, so the limits take cells as independent; where cells share "
                "a slide they are too narrow."
            )
    return notes


def _heat_steps(
    cells: Sequence[LabelledCell],
    both: npt.NDArray[np.bool_],
    models: Sequence[_Model],
    own: Sequence[npt.NDArray[np.float64]],
    data: CropSet,
) -> Steps[tuple[tuple[float, float] | None, str]]:
    """Mean share of the heat inside the cell, of both models on the same cells, or why there is none.

    Cells are picked from those for which ``both`` is true; ``data`` is cut for the new model.
    """
    picked = some_of(both)
    if not len(picked):
        return None, "No cell is right with both models, so where they look is not compared."
    located = yield from located_steps([cells[i] for i in picked], models[1].classifier)
    shares = []
    for model, chances in zip(models, own, strict=True):
        some = data.where(np.isin(np.arange(len(cells)), picked))
        if model.cut != models[1].cut:
            chosen = [cells[i] for i in picked]
            labels = tuple({cell.label: None for cell in chosen})
            some = yield from cut_training_crops(chosen, labels, model.classifier.preset)
        try:
            target = chances[picked].argmax(axis=1)
            shares.append((yield from share_steps(model.classifier, some, target, located)))
        except WbcError as error:
            return None, f"Where the models look is not compared: {error}"
    known = np.isfinite(shares).all(axis=0)
    if not known.any():
        return None, "A model shows no heat, so where they look is not compared."
    old, new = (float(np.mean(share[known])) for share in shares)
    return (old, new), ""


def write_comparison(comparison: Comparison, out: str | Path) -> None:
    """Write all of a comparison.

    Parameters
    ----------
    comparison : Comparison
    out : str or Path
        Folder: gets ``report.html`` (one page with everything), ``comparison.json`` (every number),
        ``cells.csv`` (a row a cell), and the pictures ``confusion.png``, ``difference.png``,
        ``calibration.png`` and ``changed.png``.

    Raises
    ------
    WbcError
        If something cannot be written.
    """
    out = make_folder(Path(out))
    pictures = draw_pictures(comparison)
    for name, picture in pictures.items():
        write_bytes(out / f"{name}.png", picture)
    write_csv(out / "cells.csv", _cells_frame(comparison))
    content = {
        "old": comparison.old.model_id,
        "new": comparison.new.model_id,
        "taxonomy": comparison.taxonomy.name,
        "classes": comparison.taxonomy.names,
        **_plain(comparison.measures),
        "heat_inside": None
        if comparison.heat is None
        else dict(zip(SIDES, comparison.heat, strict=True)),
        "notes": comparison.notes,
        "use": RESEARCH_USE,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(out / "comparison.json", text + "\n")
    write_text(out / "report.html", _page(comparison, pictures))


def _plain(value: Any) -> Any:
    """JSON values; what is not a number becomes null."""
    if is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cells_frame(comparison: Comparison) -> pd.DataFrame:
    """One row a cell: what it is, what both models say, and what became of it."""
    import pandas as pd

    names = np.array(comparison.taxonomy.names)
    columns: dict[str, Any] = {
        "path": [str(cell.path) for cell in comparison.cells],
        "cell_id": [cell.cell_id for cell in comparison.cells],
        "slide": [cell.slide for cell in comparison.cells],
        "source": [cell.source for cell in comparison.cells],
        "truth": names[comparison.truth],
    }
    for side, answers in zip(SIDES, (comparison.old, comparison.new), strict=True):
        said = names[answers.predicted]
        columns[side] = said
        columns[f"{side}_confidence"] = answers.probabilities.max(axis=1).round(6)
        columns[f"{side}_label"] = np.where(answers.sure, said, UNIDENTIFIED)
    return pd.DataFrame(columns | {"what": comparison.outcomes})


def _page(comparison: Comparison, pictures: Mapping[str, bytes]) -> str:
    """The report: one page that needs no other file."""
    measures = comparison.measures
    words, color = SIGNS[measures.verdict]
    classes = [
        (one.name, str(one.n), limited(one.old), limited(one.new), str(one.fixed), str(one.broken))
        for one in measures.by_class
    ]
    shown = "".join(
        f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,{b64encode(picture).decode()}">'
        for title, picture in ((title, pictures[name]) for name, title in PICTURES.items())
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Comparison of two classifiers</title>
<style>{STYLE}</style>
<h1 style="color:{color}">{words}</h1>
<p class="why">{escape(measures.why)}</p>
<p>Old: <b>{escape(comparison.old.model_id)}</b><br>New: <b>{escape(comparison.new.model_id)}</b></p>
<ul>{"".join(f"<li>{escape(note)}</li>" for note in comparison.notes)}</ul>
<h2>Balanced accuracy by source</h2>{_table(COLUMNS, table_rows(comparison))}
<h2>All cells</h2>{_table(("measure", "old", "new"), side_rows(comparison))}
<h2>Recall by class, with 95 % limits</h2>
{_table(("class", "cells", "old", "new", "fixed", "broken"), classes)}
{shown}
<p class="use">{RESEARCH_USE}</p></html>
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{lines}</table>"
