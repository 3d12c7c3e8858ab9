"""Tables as CSV, safe to open in a spreadsheet.

A text cell that begins with ``=``, ``+``, ``-``, ``@``, tab or carriage return gets a leading
``'``, so that no spreadsheet takes it for a formula.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc.errors import ReadError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.guard import read_text
from napari_wbc.model.cell import Cell, Prediction
from napari_wbc.model.differential import Differential
from napari_wbc.model.heat import Heat
from napari_wbc.model.table import CellTable
from napari_wbc.model.words import printable

if TYPE_CHECKING:
    import pandas as pd

CELL_COLUMNS = (
    "slide",
    "fov",
    "cell_id",
    "top",
    "left",
    "bottom",
    "right",
    "detection_score",
    "label",
    "label_source",
    "prediction",
    "confidence",
    "unlikeness",
)
DIFFERENTIAL_COLUMNS = ("slide", "class", "place", "count", "percent", "low", "high", "per_100_wbc")
FIELD_COLUMNS = (
    "slide",
    "fov",
    "cells",
    "leukocytes",
    "red_cells",
    "platelets",
    "red_cells_per_leukocyte",
    "candidates",
    "note",
)
HEAT_COLUMNS = (*CELL_COLUMNS[1:], "method", "target", "against", "inside", "suspect")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
MARKED = (*FORMULA, "'")
MAX_ROWS = 500_000
"""Of a table that is read."""
MAX_COLUMNS = 1000
MAX_FIELDS = 8_000_000
"""Of rows times columns."""
MAX_LINE = 1_000_000
"""Characters; the outlines of cells take up to 100,000."""


def _p_columns(names: Iterable[str]) -> list[str]:
    return [f"p_{name.replace(' ', '_')}" for name in names]


def cells_frame(tables: Iterable[tuple[str, CellTable]], names: tuple[str, ...]) -> pd.DataFrame:
    """One row a cell of some slides, named with their tables.

    Parameters
    ----------
    names : tuple of str
        Classes with a ``p_`` column each; those that only predictions name have theirs after these.

    Examples
    --------
    >>> cells_frame([], ("neutrophil",)).shape
    (0, 14)
    """
    import pandas as pd

    # A dict keeps the order: the asked names first, then those of each model as they come.
    classes = dict.fromkeys(names)
    rows: list[list[object]] = []
    predictions: list[Prediction | None] = []
    for slide, table in tables:
        for cell in table.values():
            rows.append(_cell_row(slide, cell))
            predictions.append(cell.prediction)
            if cell.prediction:
                classes |= dict.fromkeys(cell.prediction.names)
    for row, prediction in zip(rows, predictions, strict=True):
        chances = _chances(prediction) if prediction else {}
        # A cell that another model classified has no probability of some classes.
        row.extend(map(chances.get, classes))
    return pd.DataFrame(rows, columns=[*CELL_COLUMNS, *_p_columns(classes)])


def _cell_row(slide: str, cell: Cell) -> list[object]:
    row: list[object] = [slide, cell.fov_id, cell.cell_id]
    row += (round(edge, 2) for edge in cell.detection.bbox.edges)
    row += [round(cell.detection.score, 4), cell.label, cell.label_source]
    return row + (_prediction_row(cell.prediction) if cell.prediction else [None] * 3)


def _prediction_row(prediction: Prediction) -> list[object]:
    unlikeness = None if prediction.unlikeness is None else round(prediction.unlikeness, 3)
    return [prediction.cell_class, round(prediction.confidence, 6), unlikeness]


def _chances(prediction: Prediction) -> dict[str, float]:
    """Probabilities by class, rounded as tables have them."""
    chances = (round(chance, 6) for chance in prediction.probabilities)
    return dict(zip(prediction.names, chances, strict=True))


def predictions_frame(predictions: Iterable[tuple[Path, Prediction]]) -> pd.DataFrame:
    """One row an image of one cell: ``path, prediction, confidence, unlikeness, p_<class>...``."""
    import pandas as pd

    names: tuple[str, ...] = ()
    rows: list[list[object]] = []
    for path, prediction in predictions:
        names = prediction.names
        rows.append([str(path), *_prediction_row(prediction), *_chances(prediction).values()])
    columns = ["path", "prediction", "confidence", "unlikeness", *_p_columns(names)]
    return pd.DataFrame(rows, columns=columns)


def heat_frame(heats: Iterable[Heat]) -> pd.DataFrame:
    """One row a cell: the cell as in :func:`cells_frame`, then what was asked and where heat lies.

    Examples
    --------
    >>> heat_frame([]).columns[-5:].tolist()
    ['method', 'target', 'against', 'inside', 'suspect']
    """
    import pandas as pd

    rows: list[list[object]] = []
    for heat in heats:
        values = heat.method, heat.target, heat.against, heat.inside, heat.suspect
        # Without the slide: a heatmap is of one field.
        rows.append([*_cell_row("", heat.cell)[1:], *values])
    return pd.DataFrame(rows, columns=list(HEAT_COLUMNS))


def differential_frame(differentials: Iterable[Differential]) -> pd.DataFrame:
    """One row a slide and class; counts beside the differential have no percentage.

    The limits are those of the percentage, or of ``per_100_wbc``.
    """
    import pandas as pd

    rows: list[list[object]] = []
    for differential in differentials:
        slide = differential.slide
        for share in differential.shares:
            limits = round(share.percent, 2), round(share.low, 2), round(share.high, 2)
            rows.append([slide, share.name, "leukocyte", share.count, *limits, None])
        for beside in differential.beside:
            rates = (beside.low, beside.high, beside.per_100_wbc)
            rounded = [None if rate is None else round(rate, 2) for rate in rates]
            rows.append([slide, beside.name, "beside", beside.count, None, *rounded])
    return pd.DataFrame(rows, columns=list(DIFFERENTIAL_COLUMNS))


def fields_frame(
    fields: Iterable[tuple[str, str, int, int, Mapping[str, int] | None, int, str]],
) -> pd.DataFrame:
    """One row a field: slide, field, cells, leukocytes, counts, candidates, note.

    The cells are all that are located there, the leukocytes those of the differential. The counts
    are of ``red cell`` and ``platelet``; None where they were not counted. The note says how far
    the cell finders disagree; empty where they agree.
    """
    import pandas as pd

    rows: list[list[object]] = []
    for slide, fov, cells, leukocytes, counts, candidates, note in fields:
        # Not counted is not none: a count of 0 is a result.
        red = None if counts is None else counts.get("red cell", 0)
        platelets = None if counts is None else counts.get("platelet", 0)
        ratio = round(red / leukocytes, 1) if red is not None and leukocytes else None
        rows.append([slide, fov, cells, leukocytes, red, platelets, ratio, candidates, note])
    frame = pd.DataFrame(rows, columns=list(FIELD_COLUMNS))
    # pandas would make decimal numbers of counts with gaps between them.
    return frame.astype({"red_cells": "Int64", "platelets": "Int64"})


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as UTF-8, whole or not at all, with formulas made harmless.

    Control characters, with which a name may command a terminal that shows the file, become codes.
    """
    _write(path, frame, lambda text: "\t".join(map(printable, _no_formula(text).split("\t"))))


