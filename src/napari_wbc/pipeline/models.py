"""Which classifiers there are, and what the card of one says, as plain data.

A card may be a stranger's file: what it lacks is left out, what is unknown is shown as it stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.model.mapping import check_counted
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Taxonomy
from napari_wbc.weights.card import RESEARCH_USE, ModelCard
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights, shipped_weights
from napari_wbc.weights.store import read_card

_MISSING = "–"
MAX_DEPTH = 3
"""Levels of a nested entry that are shown."""

_PREPROCESSING = {
    "size": "crops are scaled to {0} × {0} pixels",
    "factor": "a crop is {0} times as wide as the longer side of the cell's box",
    "white": "light is balanced, so that glass is white",
    "anchors": "glass is white; stain goes {0} of the way to that of a reference film",
}


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a summary: rows of text under a title, of a table also its header."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    header: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model card for a person to read: classes in the order of the outputs, no empty section."""

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
    names = [n for n in shipped_weights() if read_card(find_weights(n)).kind == "classifier"]
    return tuple(sorted(names, key=lambda name: name != DEFAULT_CLASSIFIER))


def counted_card(weights: str | Path, taxonomy: Taxonomy = EIGHT_CLASSES) -> ModelCard:
    """The card of a classifier, by name or file, that has a class which a taxonomy counts.

    Its weights are not loaded.

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
    """What the card of weights, by name or file, says.

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
        *_measured(card),
        _confidence(card),
        _preprocessing(card),
        _recipe(card),
        _origin(card),
    )
    shown = tuple(section for section in sections if section.rows)
    return ModelSummary(card.model_id, card.classes, shown)


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
        # A name without a split is a source all of whose cells are one number.
        counts.setdefault(source or name, {})[split if source else "cells"] = n
    splits = _ordered(counts.values(), ("train", "val", "test"))
    about = _mapping(provenance.get("sets"))
    rows = []
    for source in dict.fromkeys((*counts, *about)):
        values = [""] * len(splits)
        if source in counts:
            values = [_count(counts[source].get(split)) for split in splits]
        rows.append((source, *values, _text(about.get(source))))
    if len(counts) > 1:
        rows.append(("all", *(_total(counts.values(), split) for split in splits), ""))
    return Section("Trained on", tuple(rows), ("source", *splits, "data set"))


def _ordered(tables: Iterable[Mapping[str, Any]], first: Sequence[str]) -> list[str]:
    """The names in any of the tables, those of ``first`` first."""
    names: dict[str, None] = {}
    for table in tables:
        names |= dict.fromkeys(table)
    return sorted(names, key=lambda name: first.index(name) if name in first else len(first))


def _total(counts: Iterable[Mapping[str, Any]], split: str) -> str:
    total = 0
    for cells in counts:
        n = cells.get(split, 0)
        # A stranger's card may have text here; a sum of the others would mislead.
        if not isinstance(n, int):
            return _MISSING
        total += n
    return _count(total)


def _measured(card: ModelCard) -> tuple[Section, Section]:
    """Scores, one row a data set; and those that name no data set."""
    by_set: dict[str, Mapping[str, Any]] = {}
    loose = []
    for name, value in _mapping(card.metrics).items():
        if isinstance(value, Mapping):
            by_set[name] = value
        else:
            loose.append((_title(name), _score(name, value)))
    names = _ordered(by_set.values(), ("n", "accuracy", "balanced_accuracy"))
    rows = []
    for data, scores in by_set.items():
        rows.append((data, *(_score(name, scores.get(name)) for name in names)))
    columns = list(map(_words, names))
    if "n" in names:
        columns[names.index("n")] = "cells"
    measured = Section("Measured", tuple(rows), ("data set", *columns))
    return measured, Section("Other scores", tuple(loose))


def _score(name: str, value: Any) -> str:
    """A part of all as a percentage, anything else as it stands."""
    if (
        re.search("accuracy|precision|recall|f1", name)
        and isinstance(value, float)
        and 0 <= value <= 1
    ):
        return f"{100 * value:.1f} %"
    return _count(value) if name == "n" else _text(value)


def _confidence(card: ModelCard) -> Section:
    low = card.threshold
    t = card.temperature
    limit = f"below {_text(low)} a cell" if low > 0 else "no cell"
    if t == 1:
        how = "1: confidences are the network's own"
    elif t < 1:
        how = f"{_text(t)}: the network was too unsure of itself, so its confidences are raised"
    else:
        how = f"{_text(t)}: the network was too sure of itself, so its confidences are lowered"
    rows = [("Threshold", f"{limit} is called unidentified")]
    if card.foreign_threshold > low:
        on_foreign = f"below {_text(card.foreign_threshold)}"
        rows.append(("On stains unlike the training data", on_foreign))
    rows.append(("Temperature", how))
    return Section("Confidence", tuple(rows))


def _preprocessing(card: ModelCard) -> Section:
    rows = []
    for name, value in card.preset.items():
        text = _text(value)
        if name == "white" and (not value or card.preset.get("anchors")):
            continue
        # Cards of earlier weights say whether stain is anchored, those of today how far.
        if name == "anchors" and isinstance(value, int | float) and value:
            text = f"{float(value):.0%}"
        text = _PREPROCESSING.get(name, "{}").format(text) if value else f"{text}: off"
        rows.append((_title(name), text))
    return Section("Preprocessing", tuple(rows))


def _recipe(card: ModelCard) -> Section:
    """What the card itself does not say already."""
    rows = []
    for name, value in _mapping(_mapping(card.provenance).get("recipe")).items():
        shown = name in {"name", "version", "architecture", "preset"}
        if not shown or value != getattr(card, name):
            rows.append((_title(name), _text(value)))
    return Section("Recipe", tuple(rows))


def _origin(card: ModelCard) -> Section:
    """What no other section shows, note and command first."""
    provenance = _mapping(card.provenance)
    rows = []
    for name in _ordered([provenance], ("note", "command")):
        value = provenance[name]
        # The summary begins with our use; another than ours is shown.
        if name not in {"recipe", "sets", "cells"} and (name, value) != ("use", RESEARCH_USE):
            rows.append((_title(name), _text(value)))
    return Section("Origin", tuple(rows))


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
    if nested and depth == MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        text = ", ".join(f"{_words(name)} {_text(v, depth + 1)}" for name, v in value.items())
    elif nested:
        text = ", ".join(_text(item, depth + 1) for item in value)
    elif value is None or (isinstance(value, float) and math.isnan(value)):
        text = _MISSING
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"({text})" if nested and depth else text


def _words(name: str) -> str:
    return name.replace("_", " ")
