"""The round of a training set before the one that is written: its fields and splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Steps
from napari_wbc.model.split import farthest, splits_told
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.manifest import Manifest, read_manifest_steps
from napari_wbc.storage.formats.registry import CROPS
from napari_wbc.storage.sets import newest_round, read_set_steps


@dataclass(frozen=True, slots=True)
class RoundBefore:
    """The round before, as another tool may have changed it."""

    fields: tuple[LabelledField, ...] = ()
    classes: tuple[str, ...] = ()
    slides: Mapping[str, str] = field(default_factory=dict)
    """Splits of the slides that any round had, also while they are out of the set."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Splits of the images that any round had, by sha256."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Splits of the slides that a person moved; these hold whatever comes in later."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Places of classes that are not among the leukocytes of a differential."""
    made: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest says of how the round was made."""

    def gone(self, fields: Iterable[LabelledField]) -> dict[str, str]:
        """Splits, by sha256, of the images that none of the fields shows."""
        gone = self.images.keys() - {labelled.sha256 for labelled in fields}
        return {sha256: self.images[sha256] for sha256 in sorted(gone)}


def round_before_steps(folder: Path, written_as: str) -> Steps[RoundBefore]:
    """Read the newest round of a set, to write another as ``written_as``; empty if there is none.

    Raises
    ------
    WbcError
        If the round is damaged, or holds crops and the new one would hold fields.
    """
    newest = newest_round(folder)
    if newest is None:
        return RoundBefore()
    manifest = yield from read_manifest_steps(newest)
    if manifest.made.get("written_as") != CROPS:
        content = yield from read_set_steps(newest)
        return _before(content.fields, content.classes, manifest)
    # Crops say nothing of their fields, so what is known of these is what the manifest lists.
    if written_as != CROPS:
        raise WbcError(
            f"{newest}: this set holds crops and no fields; choose another folder, or {CROPS}."
        )
    return _before(manifest.fields, manifest.classes, manifest)


def _before(
    fields: tuple[LabelledField, ...], classes: tuple[str, ...], manifest: Manifest
) -> RoundBefore:
    """The round of these fields, whose splits another tool may have changed since the manifest."""
    slides = splits_told(manifest.made.get("slides"))
    images = splits_told(manifest.made.get("gone"))
    moved = splits_told(manifest.made.get("moved"))
    written = {labelled.name: labelled.split for labelled in manifest.fields}
    changed: set[str] = set()
    of_images: dict[str, str] = {}
    for labelled in fields:
        if written.get(labelled.name) not in (None, labelled.split):
            changed.add(labelled.slide)
        of_images[labelled.slide] = farthest(labelled.split, of_images.get(labelled.slide, ""))
        images[labelled.sha256] = labelled.split
    # An image that keeps its split does not take its slide along, unless somebody changed it.
    for slide, split in of_images.items():
        if slide not in slides or slide in changed:
            slides[slide] = split
        if slide in changed:
            moved.pop(slide, None)
    places: dict[str, str] = {}
    # A file may be anybody's, so that nothing in it need be of the right type.
    if isinstance(told := manifest.made.get("places"), dict):
        places = {str(name): str(place) for name, place in told.items()}
    return RoundBefore(fields, classes, slides, images, moved, places, manifest.made)
