"""A project with reviewed cells; and labelled cells with weights to compare on them."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pipeline.projects import make_project

from napari_wbc.classify.networks import build_network
from napari_wbc.classify.preset import Preset
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.pipeline.film import analyze as film
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.store import save_weights

LABELS = ("neutrophil", "band neutrophil", "monocyte", "platelet", "blast", "lymphocyte")


@pytest.fixture(scope="module")
def measured_once():
    """Red cells are measured once a whole slide: that takes half of a run and is tested alone."""
    plans = {}
    plan_steps = film.plan_steps

    def remembered(pyramid, preset):
        key = pyramid.levels, preset
        if key not in plans:
            plans[key] = yield from plan_steps(pyramid, preset)
        return plans[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film, "plan_steps", remembered)
        yield


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Two fields, each of a laboratory, with a cell a label; and a field with a single cell."""
    folder = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    lines = ["path,label,split,source,top,left,bottom,right"]
    for k in range(2):
        Image.fromarray(rng.integers(0, 256, (60, 240, 3), dtype=np.uint8)).save(
            folder / f"{k}.png"
        )
        for i, label in enumerate(LABELS):
            lines.append(f"{k}.png,{label},test,lab {k},5,{38 * i + 2},41,{38 * i + 38}")
    Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(folder / "one.png")
    lines.append("one.png,monocyte,test,lab 0,,,,")
    path = folder / "cells.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Other untrained weights, which always say one class."""

    def make(says="monocyte", name="other", size=32, taxonomy=EIGHT_CLASSES, **card):
        torch.manual_seed(1)
        path = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
        preset = asdict(Preset(size=size))
        told = ModelCard(
            name, "1", "cdnn", taxonomy.names, preset, taxonomy=taxonomy.to_dict(), **card
        )
        network = build_network("cdnn", len(taxonomy.names))
        with torch.no_grad():
            network.head.bias[taxonomy.names.index(says)] += 9
        save_weights(path, network.state_dict(), told)
        return path

    return make