def _write(path: Path, frame: pd.DataFrame, harmless: Callable[[str], str]) -> None:
    safe = frame.copy()
    for column in safe.select_dtypes(include=["object", "string"]):
        safe[column] = safe[column].map(
            lambda value: harmless(value) if isinstance(value, str) else value
        )
    write_text(path, safe.to_csv(index=False, lineterminator="\n"))


def _no_formula(text: str) -> str:
    marked = f"'{text}" if text.startswith(FORMULA) else text
    # Older Pythons do not quote a carriage return, which ends a row.
    return marked.replace("\r", "\\r")


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table whose texts :func:`read_rows` gives back, but for carriage returns."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(columns), dtype=object)
    _write(path, frame.map(_marked), _no_formula)


def _marked(value: object) -> object:
    # A text that begins with the mark gets one more, so that the reader takes off the right one.
    return f"'{value}" if isinstance(value, str) and value.startswith(MARKED) else value


def read_rows(path: Path, numeric: Collection[str] = ()) -> tuple[list[str], list[list[str]]]:
    """Names of columns, in lower case, and rows of a CSV file, as texts; 500,000 rows at most.

    Columns may be parted by commas, semicolons or tabs.

    Parameters
    ----------
    numeric : collection of str
        Names of columns in which a decimal comma comes as a point; one that may be of thousands
        stays.
    """
    content = read_text(path, any_encoding=True)
    # Before a row is read, which takes seconds of so many.
    if content.count("\n") > 2 * MAX_ROWS:
        raise ReadError(f"{path}: more than {2 * MAX_ROWS:,} lines; part it into smaller files.")
    text = StringIO(content, newline="")
    try:
        comma = _delimiter(text)
        first, rows = _filled(csv.reader(_lines(text), delimiter=comma, strict=True))
    except csv.Error as error:
        raise ReadError(
            f"{path}: not a readable CSV table ({error}); save it as CSV again."
        ) from error
    except _TooLargeError as error:
        raise ReadError(f"{path}: {error}; part it into smaller files.") from error
    header = [name.strip().lower() for name in first]
    ((often, times),) = Counter(header).most_common(1)
    if times > 1:
        raise ReadError(f"{path}: the column {often[:60]!r} stands twice; remove one.")
    # In a table with commas between its columns, "1,000" is more likely a thousand.
    decimal = re.compile(r"\s*-?\d+,(?!\d{3}\s*$)\d+\s*" if comma == "," else r"\s*-?\d+,\d+\s*")
    columns = [i for i, name in enumerate(header) if name in numeric]
    for row in rows:
        # Some programs leave out what is empty at the end of a row.
        row.extend([""] * (len(header) - len(row)))
        row[:] = map(_unmarked, row)
        for i in columns:
            if decimal.fullmatch(row[i]):
                row[i] = row[i].replace(",", ".")
    return header, rows


