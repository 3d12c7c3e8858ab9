"""The layout of CLSI H20-Ed3: two films of one blood, each counted by two examiners.

It replaces H20-A2. Each examiner counts 200 cells of each film; the reference is the mean of all.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc.measure.agreement import Agreement, agreement, annotations_of
from napari_wbc.model.differential import Differential, differential
from napari_wbc.model.policy import Policy
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.lab_report.pool import unevenness
from napari_wbc.pipeline.project import second_reading
from napari_wbc.storage.workspace import check_journal, open_workspace

if TYPE_CHECKING:
    import pandas as pd

CELLS = 200
"""That each examiner counts of each film."""
FIRST = "first reader"
"""Who has no name in a project."""


@dataclass(frozen=True, slots=True)
class H20:
    """Two examiners' counts of the films of one blood.

    Parameters
    ----------
    films : tuple of (str, str, Differential)
        Film, examiner and what the examiner labelled there.
    examiners : tuple of (str, Differential)
        All films of each examiner together.
    compared : Agreement
        Of the cells that both labelled.
    notes : tuple of str
        Films that differ by more than chance, and counts that are too small, in words.
    """

    films: tuple[tuple[str, str, Differential], ...]
    examiners: tuple[tuple[str, Differential], ...]
    compared: Agreement
    notes: tuple[str, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """A row a class, film and examiner; films together have none, nor has the mean of all."""
        import pandas as pd

        rows: list[tuple[object, ...]] = []
        by_class: dict[str, list[float]] = {}
        counts = [*self.films, *(("", name, counted) for name, counted in self.examiners)]
        for film, examiner, counted in counts:
            for row in counted.shares:
                limits = (round(number, 2) for number in (row.percent, row.low, row.high))
                rows.append((row.name, film, examiner, row.count, counted.total, *limits))
                if film:
                    by_class.setdefault(row.name, []).append(row.percent)
        for name, percents in by_class.items():
            mean = round(sum(percents) / len(percents), 2)
            rows.append((name, "", "mean", None, None, mean, None, None))
        columns = ["class", "film", "examiner", "count", "leukocytes", "percent", "low", "high"]
        return pd.DataFrame(rows, columns=columns)


def h20(path: str | Path, second: str = "") -> H20:
    """Counts, agreement and doubts of a project whose slides are films of one blood.

    Only cells that the examiner labelled count. The examiners are the first reader and a blind
    reading, by default the only one.

    Raises
    ------
    WbcError
        If the project cannot be read, or has no such reading.
    """
    with closing(open_workspace(path, read_only=True)) as workspace:
        check_journal(workspace)
        second = second_reading(workspace, second)
        taxonomy = workspace.taxonomy
        merged = Policy().taxonomy_of(taxonomy)
        films: list[tuple[str, str, Differential]] = []
        examiners: list[tuple[str, Differential]] = []
        notes: list[str] = []
        tables: list[CellTable] = []
        for name, reading in ((FIRST, ""), (second, second)):
            cells = []
            parts: dict[str, str] = {}
            for slide in workspace.slides():
                table = workspace.table(slide.name, reading)
                labelled = [cell for cell in table.values() if cell.annotation is not None]
                counted = differential(slide.name, CellTable(labelled), merged)
                films.append((slide.name, name, counted))
                cells += labelled
                parts |= {cell.fov_id: slide.name for cell in labelled}
                if counted.total < CELLS:
                    notes.append(
                        f"{name}: {counted.total} leukocytes of {slide.name}; H20 asks for {CELLS}."
                    )
            whole = CellTable(cells)
            tables.append(whole)
            examiners.append((name, differential("all films", whole, merged)))
            notes += (f"{name}: {text}" for text in unevenness(whole, merged, parts, "films"))
        ours, theirs = map(annotations_of, tables)
        compared = agreement(ours, theirs, taxonomy)
    return H20(tuple(films), tuple(examiners), compared, tuple(notes))
