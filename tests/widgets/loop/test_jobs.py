"""Jobs of the panel *Train* that read whole weights."""

from __future__ import annotations

from types import SimpleNamespace

from napari_wbc.model.progress import Progress
from napari_wbc.widgets.loop.jobs import added_steps, adopt_steps


class Models:
    """Notes what a library is asked for."""

    def __init__(self):
        self.calls = []

    def add(self, weights):
        self.calls.append(("add", weights))
        return "model"

    def find(self, name):
        return f"found {name}"

    def adopt(self, model, why):
        self.calls.append(("adopt", model, why))


def ended(steps):
    """The steps of a job, and its result."""
    progress = []
    while True:
        try:
            progress.append(next(steps))
        except StopIteration as end:
            return progress, end.value


def trained_steps():
    yield Progress("training", 1, 1)
    return SimpleNamespace(weights="new.safetensors")


def test_a_model_is_added_after_its_training():
    models = Models()
    progress, (trained, model) = ended(added_steps(trained_steps(), models))
    assert [step.step for step in progress] == ["training", "adding the model to your library"]
    assert (trained.weights, model) == ("new.safetensors", "model")
    assert models.calls == [("add", "new.safetensors")]


def test_a_model_is_adopted_with_the_reason():
    models = Models()
    assert ended(adopt_steps(models, "new", "better"))[1] == "new"
    assert models.calls == [("adopt", "found new", "better")]
