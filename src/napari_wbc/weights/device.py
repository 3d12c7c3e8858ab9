"""Where weights run."""

from __future__ import annotations

from napari_wbc.errors import WbcError

__all__ = ["resolve_device"]


def resolve_device(device: str) -> str:
    """The device meant by ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    WbcError
        If there is no such device.
    """
    import torch

    if device not in {"auto", "cpu", "cuda"}:
        raise WbcError(f"No device {device!r}; choose auto, cpu or cuda.")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise WbcError("No CUDA device found here; choose --device auto or cpu.")
    return device
