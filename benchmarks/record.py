"""One way to print a benchmark's table and keep it with machine, versions and data hashes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

RESULTS = Path(__file__).parent / "results"
LIBRARIES = (
    "napari-wbc",
    "numpy",
    "opencv-python-headless",
    "scikit-image",
    "scipy",
    "torch",
    "torchvision",
    "napari",
)


def record(
    name: str,
    title: str,
    table: pd.DataFrame,
    *,
    data: Iterable[Path] = (),
    notes: Sequence[str] = (),
    leaks: Sequence[str] = (),
    seed: int = 0,
    extra: dict[str, Any] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    folder: Path = RESULTS,
) -> None:
    """Print a table, and further ``tables`` by title, and write them to ``NAME.md`` and ``NAME.json``.

    What the leak check found stands above.
    """
    about = {
        "date": date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
        "seed": seed,
        "data_sha256": {folder.name: folder_sha256(folder) for folder in data},
    }
    lines = [f"# {title}", "", *(f"Leak check, {text}\n" for text in leaks), _markdown(table), ""]
    for heading, further in (tables or {}).items():
        lines += [f"## {heading}", "", _markdown(further), ""]
    lines += [*(f"- {note}" for note in notes), ""]
    lines += [f"- {key}: {json.dumps(value)}" for key, value in about.items()]
    text = "\n".join(lines) + "\n"
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    content = {
        "title": title,
        "table": _records(table),
        **(
            {"tables": {heading: _records(further) for heading, further in tables.items()}}
            if tables
            else {}
        ),
        "leaks": list(leaks),
        "notes": list(notes),
        **about,
        **(extra or {}),
    }
    (folder / f"{name}.json").write_text(
        json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8"
    )


def folder_sha256(folder: Path) -> str:
    """Hash over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows, with None where there is no number: JSON knows no NaN."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    rows += [["" if pd.isna(v) else str(v) for v in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
