"""The whole job on real images, with the shipped weights."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import napari_wbc
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.report import write_results


@pytest.fixture(scope="module")
def truth(real_data):
    """Label of BCCD's first test fields that show one leukocyte."""
    bccd = real_data / "bccd"
    with (bccd / "labels.csv").open(newline="") as file:
        labels = {int(row["Image"]): row["Category"].lower() for row in csv.DictReader(file)}
    with (bccd / "splits.csv").open(newline="") as file:
        names = [row["image"] for row in csv.DictReader(file) if row["split"] == "test"]
    known = {name: labels.get(int(name[11:16]), "") for name in names}
    return {name: label for name, label in known.items() if label in EIGHT_CLASSES.names}


@pytest.mark.real
def test_real_fields_from_images_to_files(real_data, truth, tmp_path):
    names = list(truth)[:20]
    fields = [real_data / "bccd" / "JPEGImages" / name for name in names]
    analysis = napari_wbc.analyze(fields, device="cpu")
    assert not analysis.failures
    for _ in write_results(analysis, tmp_path / "out"):
        pass
    cells = pd.read_csv(tmp_path / "out" / "cells.csv")
    right = [truth[name] in set(cells.loc[cells["fov"] == name, "prediction"]) for name in names]
    assert sum(right) >= 0.75 * len(
        names
    )  # labels are noisy; benchmarks/classification.py has the figures
    identified = cells[~cells["label"].isin(["unidentified", "candidate"])]
    assert (identified["label"] == identified["prediction"]).all()
    assert len(list((tmp_path / "out" / "overlays").glob("*.png"))) == len(names)


@pytest.mark.real
def test_real_single_cells(real_data, tmp_path):
    with zipfile.ZipFile(real_data / "pbc" / "val.zip") as archive:
        for label in ("neutrophil", "eosinophil", "lymphocyte", "platelet"):
            for name in sorted(n for n in archive.namelist() if n.startswith(f"{label}/"))[:5]:
                (tmp_path / f"{label}-{name.split('/')[1]}").write_bytes(archive.read(name))
    found = napari_wbc.classify_images(tmp_path, device="cpu").cells
    right = [row.prediction in Path(row.path).name for row in found.itertuples()]
    assert len(right) == 20
    assert sum(right) >= 17
