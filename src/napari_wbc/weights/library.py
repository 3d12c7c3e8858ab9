"""A folder of a person's own models beside the shipped ones: whose child each is, and which is in use.

Invariant: nothing is ever lost. What is in use follows from ``adopted.json``, to which adoptions
and roll-backs are only appended; a removed model is moved to the folder ``removed``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from napari_wbc.errors import WeightsError
from napari_wbc.model.step import now
from napari_wbc.weights.adopted import Adoption, append_adoption, read_history, standing
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.registry import (
    DEFAULT_CLASSIFIER,
    DEFAULT_DETECTOR,
    find_weights,
    models_folder,
    shipped_weights,
)
from napari_wbc.weights.store import read_card, read_model, write_model

__all__ = ["KINDS", "Library", "Model", "adopted_classifier", "parent_in", "parent_of"]

KINDS = {"classifier": DEFAULT_CLASSIFIER, "detector": DEFAULT_DETECTOR}
"""What is in use of each kind before anything is adopted."""
RECORD = "adopted.json"
PATIENCE = 10
"""Seconds that another program may take."""
_SHA = re.compile(r"(?:^|\()([0-9a-f]{8,64})\)?$")
"""A sha256, or the end of a model id."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a library; its weights are not loaded.

    Parameters
    ----------
    path : Path
        Of the file.
    card : ModelCard or None
        None where it cannot be read.
    parent : str
        What :func:`parent_of` says; the library may lack that model.
    shipped : bool
        Comes with the package, and cannot be removed.
    damaged : str
        What is wrong with it, '' for nothing that is seen without reading all of the weights.
    """

    path: Path
    card: ModelCard | None
    parent: str = ""
    shipped: bool = False
    damaged: str = ""

    @property
    def name(self) -> str:
        """Of the file, by which weights are found."""
        return self.path.stem

    @property
    def kind(self) -> str:
        """``classifier``, ``detector``, or '' without a card."""
        return self.card.kind if self.card else ""

    @property
    def weights(self) -> str:
        """As :func:`~napari_wbc.weights.registry.find_weights` takes it: a shipped name, or else a path."""
        return self.name if self.shipped else str(self.path)


class Library:
    """The models of a folder, and the shipped ones.

    Parameters
    ----------
    folder : str or Path, optional
        Need not exist yet; the person's own by default, see
        :func:`~napari_wbc.weights.registry.models_folder`.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = models_folder() if folder is None else Path(folder)

    def models(self) -> tuple[Model, ...]:
        """All models, the shipped ones first; a damaged one says what is wrong with it."""
        shipped = (_model(find_weights(name), shipped=True) for name in shipped_weights())
        own = (_model(path) for path in sorted(self.folder.glob("*.safetensors")))
        return (*shipped, *own)

    def find(self, name: str) -> Model:
        """A model by its name, as weights are found, or else by the path of its weights.

        Raises
        ------
        WeightsError
            If there is none.
        """
        models = self.models()
        for model in models:
            if name in (model.name, str(model.path)):
                return model
        known = ", ".join(model.name for model in models)
        raise WeightsError(f"{self.folder}: no model {name!r}; choose one of: {known or 'none'}.")

    def lineage(self, model: Model) -> tuple[Model, ...]:
        """The ancestors of a model that are in the library, the oldest first."""
        models, found = self.models(), [model]
        while (parent := parent_in(models, found[0])) and parent not in found:
            found.insert(0, parent)
        return tuple(found[:-1])

    def children(self, model: Model) -> tuple[Model, ...]:
        """The models that were made from this one."""
        models = self.models()
        return tuple(one for one in models if parent_in(models, one) == model)

    def adopted(self, kind: str) -> Model:
        """The model in use; the shipped one where that has gone, see :meth:`note`.

        Parameters
        ----------
        kind : str
            ``classifier`` or ``detector``.

        Raises
        ------
        WeightsError
            If the record of what is in use is damaged.
        """
        stack = standing(self.history(kind))
        return (self._usable(stack[-1]) if stack else None) or _default(kind)

    def note(self, kind: str) -> str:
        """Why the shipped model stands in for the adopted one, '' where it does not.

        Raises
        ------
        WeightsError
            As :meth:`adopted`.
        """
        stack = standing(self.history(kind))
        if not stack or self._usable(stack[-1]):
            return ""
        return (
            f"{stack[-1].model_id} was adopted but is missing from {self.folder} or damaged; "
            f"the shipped {KINDS[kind]} stands in. Adopt another model, or put it back."
        )

    def history(self, kind: str) -> tuple[Adoption, ...]:
        """All that came into use, the earliest first.

        Raises
        ------
        WeightsError
            As :meth:`adopted`.
        """
        if kind not in KINDS:
            raise WeightsError(
                f"Unknown kind of model {kind!r}; choose one of: {', '.join(KINDS)}."
            )
        return read_history(self._record, kind)

    def adopt(self, model: Model, why: str = "") -> None:
        """Take a model into use; nothing is written where it is in use.

        Parameters
        ----------
        model : Model
            Of this library.
        why : str
            For the history.

        Raises
        ------
        WeightsError
            If the model is damaged or of no library, or this cannot be written down.
        """
        card = self._checked(model)
        with self._locked():
            stack = standing(self.history(model.kind))
            before = (stack[-1].sha256, stack[-1].file) if stack else None
            if before == (card.sha256, model.path.name) or (
                not stack and model.path == _default(model.kind).path
            ):
                return
            self._append(model, why)

    def roll_back(self, kind: str) -> Model:
        """Return to what was in use before; adoptions of models that have gone are passed over.

        Parameters
        ----------
        kind : str
            ``classifier`` or ``detector``.

        Returns
        -------
        Model
            Now in use.

        Raises
        ------
        WeightsError
            If nothing was adopted, or this cannot be written down.
        """
        with self._locked():
            stack = standing(self.history(kind))
            if not stack:
                raise WeightsError(
                    f"No {kind} was adopted before; the shipped {KINDS[kind]} is in use."
                )
            earlier = (
                (n, self._usable(one)) for n, one in enumerate(reversed(stack[:-1]), start=1)
            )
            there = ((n, model) for n, model in earlier if model)
            back, model = next(there, (len(stack), _default(kind)))
            self._append(model, "rolled back", back)
        return model

    def add(self, path: str | Path) -> Model:
        """Copy a model into the library, under another name where its own is taken.

        Parameters
        ----------
        path : str or Path
            ``NAME.safetensors`` or ``NAME.wbcmodel``, also of an older version; it may be a
            stranger's.

        Returns
        -------
        Model
            In the library; a model that is in it already is not copied again.

        Raises
        ------
        WeightsError
            If it is damaged or no model, or cannot be copied.
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
        return _model(new)

    def remove(self, model: Model, *, force: bool = False) -> Path:
        """Move a model to the folder ``removed``.

        Parameters
        ----------
        model : Model
            Of this library.
        force : bool
            Though others descend from it.

        Returns
        -------
        Path
            Where its weights are now.

        Raises
        ------
        WeightsError
            If it is shipped or in use, others descend from it, or it cannot be moved.
        """
        if model.shipped:
            raise WeightsError(f"{model.name} comes with the package and cannot be removed.")
        with self._locked():
            if model.path not in (one.path for one in self.models()):
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
            folder = self.folder / "removed"
            folder.mkdir(exist_ok=True)
            taken = {path.stem.casefold() for path in folder.iterdir()}
            new = folder / f"{_free(model.name, taken)}.safetensors"
            model.path.rename(new)
            # An older version wrote the card beside the weights; a model may be called "adopted".
            card = model.path.with_suffix(".json")
            if card.is_file() and card != self._record:
                card.rename(new.with_suffix(".json"))
        return new

    @property
    def _record(self) -> Path:
        return self.folder / RECORD

    def _checked(self, model: Model) -> ModelCard:
        """The card of a model of this library, once all of its weights are read and found sound."""
        if model.damaged:
            raise WeightsError(f"{model.name} is damaged and cannot be used: {model.damaged}")
        if not model.shipped and model.path.parent != self.folder:
            raise WeightsError(f"{model.path}: not in the library {self.folder}; add it first.")
        return read_model(model.path)[2]

    def _usable(self, adoption: Adoption) -> Model | None:
        """The adopted model, or another file of its weights; None where they are gone or damaged."""
        same = [
            one
            for one in self.models()
            if one.card and one.card.sha256 == adoption.sha256 and not one.damaged
        ]
        return next(
            (one for one in same if one.path.name == adoption.file), same[0] if same else None
        )

    def _append(self, model: Model, why: str, back: int = 0) -> None:
        """Only under the lock."""
        assert model.card is not None
        card = model.card
        one = Adoption(now(), card.sha256, card.model_id, model.path.name, why, back)
        append_adoption(self._record, model.kind, one)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other program change the folder meanwhile."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f".{RECORD}.lock", timeout=PATIENCE):
                yield
        except Timeout as error:
            raise WeightsError(
                f"{self.folder}: another program is changing it; try again."
            ) from error
        except OSError as error:
            raise WeightsError(
                f"{self.folder}: cannot be written ({error.strerror or error}); choose another folder by "
                "NAPARI_WBC_MODELS, or make room."
            ) from error


def parent_of(card: ModelCard) -> str:
    """The sha256 of the model that this one was made from, or the first of it; '' for none.

    Examples
    --------
    >>> start = {"recipe": {"start": "cdnn 3 (f12d36c1)"}}
    >>> parent_of(ModelCard("mine", "1", "cdnn", ("a", "b"), {}, provenance=start))
    'f12d36c1'
    """
    known = card.provenance if isinstance(card.provenance, dict) else {}  # a card may be anybody's
    adapted = known.get("adapted")  # after all else: it keeps what the card said before
    last = adapted[-1] if isinstance(adapted, list) and adapted else adapted
    for told, key in (
        (last, "from"),
        (known.get("parent"), "sha256"),
        (known.get("recipe"), "start"),
    ):
        said = told.get(key) if isinstance(told, dict) else None
        if isinstance(said, str) and (found := _SHA.search(said)):
            return found[1]
    return ""


def parent_in(models: Sequence[Model], model: Model) -> Model | None:
    """The parent of a model, None where it has none among the given."""
    own = model.card.sha256 if model.card else ""
    for one in models:
        sha = one.card.sha256 if one.card else ""
        if model.parent and sha.startswith(model.parent) and sha != own:
            return one
    return None


def adopted_classifier() -> str:
    """Name or path of the classifier in use, from the person's own library.

    Raises
    ------
    WeightsError
        If the record of what is in use is damaged.
    """
    return Library().adopted("classifier").weights


def _model(path: Path, *, shipped: bool = False) -> Model:
    from safetensors import SafetensorError, safe_open

    card = None
    try:
        card = read_card(path)
        with safe_open(
            path, framework="numpy"
        ):  # the header, and whether the file is as long as it says
            return Model(path, card, parent_of(card), shipped)
    except WeightsError as error:
        return Model(path, None, "", shipped, str(error))
    except (SafetensorError, OSError) as error:
        assert card is not None
        said = f"{path}: not readable safetensors ({error}); copy it again."
        return Model(path, card, parent_of(card), shipped, said)


def _default(kind: str) -> Model:
    return _model(find_weights(KINDS[kind]), shipped=True)


def _free(name: str, taken: set[str]) -> str:
    """The name, or the first of NAME-2, NAME-3, ... that is not taken."""
    free, i = name, 1
    while free.casefold() in taken:
        i += 1
        free = f"{name}-{i}"
    return free
