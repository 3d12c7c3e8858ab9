"""State of a run of training on disk, and what every loop of training shares.

A checkpoint is written after every epoch (safetensors and JSON, each replaced as a whole).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import write_bytes, write_text

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["PRECISIONS", "Checkpoint", "check_run", "set_rate", "update_mean"]

PRECISIONS = ("32-true", "bf16-mixed")

FORMAT = 2
"""Of the checkpoint; one of another format, or chosen by another measure, is not resumed."""

_DAMAGES = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)
"""What reading a damaged checkpoint raises."""


def check_run(name: str, precision: str) -> None:
    """Refuse a name that is no file name, and a precision that is not offered."""
    if precision not in PRECISIONS:
        raise WbcError(f"No precision {precision!r}; choose one of: {', '.join(PRECISIONS)}.")
    if name in ("", ".", "..") or Path(name).name != name:
        raise WbcError(f"{name!r} cannot name weights; give a plain file name.")


def set_rate(optimizer: Any, rate: float, step: int, steps: int, epochs: int) -> None:
    """Set the learning rate of a step: up over the first epoch, then down as a cosine.

    A parameter group with a ``scale`` gets so many times the rate.
    """
    done = step / (epochs * steps)
    rate *= min((step + 1) / steps, 0.5 * (1 + math.cos(math.pi * done)))
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def update_mean(mean: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Let a running mean of weights follow the network; counters are copied."""
    import torch

    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for kept, new in zip(
            mean.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if kept.is_floating_point():
                kept.lerp_(new.to(kept.dtype), 1 - decay)
            else:
                kept.copy_(new)


class Checkpoint:
    """State of a run on disk; each epoch's files are complete before the index names them.

    Parameters
    ----------
    out : Path
        Folder of the run.
    identity : dict
        What makes it this run: recipe and data, as JSON values.
    """

    def __init__(self, out: Path, identity: dict[str, Any]) -> None:
        self.folder = out / "checkpoint"
        self.index = self.folder / "index.json"
        self.identity = {"format": FORMAT, **identity}

    def load(
        self, network: nn.Module, mean: nn.Module, optimizer: Any
    ) -> tuple[list[dict[str, float]], float]:
        """Fill a network, the mean of its weights and an optimizer; the history and the best score.

        Raises
        ------
        WbcError
            If the checkpoint is damaged, or of another run.
        """
        from safetensors.torch import load_file

        if not self.index.is_file():
            return [], -1.0
        try:
            saved = self._read_index()
            if saved["identity"] != json.loads(json.dumps(self.identity)):
                raise WbcError(
                    f"{self.folder}: holds a run with another recipe or other data; "
                    "choose another output folder or remove this one."
                )
            state = load_file(self.folder / saved["state"])
            network.load_state_dict(_part(state, "network."))
            mean.load_state_dict(_part(state, "mean."))
            full = optimizer.state_dict()
            stepped = [i for group in full["param_groups"] for i in group["params"]]
            full["state"] = {i: _part(state, f"optimizer.{i}.") for i in stepped}
            optimizer.load_state_dict(full)
            return list(saved["history"]), float(saved["best_score"])
        except _DAMAGES as error:
            raise self._damaged(error) from error

    def save(
        self,
        network: nn.Module,
        mean: nn.Module,
        optimizer: Any,
        *,
        history: list[dict[str, float]],
        best: float,
        better: bool,
    ) -> None:
        """Write the state after an epoch; ``better`` keeps the mean weights as the best."""
        import torch

        old = self._read_index() if self.index.is_file() else {}
        state = {f"network.{k}": v for k, v in network.state_dict().items()}
        state |= {f"mean.{k}": v for k, v in mean.state_dict().items()}
        for i, moments in optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        names = {"state": f"epoch-{len(history)}.safetensors", "best": old.get("best", "")}
        self._write(names["state"], state)
        if better:
            names["best"] = f"best-{len(history)}.safetensors"
            self._write(names["best"], mean.state_dict())
        index = {"identity": self.identity, "history": history, "best_score": best, **names}
        write_text(self.index, json.dumps(index, indent=2))
        for name in {old.get("state", ""), old.get("best", "")} - {*names.values(), ""}:
            (self.folder / name).unlink(missing_ok=True)

    def best(self) -> dict[str, torch.Tensor]:
        """The mean weights after the best epoch.

        Raises
        ------
        WbcError
            If they are damaged or missing.
        """
        from safetensors.torch import load_file

        try:
            tensors: dict[str, torch.Tensor] = load_file(self.folder / self._read_index()["best"])
        except _DAMAGES as error:
            raise self._damaged(error) from error
        return tensors

    def _damaged(self, error: Exception) -> WbcError:
        return WbcError(
            f"{self.folder}: the checkpoint is damaged ({error}); remove it to start again."
        )

    def _read_index(self) -> dict[str, Any]:
        index: dict[str, Any] = json.loads(self.index.read_text(encoding="utf-8"))
        return index

    def _write(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        from safetensors.torch import save

        write_bytes(
            self.folder / name, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
        )


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
