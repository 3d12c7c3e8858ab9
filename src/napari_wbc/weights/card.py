"""The model card: all that is needed to use weights, and to judge them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from napari_wbc.errors import WbcError, WeightsError
from napari_wbc.model.taxonomy import TAXONOMIES, Taxonomy
from napari_wbc.model.taxonomy_dict import taxonomy_from_dict, taxonomy_of_names

RESEARCH_USE = "Research use only. Not for diagnosis."
_SHA256 = re.compile(r"(?:^|\()([0-9a-f]{8,64})\)?$")
"""A sha256, or the first of one at the end of a model id."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a set of weights is.

    Parameters
    ----------
    name, version : str
        Together they name the weights in every result.
    architecture : str
        Name in the registry of networks.
    classes : tuple of str
        Class names in the order of the outputs.
    preset : dict
        Preprocessing, as keyword arguments of :class:`~napari_wbc.classify.preset.Preset`.
    temperature : float
        Divides the logits, so that probabilities are calibrated.
    threshold : float
        Confidence below which a cell is unidentified, 0 to 1.
    parameters : int
        Number of trained numbers.
    sha256 : str
        Of the weights: of the model file without its card.
    provenance : dict
        Data, splits, hashes, seed, versions, command.
    metrics : dict
        What was measured, by data set.
    taxonomy : dict, optional
        Of the classes, as :meth:`~napari_wbc.model.taxonomy.Taxonomy.to_dict` gives it; see
        :func:`taxonomy_of`.
    mode : str
        What the outputs mean, see :mod:`napari_wbc.classify.modes`.
    foreign_threshold : float
        The threshold on slides whose stain the model does not know
        (:mod:`napari_wbc.model.stain_alarm`), where it is higher.
    """

    name: str
    version: str
    architecture: str
    classes: tuple[str, ...]
    preset: dict[str, Any]
    temperature: float = 1.0
    threshold: float = 0.5
    parameters: int = 0
    sha256: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    taxonomy: dict[str, Any] | None = None
    mode: str = "softmax"
    foreign_threshold: float = 0.0

    def __post_init__(self) -> None:
        if not self.classes or not all(isinstance(name, str) for name in self.classes):
            raise WeightsError(f"Model card {self.name!r} names no classes.")
        if len(set(self.classes)) != len(self.classes):
            raise WeightsError(f"Model card {self.name!r} names a class twice.")
        texts = (self.name, self.version, self.architecture, self.sha256, self.mode)
        if not all(isinstance(text, str) for text in texts):
            raise WeightsError(
                "A model card's name, version, architecture, sha256 and mode are texts; use the "
                "card saved with the weights."
            )
        thresholds = 0 <= self.threshold <= 1 and 0 <= self.foreign_threshold <= 1
        if not 0 < self.temperature < float("inf") or not thresholds:
            raise WeightsError(
                f"Model card {self.name!r} has temperature {self.temperature} and thresholds "
                f"{self.threshold} and {self.foreign_threshold}; expected one above 0, and two "
                "from 0 to 1."
            )
        if self.taxonomy is not None and taxonomy_of(self).names != self.classes:
            raise WeightsError(
                f"Model card {self.name!r} has the classes {', '.join(self.classes)} and a "
                f"taxonomy of {', '.join(taxonomy_of(self).names)}; use the card saved with the "
                "weights."
            )

    @property
    def model_id(self) -> str:
        """Name, version and the first of the hash."""
        return f"{self.name} {self.version} ({self.sha256[:8]})"

    @property
    def kind(self) -> str:
        """``detector`` or ``classifier``."""
        return "detector" if self.architecture.startswith("mask-rcnn/") else "classifier"

    def to_json(self) -> str:
        """The card as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card; a :class:`WeightsError` if the text is none."""
        try:
            data = json.loads(text)
            # What a newer version wrote beside these is passed over.
            values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
            values["classes"] = tuple(values["classes"])
            values["preset"] = dict(values["preset"])
            return cls(**values)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise WeightsError(
                f"This is not a model card ({error}); use the card saved with the weights."
            ) from error


def taxonomy_of(card: ModelCard) -> Taxonomy:
    """The taxonomy of a model's classes, in the order of its outputs.

    It is the card's own, or else the built-in one of just these classes, or else one made of
    their names, with the built-in keys, colours and places where they have any.

    Raises
    ------
    WeightsError
        If the card holds something else in its place, or its class names make no taxonomy.
    """
    try:
        if card.taxonomy is not None:
            return taxonomy_from_dict(card.taxonomy)
        # Cards of the first versions name classes only, most often those of a built-in taxonomy.
        for built_in in TAXONOMIES.values():
            if built_in.names == card.classes:
                return built_in
        return taxonomy_of_names(f"classes of {card.name}", card.classes)
    except WbcError as error:
        raise WeightsError(f"Model card {card.name!r}: {error}") from error


def recipe_of(card: ModelCard) -> dict[str, Any]:
    """The recipe that a model was trained by, as far as its card tells.

    A card may be anybody's: none of its values need be of the type that ours have.
    """
    recipe = _provenance(card).get("recipe")
    return recipe if isinstance(recipe, dict) else {}


def is_without_muon(card: ModelCard) -> bool:
    """Whether AdamW alone trained a model: Muon would tear such weights apart."""
    return recipe_of(card).get("matrix_rate") == 0


def parent_of(card: ModelCard) -> str:
    """The sha256 of the model that this one was made from, or the first of it; '' for none.

    Examples
    --------
    >>> start = {"recipe": {"start": "cdnn 3 (f12d36c1)"}}
    >>> parent_of(ModelCard("mine", "1", "cdnn", ("a", "b"), {}, provenance=start))
    'f12d36c1'
    """
    provenance = _provenance(card)
    adapted = provenance.get("adapted")
    last = adapted[-1] if isinstance(adapted, list) and adapted else adapted
    # Adaptation comes after all training, and keeps what the card said before.
    places = {"from": last}
    places |= {"sha256": provenance.get("parent"), "start": provenance.get("recipe")}
    for key, place in places.items():
        text = place.get(key) if isinstance(place, dict) else None
        if isinstance(text, str) and (match := _SHA256.search(text)):
            return match[1]
    return ""


def training_images(card: ModelCard) -> frozenset[str]:
    """sha256 of the images that weights were trained or chosen on, as far as their card says."""
    images = _provenance(card).get("training_images")
    images = images if isinstance(images, list | tuple) else ()
    return frozenset(image for image in images if isinstance(image, str))


def _provenance(card: ModelCard) -> dict[str, Any]:
    # A card may be a stranger's file, in which anything can stand here.
    return card.provenance if isinstance(card.provenance, dict) else {}
