"""Where weights run: on the CPU, or on the GPU that is there."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from napari_wbc.errors import TorchMissing, WbcError
from napari_wbc.weights.device import (
    keep_triton_out,
    limit_threads,
    resolve_device,
    spare_a_core,
    torch_fault,
)


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what is loaded")
@pytest.mark.parametrize("loaded", [False, True])
def test_triton_is_kept_out_for_good_where_another_llvm_is_loaded(loaded, tmp_path, monkeypatch):
    maps = tmp_path / "maps"
    maps.write_text("7f00 r-xp libLLVM-15.so.1\n" if loaded else "7f00 r-xp libc.so.6\n")
    monkeypatch.setattr("napari_wbc.weights.device.Path", lambda _path: maps)
    # Set first, so that what was there is put back whatever comes after it.
    monkeypatch.setitem(sys.modules, "triton", None)
    del sys.modules["triton"]
    keep_triton_out()
    assert ("triton" in sys.modules) is loaded
    if loaded:
        assert sys.modules["triton"] is None
        assert find_spec("triton") is None


def test_so_many_threads_are_used_as_were_asked_for(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    limit_threads(3)
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("3", "PASSIVE")
    assert torch.get_num_threads() == 3
    limit_threads(before)


def test_opencv_has_so_many_threads_loaded_already_or_later():
    later = "from napari_wbc.weights.device import limit_threads; limit_threads(1); import cv2"
    sooner = "import cv2; from napari_wbc.weights.device import limit_threads; limit_threads(1)"
    for imports in (later, sooner):
        command = f"{imports}; print(cv2.getNumThreads())"
        done = subprocess.run(
            [sys.executable, "-c", command], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "1"


def test_a_core_is_left_to_the_window_unless_somebody_said_how_many(monkeypatch):
    asked = []
    monkeypatch.setattr("napari_wbc.weights.device.limit_threads", asked.append)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr("napari_wbc.weights.device.GIVEN_THREADS", "2,1")
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    spare_a_core()
    assert asked == []
    # A limit that was taken off again is none.
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    spare_a_core()
    assert (asked, os.environ["OMP_NUM_THREADS"]) == ([2], "2,1")
    monkeypatch.setattr("napari_wbc.weights.device.GIVEN_THREADS", "")
    spare_a_core()
    assert asked == [2, 3]


def test_what_is_wrong_with_pytorch_is_told_without_loading_it(monkeypatch):
    assert torch_fault() == ""
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert torch_fault() == "torchvision is not installed"
