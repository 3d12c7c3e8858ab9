"""The one door to PyTorch, and where weights run."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from napari_wbc.errors import TorchMissing, WbcError


def resolve_device(device: str) -> str:
    """The device meant by ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    TorchMissing, WbcError
        If PyTorch or torchvision is missing or broken, or there is no such device.
    """
    torch = load_torch()
    if device not in {"auto", "cpu", "cuda"}:
        raise WbcError(f"No device {device!r}; choose auto, cpu or cuda.")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise WbcError("No CUDA device found here; choose --device auto or cpu.")
    return device


def keep_triton_out() -> None:
    """Bar triton from a process in which Mesa's LLVM is loaded; call it before torch is imported.

    Triton brings its own LLVM. Loaded beside the one with which software OpenGL draws the canvas,
    it ends the process without a message (pytorch/pytorch#96060). Triton compiles networks, which
    this package never does, and torch does without it.
    """
    maps = Path("/proc/self/maps")
    if "triton" in sys.modules or not maps.is_file():
        return
    if "libLLVM" in maps.read_text(errors="replace"):
        # None is what Python takes for "not to be found".
        sys.modules["triton"] = None  # type: ignore[assignment]


def load_torch() -> Any:
    """PyTorch, with torchvision beside it; :class:`TorchMissing` if one is missing or broken."""
    keep_triton_out()
    try:
        import torch

        # torch of one source and torchvision of another fail here, and not in the middle of a job.
        import torchvision  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        raise TorchMissing(
            f"PyTorch cannot be loaded ({type(error).__name__}: {error}); "
            "install torch and torchvision again, both in one command."
        ) from error
    return torch


def torch_fault() -> str:
    """What is wrong with PyTorch, as far as can be told without loading it; empty for nothing."""
    for name in ("torch", "torchvision"):
        if name in sys.modules and sys.modules[name] is not None:
            continue
        # To import torch takes seconds; whether it is there is wanted before the window shows.
        spec = find_spec(name)
        if spec is None:
            return f"{name} is not installed"
        if name == "torch" and not (Path(spec.origin or "").parent / "lib").is_dir():
            return "torch is damaged"
    return ""


GIVEN_THREADS = os.environ.get("OMP_NUM_THREADS", "")
"""What somebody set before this program began; empty if nobody did."""


def limit_threads(threads: int) -> None:
    """Let torch and OpenCV compute with so many threads, whether they are loaded now or later."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ[name] = str(threads)
    # A thread that waits by spinning takes the core from the one that it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    if (cv2 := sys.modules.get("cv2")) is not None:
        cv2.setNumThreads(threads)


def spare_a_core() -> None:
    """Leave one core to the window; where somebody set OMP_NUM_THREADS, that stays."""
    if GIVEN_THREADS:
        # One number a level of nested loops; of these there is one here.
        first = GIVEN_THREADS.split(",")[0]
        if os.environ.get("OMP_NUM_THREADS") != GIVEN_THREADS and first.isdecimal():
            limit_threads(int(first))
            os.environ["OMP_NUM_THREADS"] = GIVEN_THREADS
        return
    # In a container or a batch job the process may run on fewer cores than the machine has.
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limit_threads(max(1, cores - 1))
