"""The report of a comparison of two classifiers: a page, its numbers, and its pictures."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc.files.atomic import make_folder, write_bytes, write_text
from napari_wbc.measure.comparison import Comparison
from napari_wbc.measure.comparison_plots import (
    COLUMNS,
    SIGNS,
    draw_pictures,
    limited,
    side_rows,
    table_rows,
)
from napari_wbc.model.taxonomy import UNIDENTIFIED
from napari_wbc.pipeline.held_out import short_names
from napari_wbc.storage.tables import write_csv
from napari_wbc.weights.card import RESEARCH_USE

if TYPE_CHECKING:
    import pandas as pd

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
.why { font-size: 1.1rem }
.use { border-top: 1px solid #ccc; padding-top: .5rem; font-weight: bold }
table { border-collapse: collapse } td, th { padding: .25rem .8rem; text-align: right }
td:first-child, th:first-child { text-align: left } tr + tr { border-top: 1px solid #ddd }
"""


def write_comparison(comparison: Comparison, out: str | Path) -> None:
    """Write all of a comparison.

    The folder ``out`` gets ``report.html`` (one page with everything), ``comparison.json`` (every
    number), ``cells.csv`` (a row a cell), and the pictures ``confusion.png``, ``difference.png``,
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
        "heat_inside": comparison.heat and dict(zip(SIDES, comparison.heat, strict=True)),
        "notes": comparison.notes,
        "use": RESEARCH_USE,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(out / "comparison.json", text + "\n")
    write_text(out / "report.html", _page(comparison, pictures))


def _plain(value: Any) -> Any:
    """A value as JSON takes it."""
    if is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    # A share of no cell is not a number, for which JSON has only null.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cells_frame(comparison: Comparison) -> pd.DataFrame:
    """A row for each cell: its true class, both predictions, and what changed."""
    import pandas as pd

    names = np.array(comparison.taxonomy.names)
    shown = short_names(cell.path for cell in comparison.cells)
    rows = [(shown[cell.path], cell.cell_id, cell.slide, cell.source) for cell in comparison.cells]
    frame = pd.DataFrame(rows, columns=["path", "cell_id", "slide", "source"])
    frame["truth"] = names[comparison.truth]
    for side, answers in zip(SIDES, (comparison.old, comparison.new), strict=True):
        predicted = names[answers.predicted]
        frame[side] = predicted
        frame[f"{side}_confidence"] = answers.probabilities.max(axis=1).round(6)
        frame[f"{side}_label"] = np.where(answers.sure, predicted, UNIDENTIFIED)
    return frame.assign(what=comparison.outcomes)


def _page(comparison: Comparison, pictures: Mapping[str, bytes]) -> str:
    """The report: one page that needs no other file."""
    measures = comparison.measures
    words, color = SIGNS[measures.verdict]
    classes = [
        (row.name, str(row.n), limited(row.old), limited(row.new), str(row.fixed), str(row.broken))
        for row in measures.by_class
    ]
    shown = ""
    for name, title in PICTURES.items():
        # Pictures are in the page itself, so that it can be sent and archived as one file.
        data = f"data:image/png;base64,{b64encode(pictures[name]).decode()}"
        shown += f'<h2>{title}</h2><img alt="{title}" src="{data}">'
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Comparison of two classifiers</title>
<style>{STYLE}</style>
<h1 style="color:{color}">{words}</h1>
<p class="why">{escape(measures.why)}</p>
<p>Old: <b>{escape(comparison.old.model_id)}</b><br>
New: <b>{escape(comparison.new.model_id)}</b></p>
<ul>{"".join(f"<li>{escape(note)}</li>" for note in comparison.notes)}</ul>
<h2>Balanced accuracy by source</h2>{_table(COLUMNS, table_rows(comparison))}
<h2>All cells</h2>{_table(("measure", "old", "new"), side_rows(comparison))}
<h2>Recall by class, with 95 % limits</h2>
{_table(("class", "cells", "old", "new", "fixed", "broken"), classes)}
{shown}
<p class="use">{RESEARCH_USE}</p></html>
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    # The head is ours; names of classes and sources come from files that may be anybody's.
    titles = "".join(f"<th>{title}</th>" for title in head)
    lines = ""
    for row in rows:
        cells = "".join(f"<td>{escape(text)}</td>" for text in row)
        lines += f"<tr>{cells}</tr>"
    return f"<table><tr>{titles}</tr>{lines}</table>"
