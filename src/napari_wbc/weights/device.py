"""Where weights run."""

from __future__ import annotations

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
    try:
        import torch
        import torchvision  # noqa: F401 (torch of one source and torchvision of another fail here)
    except (ImportError, OSError, RuntimeError) as error:
        raise TorchMissing(
            f"PyTorch cannot be loaded ({type(error).__name__}: {error}); "
            "install torch and torchvision again, both in one command."
        ) from error
    if device not in {"auto", "cpu", "cuda"}:
        raise WbcError(f"No device {device!r}; choose auto, cpu or cuda.")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise WbcError("No CUDA device found here; choose --device auto or cpu.")
    return device
