"""A folder of a person's own models beside the shipped ones, and which of them is in use.

Invariant: nothing is ever lost. What is in use follows from ``adopted.json``, to which adoptions
and roll-backs are only appended; a removed model is moved to the folder ``removed``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from napari_wbc.errors import WeightsError
from napari_wbc.files.atomic import all_or_nothing, missing_folders
from napari_wbc.files.locks import held
from napari_wbc.model.step import now
from napari_wbc.weights.adopted import Adoption, append_adoption, read_history, standing
from napari_wbc.weights.model import KINDS, Model, default_model, model_at, parent_in
from napari_wbc.weights.registry import find_weights, models_folder, shipped_weights
from napari_wbc.weights.store import read_model, write_model

RECORD = "adopted.json"
MAX_WAIT = 10
"""Seconds that another program may take to change the library."""


class Library:
    """The models of a folder, and the shipped ones; a kind is ``classifier`` or ``detector``.

    Parameters
    ----------
    folder : str or Path, optional
        Need not exist yet; the person's own by default, see
        :func:`~napari_wbc.weights.registry.models_folder`.

    Raises
    ------
    WeightsError
        By any method, if a model or the record of what is in use is damaged or missing, or the
        folder cannot be written to.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = models_folder() if folder is None else Path(folder)

    def models(self) -> tuple[Model, ...]:
        """All models, the shipped ones first; a damaged one says what is wrong with it."""
        models = [model_at(find_weights(name), shipped=True) for name in shipped_weights()]
        models += map(model_at, sorted(self.folder.glob("*.safetensors")))
        return tuple(models)

    def find(self, name: str) -> Model:
        """A model by its name, as weights are found, or else by the path of its weights."""
        models = self.models()
        for model in models:
            if name in (model.name, str(model.path)):
                return model
        names = ", ".join(model.name for model in models)
        raise WeightsError(f"{self.folder}: no model {name!r}; choose one of: {names or 'none'}.")

    def children(self, model: Model) -> tuple[Model, ...]:
        """The models that were made from this one."""
        models = self.models()
        return tuple(child for child in models if parent_in(models, child) == model)

    def adopted(self, kind: str) -> Model:
        """The model in use; the shipped one where that has gone, see :meth:`note`."""
        stack = standing(self.history(kind))
        return (self._usable(stack[-1]) if stack else None) or default_model(kind)

    def note(self, kind: str) -> str:
        """Why the shipped model stands in for the adopted one, '' where it does not."""
        stack = standing(self.history(kind))
        if not stack or self._usable(stack[-1]):
            return ""
        return (
            f"{stack[-1].model_id} was adopted but is missing from {self.folder} or damaged; "
            f"the shipped {KINDS[kind]} stands in. Adopt another model, or put it back."
        )

    def history(self, kind: str) -> tuple[Adoption, ...]:
        """All that came into use, the earliest first."""
        if kind not in KINDS:
            names = ", ".join(KINDS)
            raise WeightsError(f"Unknown kind of model {kind!r}; choose one of: {names}.")
        return read_history(self._record, kind)

    def adopt(self, model: Model, why: str = "") -> None:
        """Take a model of this library into use; nothing is written where it is in use.

        The reason is kept in the history.
        """
        if model.damaged:
            raise WeightsError(f"{model.name} is damaged and cannot be used: {model.damaged}")
        if not model.shipped and model.path.parent != self.folder:
            raise WeightsError(f"{model.path}: not in the library {self.folder}; add it first.")
        # All of the weights are read, and found sound.
        card = read_model(model.path)[2]
        with self._locked():
            stack = standing(self.history(model.kind))
            if stack:
                in_use = (stack[-1].sha256, stack[-1].file) == (card.sha256, model.path.name)
            else:
                in_use = model.path == default_model(model.kind).path
            if not in_use:
                self._append(model, why)

    def roll_back(self, kind: str) -> Model:
        """Return to the model in use before; adoptions of models that have gone are passed over."""
        with self._locked():
            stack = standing(self.history(kind))
            if not stack:
                raise WeightsError(
                    f"No {kind} was adopted before; the shipped {KINDS[kind]} is in use."
                )
            earlier = None
            back = 0
            while back < len(stack) and earlier is None:
                back += 1
                earlier = self._usable(stack[-1 - back]) if back < len(stack) else None
            model = earlier or default_model(kind)
            self._append(model, "rolled back", back)
        return model

    def add(self, path: str | Path) -> Model:
        """Copy a model into the library, under another name where its own is taken.

        It is ``NAME.safetensors`` or ``NAME.wbcmodel``, also of an older version; it may be a
        stranger's. A model that is in the library already is not copied again.
        """
        path = Path(path)
        weights, text, card = read_model(path)
        with self._locked():
            models = self.models()
            for model in models:
                if model.card == card and not model.damaged:
                    return model
            taken = {model.name.casefold() for model in models}
            new = self.folder / f"{_free(path.stem, taken)}.safetensors"
            write_model(new, weights, text)
        return model_at(new)

    def remove(self, model: Model, *, force: bool = False) -> Path:
        """Move a model of this library to the folder ``removed``, and return where it is now.

        One that is shipped or in use stays; one that others descend from goes by force only.
        """
        if model.shipped:
            raise WeightsError(f"{model.name} comes with the package and cannot be removed.")
        with self._locked():
            if model.path not in [listed.path for listed in self.models()]:
                raise WeightsError(
                    f"{model.path}: no model of {self.folder}; there is nothing to remove."
                )
            if model.kind and self.adopted(model.kind).path == model.path:
                raise WeightsError(
                    f"{model.name} is in use; roll back or adopt another model first."
                )
            if not force and (children := self.children(model)):
                names = ", ".join(child.name for child in children)
                raise WeightsError(
                    f"{names} descend from {model.name}; keep it, or remove it by force."
                )
            return self._moved_out(model)

    def _moved_out(self, model: Model) -> Path:
        """Only under the lock."""
        folder = self.folder / "removed"
        with all_or_nothing() as made:
            made.extend(missing_folders(folder))
            folder.mkdir(exist_ok=True)
            taken = {path.stem.casefold() for path in folder.iterdir()}
            new = folder / f"{_free(model.name, taken)}.safetensors"
            model.path.rename(new)
            # An older version wrote the card beside the weights; a model may be called "adopted".
            card = model.path.with_suffix(".json")
            try:
                if card.is_file() and card != self._record:
                    card.rename(new.with_suffix(".json"))
            except OSError:
                new.rename(model.path)
                raise
        return new

    @property
    def _record(self) -> Path:
        return self.folder / RECORD

    def _usable(self, adoption: Adoption) -> Model | None:
        """The adopted model, or another file of its weights; None if gone or damaged."""
        other_file = None
        for model in self.models():
            if model.card and model.card.sha256 == adoption.sha256 and not model.damaged:
                # Models of the same weights and another card differ by their file only.
                if model.path.name == adoption.file:
                    return model
                other_file = other_file or model
        return other_file

    def _append(self, model: Model, why: str, back: int = 0) -> None:
        """Only under the lock."""
        assert model.card is not None
        card = model.card
        adoption = Adoption(now(), card.sha256, card.model_id, model.path.name, why, back)
        append_adoption(self._record, model.kind, adoption)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other program change the folder meanwhile."""
        try:
            with all_or_nothing() as made:
                made.extend(missing_folders(self.folder))
                self.folder.mkdir(parents=True, exist_ok=True)
                with held(self.folder / f".{RECORD}.lock", MAX_WAIT):
                    yield
        except Timeout as error:
            raise WeightsError(
                f"{self.folder}: another program is changing it; try again."
            ) from error
        except OSError as error:
            raise WeightsError(
                f"{self.folder}: cannot be written ({error.strerror or error}); choose another "
                "folder by NAPARI_WBC_MODELS, or make room."
            ) from error


def adopted_classifier() -> str:
    """Name or path of the classifier in use, from the person's own library."""
    return Library().adopted("classifier").weights


def _free(name: str, taken: set[str]) -> str:
    """The name, or the first of NAME-2, NAME-3, ... that is not taken."""
    free = name
    number = 1
    # Windows and macOS take names that differ in case only for the same file.
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    return free
