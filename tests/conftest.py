"""What every test shares: a display where there is none, and the real images where they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = ROOT / (os.environ.get("NAPARI_WBC_DATA") or "../shared/data")


os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks on busy cores are quickest on one thread


def pytest_configure(config: pytest.Config) -> None:
    """Start a virtual display where Linux has none; xdist's workers inherit it."""
    headless = sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if not headless or not shutil.which("Xvfb"):
        return
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
    server = subprocess.Popen(
        command, pass_fds=[writer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(writer)
    with os.fdopen(reader, encoding="ascii") as answer:
        number = answer.readline().strip()  # empty where the server ended before it was ready
    config.add_cleanup(lambda: (server.terminate(), server.wait()))
    if not number:
        raise pytest.UsageError("Xvfb did not start")
    os.environ.update(DISPLAY=f":{number}", QT_QPA_PLATFORM="xcb", LIBGL_ALWAYS_SOFTWARE="1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the real images where they are absent, and say so."""
    if REAL_DATA.is_dir():
        return
    skip = pytest.mark.skip(reason=f"needs the real images, and NAPARI_WBC_DATA names no folder: {REAL_DATA}")
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the real images; ask for it only in tests marked `real`."""
    return REAL_DATA


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights of the eight classes, for small crops."""
    import torch

    from napari_wbc.classify.networks import build_network
    from napari_wbc.classify.preset import Preset
    from napari_wbc.model.taxonomy import EIGHT_CLASSES
    from napari_wbc.weights.card import ModelCard
    from napari_wbc.weights.store import save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    card = ModelCard("tiny", "1", "cdnn", EIGHT_CLASSES.names, asdict(Preset(size=32)), threshold=0)
    save_weights(path, build_network("cdnn", 8).state_dict(), card)
    return path
