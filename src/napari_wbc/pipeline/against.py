"""A project against an analyser or a manual count of the same blood."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc.errors import WbcError
from napari_wbc.measure.methods import Methods, Pair, methods
from napari_wbc.model.differential import differential
from napari_wbc.model.labels import plain_label
from napari_wbc.model.policy import Policy
from napari_wbc.model.taxonomy import Place, Taxonomy
from napari_wbc.model.words import listed
from napari_wbc.pipeline.analysis import Analysis
from napari_wbc.storage.tables import read_rows

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("slide", "class", "percent")
SPELLINGS = {
    "neutrophil": ("neut", "neutro", "neu", "ne", "poly", "pmn"),
    "lymphocyte": ("lymph", "lym", "ly"),
    "monocyte": ("mono", "mon", "mo"),
    "eosinophil": ("eos", "eosin", "eo"),
    "basophil": ("baso", "bas", "ba"),
    "immature granulocyte": ("ig", "imm gran"),
    "band neutrophil": ("band", "stab"),
    "segmented neutrophil": ("seg", "segmented"),
}
"""What analysers call classes, as :func:`~napari_wbc.model.labels.plain_label` has it."""
MOST_CELLS = 10_000_000
MOST = 101.0
"""Percent that the classes of a slide add up to at most, for rounding."""


@dataclass(frozen=True, slots=True)
class Against:
    """A project compared with another method; a class of a slide that only one has is left out."""

    pairs: tuple[Pair, ...]
    methods: tuple[Methods, ...]
    unknown: tuple[str, ...] = ()
    """Slides of the table that the project does not have."""
    left_out: Mapping[str, float] = field(default_factory=dict)
    """Classes of the table that are none of ours, such as LUC, with their mean percent."""

    @property
    def frame(self) -> pd.DataFrame:
        """A row a class of a slide."""
        import pandas as pd

        rows = []
        for pair in self.pairs:
            ours = (round(number, 2) for number in pair.ours)
            row = (pair.slide, pair.label, pair.count, pair.total, *ours, round(pair.other, 2))
            rows.append((*row, pair.is_within))
        columns = ["slide", "class", "count", "leukocytes", "percent", "low", "high", "other"]
        return pd.DataFrame(rows, columns=[*columns, "within"])

    @property
    def classes(self) -> pd.DataFrame:
        """A row a class: how the methods compare, numbers in percentage points."""
        import pandas as pd

        rows: list[dict[str, object]] = []
        for each in self.methods:
            row: dict[str, object] = {
                "class": each.label,
                "slides": each.slides,
                "within": each.within,
                "agreement_low": each.low,
                "agreement_high": each.high,
                "correlation": each.correlation,
                "error_ratio": each.error_ratio,
                "total_count": each.total.count,
                "total_error": each.total.error,
                "total_within_tenth": None,
            }
            if each.total.may_be_asked_a_tenth:
                row["total_within_tenth"] = each.total.is_within_a_tenth
            lines = {
                "bias": each.bias,
                "deming_slope": each.slope,
                "deming_intercept": each.intercept,
                "passing_bablok_slope": each.robust_slope,
                "passing_bablok_intercept": each.robust_intercept,
            }
            for name, estimate in lines.items():
                row |= {name: estimate.value, f"{name}_low": estimate.low}
                row |= {f"{name}_high": estimate.high}
            rows.append(row)
        return pd.DataFrame(rows).round(4)


def against(analysis: Analysis, path: str | Path) -> Against:
    """Compare the slides of an analysis with a CSV table.

    Parameters
    ----------
    path : str or Path
        With the columns ``slide, class, percent``; percent of the leukocytes, 0 to 100. A column
        ``cells`` may say how many leukocytes the other method counted, by which the lines know its
        error. Classes are called as the project, its taxonomy or analysers call them. Those that
        are one class here, such as bands and segmented neutrophils, are added up; so leave out
        totals of them.

    Raises
    ------
    WbcError
        If the table cannot be read, has a row twice, or none of the project's slides and classes,
        or the classes of a slide add up to more than all leukocytes.
    """
    path = Path(path)
    header, rows = read_rows(path, ("percent", "cells"))
    if missing := [name for name in COLUMNS if name not in header]:
        raise WbcError(f"{path}: without the column {missing[0]!r}; give {', '.join(COLUMNS)}.")
    taxonomy = Policy().taxonomy_of(analysis.taxonomy)
    slides = {each.slide.name: each for each in analysis.slides}
    names = _names(taxonomy)
    percents: dict[tuple[str, str], float] = {}
    seen: set[tuple[str, str]] = set()
    others: dict[str, list[float]] = {}
    cells: dict[str, int] = {}
    places = [header.index(name) for name in COLUMNS]
    for number, row in enumerate(rows, start=2):
        slide, label, text = (row[place].strip() for place in places)
        percent = _percent(path, number, text)
        plain = _plain(label)
        if "cells" in header and (text := row[header.index("cells")].strip()):
            cells[slide] = _cells(path, number, text)
        if (slide, plain) in seen:
            raise WbcError(
                f"{path}: row {number} has {label[:60]!r} of {slide[:60]!r} again; remove one."
            )
        seen.add((slide, plain))
        if plain in names:
            key = slide, names[plain]
            percents[key] = percents.get(key, 0.0) + percent
        else:
            others.setdefault(label, []).append(percent)
    _check_sums(path, percents)
    ours = [differential(name, each.table, taxonomy) for name, each in slides.items()]
    pairs: list[Pair] = []
    for counted in filter(attrgetter("total"), ours):
        for each in counted.shares:
            other = percents.get((counted.slide, each.name))
            if other is not None:
                many = cells.get(counted.slide, 0)
                pairs.append(Pair(counted.slide, each.name, each.count, counted.total, other, many))
    if not pairs:
        raise WbcError(
            f"{path}: none of the slides and classes of the project ({listed(list(slides))}); "
            "write their names as the project has them."
        )
    unknown = dict.fromkeys(slide for slide, _ in percents if slide not in slides)
    left_out = {label: sum(each) / len(each) for label, each in others.items()}
    return Against(tuple(pairs), methods(pairs), tuple(unknown), left_out)


def _names(taxonomy: Taxonomy) -> dict[str, str]:
    """The class in the denominator that each name counts as; a class's own name goes first."""
    names: dict[str, str] = {}
    leukocytes = taxonomy.names_at(Place.LEUKOCYTE)
    for usual, spellings in SPELLINGS.items():
        row = taxonomy.row_of(usual)
        names |= dict.fromkeys(spellings, row if row in leukocytes else "")
    for cell_class in taxonomy.classes:
        if cell_class.place is Place.LEUKOCYTE:
            known = (cell_class.short, *cell_class.covers, cell_class.name)
            names |= dict.fromkeys(map(_plain, known), cell_class.name)
    return {plain: name for plain, name in names.items() if name}


def _plain(label: str) -> str:
    """A label without the % that analysers put beside it."""
    return plain_label(label.replace("%", " "))


def _check_sums(path: Path, percents: Mapping[tuple[str, str], float]) -> None:
    sums: dict[str, float] = {}
    for (slide, _), percent in percents.items():
        sums[slide] = sums.get(slide, 0.0) + percent
    for slide, percent in sums.items():
        if percent > MOST:
            raise WbcError(
                f"{path}: the classes of {slide[:60]!r} add up to {percent:.1f} %; leave out "
                "totals of other rows."
            )


def _percent(path: Path, row: int, text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise WbcError(f"{path}: row {row} has {text[:40]!r}; write a percentage, 0 to 100.")
    return percent


def _cells(path: Path, row: int, text: str) -> int:
    try:
        cells = float(text)
    except ValueError:
        cells = math.nan
    if not 1 <= cells <= MOST_CELLS:
        raise WbcError(
            f"{path}: row {row} has {text[:40]!r}; write how many leukocytes were counted, 1 to "
            f"{MOST_CELLS:,}."
        )
    return round(cells)
