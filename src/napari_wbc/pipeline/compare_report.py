"""The report of a comparison of two classifiers: a page, its numbers, a row a cell, and pictures."""

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
from napari_wbc.storage.tables import write_csv
from napari_wbc.weights.card import RESEARCH_USE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_comparison"]

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
