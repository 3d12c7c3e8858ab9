"""Where weights run: on the CPU, or on the GPU that is there."""

from __future__ import annotations

import sys

import pytest
import torch

from napari_wbc.errors import TorchMissing, WbcError
from napari_wbc.weights.device import resolve_device


@pytest.mark.parametrize("device", ["", "tpu", "CPU", "cuda:1"])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(WbcError, match="choose auto, cpu or cuda"):
        resolve_device(device)


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_is_taken_where_there_is_one(there, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if there else "cpu")
    if there:
        assert resolve_device("cuda") == "cuda"
    else:
        with pytest.raises(WbcError, match="No CUDA device"):
            resolve_device("cuda")


@pytest.mark.parametrize("module", ["torch", "torchvision"])
def test_without_pytorch_it_is_said_what_to_install(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TorchMissing, match="install torch and torchvision again"):
        resolve_device("cpu")
