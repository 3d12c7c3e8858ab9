"""What all tests share: a display, real images where they are, models and labelled fields."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = ROOT / (os.environ.get("NAPARI_WBC_DATA") or "../shared/data")


os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # small networks on busy cores are quickest on one thread


def pytest_configure(config: pytest.Config) -> None:
    """Start a virtual display where Linux has none, and one for each process of xdist."""
    shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    # Processes that share a display share its mouse and its focus.
    wanted = hasattr(config, "workerinput") or not shown
    if not (wanted and sys.platform.startswith("linux") and shutil.which("Xvfb")):
        return
    reader, writer = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(writer),
        "-screen",
        "0",
        "1600x1200x24",
        "-nolisten",
        "tcp",
    ]
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
    skip = pytest.mark.skip(
        reason=f"needs the real images, and NAPARI_WBC_DATA names no folder: {REAL_DATA}"
    )
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def no_own_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep away from the models of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_WBC_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


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


@pytest.fixture(scope="session")
def detector_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights of a Mask R-CNN of leukocytes, for small fields."""
    import torch

    from napari_wbc.detect.architectures import build_mask_rcnn
    from napari_wbc.detect.mask_rcnn import LEUKOCYTE, DetectorPreset
    from napari_wbc.weights.card import ModelCard
    from napari_wbc.weights.store import save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("detector") / "tiny_detector.safetensors"
    preset = asdict(DetectorPreset(longest=96))
    card = ModelCard("tiny_detector", "1", "mask-rcnn/mobilenet_v3_large", (LEUKOCYTE,), preset)
    save_weights(path, build_mask_rcnn("mobilenet_v3_large", 1).state_dict(), card)
    return path


@pytest.fixture(scope="session")
def tiny_backbone() -> Iterator[str]:
    """A backbone of four layers that a detector may name, since the true ones take seconds."""
    from torch import nn

    from napari_wbc.detect import architectures

    def features(_pretrained: bool) -> nn.Module:
        first = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.BatchNorm2d(16), nn.ReLU())
        return nn.Sequential(
            first,
            *(nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()) for _ in range(2)),
        )

    stages = {"0": "0", "1": "1", "2": "2"}
    plan = architectures._Backbone(features, stages, (16, 16, 16), 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(architectures._BACKBONES, "tiny", plan)
        yield "tiny"


@pytest.fixture(scope="session")
def field_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five drawn fields, one of ``val``: a leukocyte with outline, four red cells, a platelet."""
    import cv2
    import numpy as np

    folder = tmp_path_factory.mktemp("fields")
    lines = ["path,label,split,source,top,left,bottom,right,outline"]
    turn = np.arange(48) * (2 * np.pi / 48)
    for i in range(5):
        rng = np.random.default_rng(i)
        image = rng.normal((240, 235, 230), 3, (96, 96, 3)).clip(0, 255).astype(np.uint8)
        split = "val" if i == 4 else "train"
        for corner in ((12, 12), (12, 84), (84, 12), (84, 84)):
            cv2.circle(image, corner, 9, (215, 160, 155), -1)
            edges = corner[1] - 9, corner[0] - 9, corner[1] + 10, corner[0] + 10
            lines.append(f"{i}.png,red cell,{split},lab,{','.join(map(str, edges))},")
        cv2.circle(image, (12, 48), 4, (150, 100, 170), -1)
        lines.append(f"{i}.png,platelet,{split},lab,44,8,53,17,")
        row, col = rng.integers(40, 57, 2).tolist()
        cv2.circle(image, (col, row), 16, (110, 60, 140), -1)
        ring = np.stack([row + 0.5 + 16.5 * np.sin(turn), col + 0.5 + 16.5 * np.cos(turn)], axis=-1)
        outline = " ".join(f"{r:.2f},{c:.2f}" for r, c in ring)
        lines.append(f'{i}.png,neutrophil,{split},lab,,,,,"{outline}"')
        cv2.imwrite(str(folder / f"{i}.png"), image[..., ::-1])
    path = folder / "fields.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
