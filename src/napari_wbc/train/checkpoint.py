"""State of a run of training on disk: safetensors and JSON, each replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import write_bytes, write_text

if TYPE_CHECKING:
    import torch
    from torch import nn

FORMAT = 2
"""Version of the files; raise it when the layout or the measure of the best epoch changes."""

_DAMAGES = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)
"""What reading a damaged checkpoint raises."""


class Checkpoint:
    """State of a run in a folder; each epoch's files are complete before the index names them.

    ``identity`` is what makes it this run: recipe and data, as JSON values.
    """

    def __init__(self, out: Path, identity: dict[str, Any]) -> None:
        self.folder = out / "checkpoint"
        self.index = self.folder / "index.json"
        self.identity = {"format": FORMAT, **identity}

    def load(
        self, network: nn.Module, mean: nn.Module, optimizer: Any
    ) -> tuple[list[dict[str, float]], float]:
        """Fill a network, the mean of its weights and an optimizer; the history and the best score.

        It raises WbcError if the checkpoint is damaged, or of another run.
        """
        from safetensors.torch import load_file

        if not self.index.is_file():
            # Below every score, so that the first epoch is the best so far.
            return [], -1.0
        try:
            saved = self._read_index()
            # Through JSON, in which tuples are lists.
            if saved["identity"] != json.loads(json.dumps(self.identity)):
                raise WbcError(
                    f"{self.folder}: holds a run with another recipe or other data, "
                    "or of another version; choose another output folder or remove this one."
                )
            state = load_file(self.folder / saved["state"])
            network.load_state_dict(_part(state, "network."))
            mean.load_state_dict(_part(state, "mean."))
            # The groups are those of the recipe; only the moments come from the file.
            full = optimizer.state_dict()
            for group in full["param_groups"]:
                for i in group["params"]:
                    full["state"][i] = _part(state, f"optimizer.{i}.")
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
        parts = {"network": network.state_dict(), "mean": mean.state_dict()}
        for i, moments in optimizer.state_dict()["state"].items():
            parts[f"optimizer.{i}"] = moments
        state: dict[str, torch.Tensor] = {}
        for part, tensors in parts.items():
            for name, tensor in tensors.items():
                state[f"{part}.{name}"] = torch.as_tensor(tensor)
        names = {"state": f"epoch-{len(history)}.safetensors", "best": old.get("best", "")}
        self._write(names["state"], state)
        if better:
            names["best"] = f"best-{len(history)}.safetensors"
            self._write(names["best"], mean.state_dict())
        index = {"identity": self.identity, "history": history, "best_score": best, **names}
        write_text(self.index, json.dumps(index, indent=2))
        # Only now does no index name the files of the epoch before.
        for name in {old.get("state", ""), old.get("best", "")} - {*names.values(), ""}:
            (self.folder / name).unlink(missing_ok=True)

    def best(self) -> dict[str, torch.Tensor]:
        """The mean weights after the best epoch; WbcError if they are damaged or missing."""
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

        # safetensors refuses tensors that are not contiguous, such as channels_last weights.
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_bytes(self.folder / name, save(plain))


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors under a prefix, by their names without it."""
    part: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(prefix):
            part[name.removeprefix(prefix)] = tensor
    return part
