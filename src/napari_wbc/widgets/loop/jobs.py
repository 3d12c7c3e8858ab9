"""Jobs of the panel *Train*, each a generator for a thread.

Invariant: what is heavy is imported in the job, so that the window opens without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.weights.library import Library
from napari_wbc.weights.model import Model
from napari_wbc.weights.registry import find_weights
from napari_wbc.weights.store import read_card

if TYPE_CHECKING:
    from napari_wbc.measure.comparison import Comparison
    from napari_wbc.pipeline.set_summary import SetSummary
    from napari_wbc.train.run import Trained


def added_steps(steps: Steps[Any], library: Library) -> Steps[tuple[Any, Model]]:
    """Train a model, then copy it into the library, which reads the whole file."""
    trained = yield from steps
    yield Progress("adding the model to your library", 0, 0)
    return trained, library.add(trained.weights)


def tuned_steps(
    sets: list[Path], runs: Path, start: str, old: list[str], names: Sequence[str], *, freeze: bool
) -> Steps[Trained]:
    """Fine-tune a classifier; classes that only the training sets have are added."""
    yield Progress("reading labels", 0, 0)
    from napari_wbc.pipeline.finetune import finetune_steps, run_folder_steps

    existing = {name.casefold() for name in read_card(find_weights(start)).classes}
    fresh = [name for name in names if name.casefold() not in existing]
    folder = yield from run_folder_steps(runs, sets, start, old, new_classes=fresh, freeze=freeze)
    steps = finetune_steps(
        sets, folder, start=start, old=old, new_classes=fresh, only_seen=True, freeze=freeze
    )
    return (yield from steps)


def tuned_detector_steps(
    sets: list[Path], runs: Path, start: str, old: list[str]
) -> Steps[Trained]:
    """Fine-tuning of a detector."""
    yield Progress("reading labels", 0, 0)
    from napari_wbc.pipeline.finetune import run_folder_steps
    from napari_wbc.pipeline.finetune_detector import finetune_detector_steps

    folder = yield from run_folder_steps(runs, sets, start, old)
    return (yield from finetune_detector_steps(sets, folder, start=start, old=old))


def summaries_steps(
    folder: Path, old: list[str], library: Library, *, detector: bool
) -> Steps[tuple[dict[str, SetSummary], str]]:
    """What sets hold, by their path, and why no model can learn from them; empty where one can."""
    yield Progress("reading the sets", 0, 1)
    from napari_wbc.pipeline.set_summary import ready_steps, set_summary

    models = library.models()
    summaries: dict[str, SetSummary] = {}
    for path in (str(folder), *old):
        summaries[path] = set_summary(path, models)
        yield Progress("reading the sets", len(summaries), 1 + len(old))
    try:
        why = yield from ready_steps([folder, *old], detector=detector)
    # What the other sets hold is shown all the same.
    except WbcError as error:
        why = str(error)
    return summaries, why


def adopt_steps(library: Library, model: str, why: str) -> Steps[str]:
    """Take a model into use, which reads the whole file."""
    yield Progress("adopting the model", 0, 1)
    library.adopt(library.find(model), why=why)
    return model


def compared_steps(sets: list[str | Path], old: str, new: str) -> Steps[tuple[Comparison, bytes]]:
    """A comparison, and both confusion matrices as PNG, drawn outside the GUI thread."""
    from napari_wbc.measure.comparison_plots import draw_pictures
    from napari_wbc.pipeline.compare import compare_steps

    yield Progress("comparing", 0, 0)
    comparison = yield from compare_steps(sets, old, new)
    yield Progress("drawing", 0, 0)
    return comparison, draw_pictures(comparison)["confusion"]
