"""Which classifiers there are, and what the card of one says, as plain data.

A card may be a stranger's file: what it lacks is left out, what is unknown is shown as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.model.mapping import check_counted
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.weights.card import RESEARCH_USE, ModelCard
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights, shipped_weights
from napari_wbc.weights.store import read_card

__all__ = [
    "RESEARCH_USE",
    "ModelSummary",
    "Section",
    "classifiers",
    "counted_card",
    "model_summary",
]

_MISSING = "–"
_DEEPEST = 3
"""Levels of a nested entry that are shown."""
_SCORES = ("n", "accuracy", "balanced_accuracy")
"""The scores that come first."""

_PREPROCESSING = {
    "size": "crops are scaled to {0} × {0} pixels",
    "factor": "a crop is {0} times as wide as the longer side of the cell's box",
    "anchors": "glass is white; stain goes {0} of the way to that of a reference film",
}


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a summary: rows of text under a title.

    Parameters
    ----------
    title : str
    rows : tuple of tuple of str
        Name and value each, or as the header says.
    header : tuple of str
        Names of the columns of a table, else empty.
    """

    title: str
    rows: tuple[tuple[str, ...], ...]
    header: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model card for a person to read.

    Parameters
    ----------
    model_id : str
        As it stands in every result.
    classes : tuple of str
        In the order of the outputs.
    sections : tuple of Section
        None is empty.
    """

    model_id: str
    classes: tuple[str, ...]
    sections: tuple[Section, ...]

    def __str__(self) -> str:
        parts = [f"{self.model_id}\n{RESEARCH_USE}\nClasses: {', '.join(self.classes)}"]
        for section in self.sections:
            rows = ["\t".join(row) for row in (section.header, *section.rows) if row]
            parts.append("\n".join((section.title, *rows)))
        return "\n\n".join(parts) + "\n"


def classifiers() -> tuple[str, ...]:
    """Names of the shipped classifiers, the default first."""
    names = [
        name for name in shipped_weights() if read_card(find_weights(name)).kind == "classifier"
    ]
    return tuple(sorted(names, key=lambda name: name != DEFAULT_CLASSIFIER))


def counted_card(weights: str | Path, taxonomy: Taxonomy = EIGHT_CLASSES) -> ModelCard:
    """The card of a classifier that can be used with a taxonomy; its weights are not loaded.

    It can be where at least one of its classes counts as one of the taxonomy.

    Parameters
    ----------
    weights : str or Path
        Name of a model, or its ``.safetensors`` file.
    taxonomy : Taxonomy
        What is counted.

    Raises
    ------
    WeightsError
        If the model is missing, its card is none or a detector's, or none of the classes counts.
    """
    card = read_card(find_weights(weights))
    if card.kind != "classifier":
        raise WeightsError(
            f"{weights}: these are weights of a {card.kind}; choose those of a classifier."
        )
    try:
        check_counted(card.classes, taxonomy)
    except WbcError as error:
        raise WeightsError(f"{weights}: {error}") from error
    return card


def model_summary(weights: str | Path) -> ModelSummary:
    """What the card of weights says.

    Parameters
    ----------
    weights : str or Path
        Name of a model, or its ``.safetensors`` file.

    Raises
    ------
    WeightsError
        If the model is missing or has no card.

    Examples
    --------
    >>> model_summary("cdnn").sections[0].rows[0]
    ('Name', 'cdnn')
    """
    path = find_weights(weights)
    card = read_card(path)
    sections = (
        _model(card, path),
        _trained_on(card),
        _measured(card),
        Section("Other scores", _loose_scores(card)),
        Section("Confidence", _confidence(card)),
        Section("Preprocessing", _preprocessing(card)),
        Section("Recipe", _recipe(card)),
        Section("Origin", _origin(card)),
    )
    return ModelSummary(
        card.model_id, card.classes, tuple(section for section in sections if section.rows)
    )


def _model(card: ModelCard, path: Path) -> Section:
    rows = (
        ("Name", card.name),
        ("Version", card.version),
        ("Id in results", card.model_id),
        ("Architecture", card.architecture),
        ("Parameters", _count(card.parameters)),
        ("File", f"{path.name}, {path.stat().st_size / 1e6:.1f} MB"),
        ("SHA-256", card.sha256),
    )
    return Section("Model", rows)


def _trained_on(card: ModelCard) -> Section:
    """Cells by source and split, from names such as ``pbc train``."""
    provenance = _mapping(card.provenance)
    counts: dict[str, dict[str, Any]] = {}
    for name, n in _mapping(provenance.get("cells")).items():
        source, _, split = name.rpartition(" ")
        counts.setdefault(source or name, {})[split if source else "cells"] = n
    known = {"train": 0, "val": 1, "test": 2}
    found = dict.fromkeys(split for cells in counts.values() for split in cells)
    splits = sorted(found, key=lambda split: known.get(split, len(known)))
    about = _mapping(provenance.get("sets"))
    rows = [
        (source, *(_count(cells.get(split)) for split in splits), _text(about.get(source)))
        for source, cells in counts.items()
    ]
    rows += [
        (name, *("" for _ in splits), _text(what))
        for name, what in about.items()
        if name not in counts
    ]
    if len(counts) > 1:
        totals = ([cells[split] for cells in counts.values() if split in cells] for split in splits)
        rows.append(("all", *(_total(values) for values in totals), ""))
    return Section("Trained on", tuple(rows), ("source", *splits, "data set"))


def _total(values: list[Any]) -> str:
    return _count(sum(values)) if all(isinstance(value, int) for value in values) else _MISSING


def _measured(card: ModelCard) -> Section:
    """One row a data set."""
    by_set = {data: one for data, one in _mapping(card.metrics).items() if isinstance(one, Mapping)}
    found = dict.fromkeys(name for scores in by_set.values() for name in scores)
    names = sorted(found, key=lambda name: _SCORES.index(name) if name in _SCORES else len(_SCORES))
    rows = tuple(
        (data, *(_score(name, one.get(name)) for name in names)) for data, one in by_set.items()
    )
    columns = ("cells" if name == "n" else _words(name) for name in names)
    return Section("Measured", rows, ("data set", *columns))


def _loose_scores(card: ModelCard) -> tuple[tuple[str, str], ...]:
    """Scores that name no data set."""
    loose = {
        name: one for name, one in _mapping(card.metrics).items() if not isinstance(one, Mapping)
    }
    return tuple((_title(name), _score(name, one)) for name, one in loose.items())


def _score(name: str, value: Any) -> str:
    """A part of all as a percentage, anything else as it stands."""
    part = any(word in name for word in ("accuracy", "precision", "recall", "f1"))
    if part and isinstance(value, float) and 0 <= value <= 1:
        return f"{100 * value:.1f} %"
    return _count(value) if name == "n" else _text(value)


def _confidence(card: ModelCard) -> tuple[tuple[str, str], ...]:
    low, t = card.threshold, card.temperature
    told = (
        f"below {_text(low)} a cell is called unidentified"
        if low > 0
        else "no cell is called unidentified"
    )
    if t == 1:
        how = "1: confidences are the network's own"
    elif t < 1:
        how = f"{_text(t)}: the network was too unsure of itself, so its confidences are raised"
    else:
        how = f"{_text(t)}: the network was too sure of itself, so its confidences are lowered"
    return ("Threshold", told), ("Temperature", how)


def _preprocessing(card: ModelCard) -> tuple[tuple[str, str], ...]:
    return tuple(
        (
            _title(name),
            _PREPROCESSING.get(name, "{}").format(_shown(name, value))
            if value
            else f"{_text(value)}: off",
        )
        for name, value in card.preset.items()
    )


def _shown(name: str, value: Any) -> str:
    # Cards of earlier weights say whether stain is anchored, those of today how far.
    return (
        f"{float(value):.0%}"
        if name == "anchors" and isinstance(value, int | float)
        else _text(value)
    )


def _recipe(card: ModelCard) -> tuple[tuple[str, str], ...]:
    """What the card itself does not say already."""
    recipe = _mapping(_mapping(card.provenance).get("recipe"))
    said = {name: getattr(card, name) for name in ("name", "version", "architecture", "preset")}
    return _entries(
        {name: value for name, value in recipe.items() if name not in said or value != said[name]}
    )


def _origin(card: ModelCard) -> tuple[tuple[str, str], ...]:
    """What the other sections have not told, notes and command first."""
    provenance = dict(_mapping(card.provenance))
    first = {name: provenance.pop(name) for name in ("note", "command") if name in provenance}
    told = {"recipe", "sets", "cells"} | (
        {"use"} if provenance.get("use") == RESEARCH_USE else set()
    )
    return _entries(first | {name: value for name, value in provenance.items() if name not in told})


def _entries(values: Any) -> tuple[tuple[str, str], ...]:
    return tuple((_title(name), _text(value)) for name, value in _mapping(values).items())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _title(name: str) -> str:
    words = _words(name)
    return words[:1].upper() + words[1:]


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else _text(value)


def _text(value: Any, depth: int = 0) -> str:
    """Any entry of a JSON file for a person to read."""
    nested = isinstance(value, Mapping | list | tuple)
    if nested and depth == _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        told = ", ".join(f"{_words(name)} {_text(one, depth + 1)}" for name, one in value.items())
    elif nested:
        told = ", ".join(_text(one, depth + 1) for one in value)
    elif value is None or (isinstance(value, float) and math.isnan(value)):
        told = _MISSING
    elif isinstance(value, bool):
        told = "yes" if value else "no"
    else:
        told = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"({told})" if nested and depth else told


def _words(name: str) -> str:
    return name.replace("_", " ")
