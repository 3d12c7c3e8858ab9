"""The course of a training run, as numbers and as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_wbc.files.atomic import write_text
from napari_wbc.measure.plots import write_figure
from napari_wbc.train.run import measure_name


def write_curves(out: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write ``history.json`` and ``curves.png``: losses on the left, validation on the right.

    ``history`` has the values of each epoch; those whose names begin with ``val_`` or end with
    ``accuracy`` are measures from 0 to 1, the others losses.
    """
    from matplotlib.figure import Figure

    write_text(out / "history.json", json.dumps(list(history), indent=1) + "\n")
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    for name in [key for key in history[-1] if key != "epoch"]:
        axis = right if name.startswith("val_") or name.endswith("accuracy") else left
        axis.plot(epochs, [epoch[name] for epoch in history], marker=".", label=measure_name(name))
    left.set(xlabel="epoch", ylabel="error", ylim=(0, None))
    right.set(xlabel="epoch", ylabel="accuracy or precision", ylim=(0, 1))
    for axis in (left, right):
        if axis.lines:
            axis.legend(fontsize="small")
        axis.grid(alpha=0.3)
    write_figure(out / "curves.png", figure)
