"""The models that named the cells of a report: what their cards say, and where they look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_wbc.model.cell import Cell
from napari_wbc.model.heat import Heat
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.pipeline.analysis import ReadField, SlideAnalysis
from napari_wbc.pipeline.models import model_summary
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.library import Library

MISSING = "This model is not on this computer, so its card cannot be read."


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model of a report.

    Parameters
    ----------
    name, sha256 : str
        As the predictions have them.
    weights : str
        By which its weights are found; empty where this computer does not have it.
    card : tuple of (str, str)
        What its card says: title and text.
    """

    name: str
    sha256: str
    weights: str
    card: tuple[tuple[str, str], ...]


def used_models(models: Sequence[tuple[str, str]]) -> tuple[UsedModel, ...]:
    """The models of a report by name and sha256, with what their cards say.

    Examples
    --------
    >>> used_models([("unheard of 1 (0)", "0")])[0].card
    (('Card', 'This model is not on this computer, so its card cannot be read.'),)
    """
    library = [each for each in Library().models() if each.card] if models else []
    used: list[UsedModel] = []
    for name, sha256 in models:
        for each in library:
            card = each.card
            # Predictions of earlier versions name the model only.
            if card and (card.sha256 == sha256 if sha256 else card.model_id == name):
                used.append(UsedModel(name, sha256, each.weights, _rows(card, each.weights)))
                break
        else:
            used.append(UsedModel(name, sha256, "", (("Card", MISSING),)))
    return tuple(used)


def heat_steps(
    analysis: SlideAnalysis,
    cells: Sequence[Cell],
    models: Sequence[UsedModel],
    read: ReadField,
) -> Steps[dict[str, Heat]]:
    """Grad-CAM of cells for the class that was predicted, by id, each by the model that said it.

    Cells without a prediction, and those of a model that is not here, have none.

    Raises
    ------
    WbcError
        If a model cannot be loaded.
    """
    # PyTorch is loaded where heat is asked for only.
    from napari_wbc.explain.attribution import Question
    from napari_wbc.pipeline.explain import explain_cells_steps

    heats: dict[str, Heat] = {}
    for model in models:
        said = (model.name, model.sha256)
        own = [
            cell
            for cell in cells
            if cell.prediction and (cell.prediction.model_id, cell.prediction.weights) == said
        ]
        if not own:
            continue
        if not model.weights:
            note = f"{model.name}: not on this computer, so its cells have no heat."
            yield Progress("explaining by grad-cam", 0, 0, note)
            continue
        explained = yield from explain_cells_steps(
            analysis.slide, own, Question(), weights=model.weights, read=read
        )
        heats |= {heat.cell_id: heat for heat in explained.heats}
    return heats


def _rows(card: ModelCard, weights: str) -> tuple[tuple[str, str], ...]:
    """The card in four lines; the rest is in ``napari-wbc models show``."""
    sections = {section.title: section for section in model_summary(weights).sections}
    rows = [("Classes", ", ".join(card.classes))]
    for title in ("Trained on", "Measured"):
        if title in sections:
            names = sections[title].header
            lines = [_line(names, row) for row in sections[title].rows]
            rows.append((title, "; ".join(lines)))
    limits = ["It calls every cell one of its classes, or unidentified."]
    if card.foreign_threshold > card.threshold:
        limits.append(
            "Where stain or camera are unlike its training data, cells below a confidence of "
            f"{card.foreign_threshold:g} are unidentified."
        )
    limits.append("What it does in a laboratory that is not named here, its card does not tell.")
    note = card.provenance.get("note")
    if isinstance(note, str) and note:
        limits.append(note)
    return (*rows, ("Known limits", " ".join(limits)))


def _line(names: Sequence[str], row: Sequence[str]) -> str:
    """A row of a table as text: what it is of, then each number with its name."""
    named = zip(names[1:], row[1:], strict=False)
    parts = [f"{name} {text}" for name, text in named if text not in ("", "–")]
    return f"{row[0]} ({', '.join(parts)})" if parts else row[0]
