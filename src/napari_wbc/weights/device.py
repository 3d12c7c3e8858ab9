"""Where weights run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from napari_wbc.errors import TorchMissing, WbcError

__all__ = ["resolve_device"]


def resolve_device(device: str) -> str:
    """The device meant by ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    TorchMissing
        If PyTorch or torchvision is missing or broken.
    WbcError
        If there is no such device.
    """
    torch = _torch()
    if device not in {"auto", "cpu", "cuda"}:
        raise WbcError(f"No device {device!r}; choose auto, cpu or cuda.")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise WbcError("No CUDA device found here; choose --device auto or cpu.")
    return device


def _torch() -> Any:
    """PyTorch, with torchvision imported beside it.

    torchvision's operators look for triton, and triton's LLVM crashes the process if that of Mesa's OpenGL
    drivers is loaded already, as it is beside a window without a graphics card. Triton compiles
    networks, which is not done here; so it is then kept out while they look.
    """
    maps = Path("/proc/self/maps")
    beside = "triton" not in sys.modules and maps.is_file() and "libLLVM" in maps.read_text(errors="replace")
    try:
        if beside:
            sys.modules["triton"] = None  # type: ignore[assignment]
        import torch
        import torchvision  # noqa: F401 (torch of one source and torchvision of another fail here)
    except (ImportError, OSError, RuntimeError) as error:
        raise TorchMissing(
            f"PyTorch cannot be loaded ({type(error).__name__}: {error}); "
            "install torch and torchvision again, both in one command."
        ) from error
    finally:
        if beside:
            del sys.modules["triton"]
    return torch