class _TooLargeError(Exception):
    """More than a table may have."""


def _filled(reader: Iterable[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The first row of a table and the others, without empty ones and empty ends."""
    filled = map(_shortened, filter(_is_filled, reader))
    first = next(filled, None)
    if first is None:
        raise csv.Error("there is no row")
    if len(first) > MAX_COLUMNS:
        raise _TooLargeError(f"more than {MAX_COLUMNS:,} columns")
    most = min(MAX_ROWS, MAX_FIELDS // len(first))
    rows: list[list[str]] = []
    for row in filled:
        if len(row) > len(first):
            raise csv.Error("a row is longer than the header")
        if len(rows) == most:
            raise _TooLargeError(f"more than {most:,} rows")
        rows.append(row)
    return first, rows


def _delimiter(text: StringIO) -> str:
    """What stands between the columns of a table: what its first line has most of."""
    first = text.readline(MAX_LINE)
    # Excel's own note of it.
    if match := re.fullmatch(r"sep=([,;\t|])\s*", first):
        return match[1]
    text.seek(0)
    return max(",;\t|", key=first.count)


def _lines(text: StringIO) -> Iterator[str]:
    """The lines of a text, none longer than :data:`MAX_LINE`."""
    # Rows may be empty, or go over two lines.
    for _ in range(2 * MAX_ROWS):
        line = text.readline(MAX_LINE + 1)
        if not line:
            return
        if len(line) > MAX_LINE:
            raise _TooLargeError(f"a line of more than {MAX_LINE:,} characters")
        yield line
    if text.readline(1):
        raise _TooLargeError(f"more than {2 * MAX_ROWS:,} lines")


def _is_filled(row: list[str]) -> bool:
    """Whether a line of a table has anything; some programs end a file with an empty row."""
    return any(map(str.strip, row))


def _shortened(row: list[str]) -> list[str]:
    """A row without the empty cells at its end, of which some programs write more than columns."""
    while row and not row[-1].strip():
        row.pop()
    return row


def _unmarked(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(MARKED) else text
