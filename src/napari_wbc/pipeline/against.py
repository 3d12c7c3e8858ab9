"""A project against an analyser or a manual count of the same blood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc.errors import WbcError
from napari_wbc.measure.methods import Methods, Pair, methods
from napari_wbc.model.differential import differential
from napari_wbc.model.policy import Policy
from napari_wbc.model.words import listed
from napari_wbc.pipeline.analysis import Analysis
from napari_wbc.storage.tables import read_rows

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("slide", "class", "percent")


@dataclass(frozen=True, slots=True)
class Against:
    """A project compared with another method; a class of a slide that only one has is left out."""

    pairs: tuple[Pair, ...]
    methods: tuple[Methods, ...]
    unknown: tuple[str, ...] = ()
    """Slides of the table that the project does not have."""

    @property
    def frame(self) -> pd.DataFrame:
        """A row a class of a slide."""
        import pandas as pd

        rows = []
        for pair in self.pairs:
            ours = (round(number, 2) for number in pair.ours)
            row = (pair.slide, pair.label, pair.count, pair.total, *ours, pair.other)
            rows.append((*row, pair.is_within))
        columns = ["slide", "class", "count", "leukocytes", "percent", "low", "high", "other"]
        return pd.DataFrame(rows, columns=[*columns, "within"])


def against(analysis: Analysis, path: str | Path) -> Against:
    """Compare the slides of an analysis with a CSV table.

    Parameters
    ----------
    path : str or Path
        With the columns ``slide, class, percent``; percent of the leukocytes, 0 to 100. Bands are
        counted as neutrophils.

    Raises
    ------
    WbcError
        If the table cannot be read, has a row twice, or none of the project's slides and classes.
    """
    path = Path(path)
    header, rows = read_rows(path, ("percent",))
    if missing := [name for name in COLUMNS if name not in header]:
        raise WbcError(f"{path}: without the column {missing[0]!r}; give {', '.join(COLUMNS)}.")
    taxonomy = Policy().taxonomy_of(analysis.taxonomy)
    slides = {each.slide.name: each for each in analysis.slides}
    percents: dict[tuple[str, str], float] = {}
    places = [header.index(name) for name in COLUMNS]
    for number, row in enumerate(rows, start=2):
        slide, label, text = (row[place].strip() for place in places)
        name = taxonomy.row_of(label.lower().removesuffix("s"))
        if (slide, name) in percents:
            raise WbcError(
                f"{path}: row {number} has {label[:60]!r} of {slide[:60]!r} again; remove one."
            )
        percents[slide, name] = _percent(path, number, text)
    ours = [differential(name, each.table, taxonomy) for name, each in slides.items()]
    pairs: list[Pair] = []
    for counted in filter(attrgetter("total"), ours):
        for each in counted.shares:
            other = percents.get((counted.slide, each.name))
            if other is not None:
                pairs.append(Pair(counted.slide, each.name, each.count, counted.total, other))
    if not pairs:
        raise WbcError(
            f"{path}: none of the slides and classes of the project ({listed(list(slides))}); "
            "write their names as the project has them."
        )
    unknown = dict.fromkeys(slide for slide, _ in percents if slide not in slides)
    return Against(tuple(pairs), methods(pairs), tuple(unknown))


def _percent(path: Path, row: int, text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise WbcError(f"{path}: row {row} has {text[:40]!r}; write a percentage, 0 to 100.")
    return percent
