"""A scanned film in the shell: found like any slide, limited, and resumed after the power went."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from tests.slides import synthetic_scene, write_zarr

from napari_wbc.pipeline.film import tasks
from napari_wbc.pipeline.film.analyze import FilmOptions


@pytest.fixture(scope="module")
def scene():
    return synthetic_scene(1200, n_fields=4, per_field=(1, 2))


@pytest.fixture(scope="module")
def film(scene, tmp_path_factory):
    pytest.importorskip("zarr")
    return write_zarr(tmp_path_factory.mktemp("slides") / "film.zarr", scene, levels=3)


def columns(out):
    cells = pd.read_csv(out / "cells.csv")
    return cells[["fov", "top", "left", "bottom", "right", "label"]].to_numpy().tolist()


def test_a_film_is_analyzed_and_what_was_kept_is_gone(call, film, scene, tmp_path, weights):
    out = tmp_path / "out"
    options = ("--detector", "hsv", "--weights", weights, "--device", "cpu")
    code, text, _ = call("analyze", film, "--out", out, *options)
    assert code == 0
    assert len(columns(out)) >= len(scene.cells())
    assert f"{len(columns(out))} cells written" in text
    assert (out / "overlays" / "film.zarr.png").is_file()
    assert not (out / ".tiles").exists()
    region = tmp_path / "region.geojson"
    ring = [[0, 0], [600, 0], [600, 1200], [0, 1200], [0, 0]]
    region.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    code, _, _ = call("analyze", film, "--out", tmp_path / "left", *options, "--region", region)
    assert code == 0
    left = [cell for cell in columns(out) if (cell[2] + cell[4]) / 2 < 600]
    assert sorted(columns(tmp_path / "left")) == sorted(left)


@pytest.mark.parametrize(
    "wrong", [("--tiles", "spiral"), ("--cells", "0"), ("--workers", "0"), ("--region", "no.json")]
)
def test_wrong_options_are_one_line(call, film, tmp_path, wrong, weights):
    options = ("--detector", "hsv", "--weights", weights, "--device", "cpu", *wrong)
    code, _, errors = call("analyze", film, "--out", tmp_path, *options)
    assert code == 2
    assert "Traceback" not in errors


def test_a_run_that_was_killed_goes_on(call, film, tmp_path, weights, monkeypatch):
    out = tmp_path / "out"
    program = (
        "from napari_wbc.pipeline.film.analyze import FilmOptions\n"
        "init = FilmOptions.__init__\n"
        "init.__defaults__ = (256, *init.__defaults__[1:])\n"
        "from napari_wbc.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, "analyze", str(film), "--out", str(out)]
    command += ["--detector", "hsv", "--weights", str(weights), "--device", "cpu", "--quiet"]
    process = subprocess.Popen(command)
    until = time.monotonic() + 240
    while len(list((out / ".tiles").glob("*.npz"))) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list((out / ".tiles").glob("*.npz"))) >= 3
    assert not (out / "cells.csv").exists()
    # In tiles of the same size, which are taken up, and of another, which change no cell.
    options = ("--detector", "hsv", "--weights", weights, "--device", "cpu")
    init = FilmOptions.__init__
    monkeypatch.setattr(init, "__defaults__", (256, *init.__defaults__[1:]))
    looks = []
    see = tasks.see_block_steps
    monkeypatch.setattr(tasks, "see_block_steps", lambda *at: looks.append(at) or see(*at))
    assert call("analyze", film, "--out", out, *options)[0] == 0
    assert len(looks) < 9
    monkeypatch.undo()
    assert call("analyze", film, "--out", tmp_path / "whole", *options)[0] == 0
    assert sorted(columns(out)) == sorted(columns(tmp_path / "whole"))


def test_a_batch_is_one_table(call, film, tmp_path, weights):
    from PIL import Image

    Image.new("RGB", (200, 200), (235, 235, 235)).save(tmp_path / "empty.png")
    (tmp_path / "bad.svs").write_bytes(b"no slide")
    options = ("--detector", "hsv", "--weights", weights, "--device", "cpu")
    slides = (tmp_path / "empty.png", tmp_path / "bad.svs", film)
    out = tmp_path / "out"
    code, text, errors = call("batch", *slides, "--out", out, *options)
    assert code == 3
    assert "bad.svs" in errors
    assert "3 slides written" in text
    assert pd.read_csv(out / "slides.csv")["state"].tolist() == ["done", "failed", "done"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--scheduler", "tcp://10.0.0.5:8786"), "not encrypted"),
        (("--scheduler", "tcp://localhost:8786", "--workers", 2), "not both"),
        (("--allow-plain-tcp",), "of a --scheduler"),
        (("--scheduler", "tls://lab:8786", "--tls-ca", "gone.pem"), "--tls-cert and --tls-key"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_refused_before_anything_is_made(
    call, film, tmp_path, options, why
):
    code, _text, errors = call("batch", film, "--out", tmp_path / "out", *options)
    assert code == 2
    assert why in errors
    assert not (tmp_path / "out").exists()
