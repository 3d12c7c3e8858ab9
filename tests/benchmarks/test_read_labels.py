"""Labels that were read for this project."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

import pytest

from napari_wbc.model.taxonomy import EIGHT_CLASSES

FOLDER = Path(__file__).parents[2] / "benchmarks"
# Benchmarks are no package, and no part of a source distribution.
if not FOLDER.is_dir():
    pytest.skip("benchmarks are not in this distribution", allow_module_level=True)
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(FOLDER)
    public_sets = importlib.import_module("public_sets")
LABELS = public_sets.table(FOLDER / "labels" / "read.csv")


def test_each_leukocyte_has_one_class_of_ours():
    cells = Counter((row["source"], row["image"], row["leukocyte"]) for row in LABELS)

    assert max(cells.values()) == 1
    assert {row["label"] for row in LABELS} <= set(EIGHT_CLASSES.names)


def test_a_label_belongs_to_the_leukocyte_of_its_number():
    leukocytes = [
        {"path": Path("003.jpg"), "label": "", "split": "train"},
        {"path": Path("1058.jpg"), "label": "leukocyte", "split": "val"},
        {"path": Path("1058.jpg"), "label": "leukocyte", "split": "val"},
    ]

    rows = list(public_sets.read_here("bionet", iter(leukocytes)))

    wanted = {row["leukocyte"]: row["label"] for row in LABELS if row["image"] == "1058.jpg"}
    assert wanted == {"0": "neutrophil"}
    assert rows == [leukocytes[1] | {"label": "neutrophil"}]


@pytest.mark.real
def test_every_label_has_its_box(real_data, tmp_path, monkeypatch):
    monkeypatch.setattr(public_sets, "DATA", real_data)

    read = [*public_sets.raabin(tmp_path), *public_sets.bionet(tmp_path)]

    assert Counter(row["source"] for row in read) == Counter(row["source"] for row in LABELS)
    assert all(row["bottom"] > row["top"] for row in read)
