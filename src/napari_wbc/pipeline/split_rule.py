"""Which split each slide of a project or a training set is in.

Invariant: a slide that was ever held out stays so, unless a person moves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_wbc.model.split import BY_SLIDE, farthest, split_of, splits_told
from napari_wbc.model.training_set import LabelledField
from napari_wbc.pipeline.round_before import RoundBefore
from napari_wbc.storage.sets import SetContent
from napari_wbc.storage.workspace import Workspace

SPLIT_KEY = "splits"
"""Key of a project's splits of the slides that came with one."""


def splits_of(workspace: Workspace) -> dict[str, str]:
    """The splits of the slides of a project that came with them from a training set."""
    return splits_told(workspace.get(SPLIT_KEY))


def has_splits(content: SetContent) -> bool:
    """Whether the splits of a set mean something: it is ours, or not all of it is for training."""
    return bool(content.made) or {labelled.split for labelled in content.fields} != {"train"}


def exported_splits(
    before: RoundBefore,
    came_with: Iterable[Mapping[str, str]],
    fields: Sequence[LabelledField],
    split: str,
) -> dict[str, str]:
    """The split of each slide that a set had or has.

    Parameters
    ----------
    before : RoundBefore
    came_with : iterable of mapping
        By project, the splits of the slides that were imported with one.
    fields : sequence of LabelledField
        Of the new round.
    split : str
        Of new slides, or ``by-slide``.
    """
    imported: dict[str, str] = {}
    for splits_of_project in came_with:
        for name, own in splits_of_project.items():
            imported[name] = farthest(own, imported.get(name, ""))
    splits = dict(before.slides)
    new: list[str] = []
    for name in dict.fromkeys(labelled.slide for labelled in fields):
        # A person's word comes first; then a slide that was ever held out stays so.
        existing = before.moved.get(name) or farthest(
            before.slides.get(name, ""), imported.get(name, "")
        )
        splits[name] = existing or (split_of(name) if split == BY_SLIDE else split)
        if not existing:
            new.append(name)
    after = sided(fields, splits, before.images).values()
    # A set with nothing to learn from is of no use, whatever the name of its first slide says.
    learnt = any(labelled.split == "train" for labelled in (*before.fields, *after))
    if split == BY_SLIDE and not learnt:
        splits |= dict.fromkeys(new[:1], "train")
    return splits


def sided(
    fields: Iterable[LabelledField], splits: Mapping[str, str], images: Mapping[str, str]
) -> dict[str, LabelledField]:
    """The fields by their image, later ones in place of earlier ones, with their splits."""
    by_image: dict[str, LabelledField] = {}
    for labelled in fields:
        image = labelled.sha256
        copy = by_image.get(image)
        # An image keeps the split it had, or else takes the farthest of the slides that show it.
        split = images.get(image) or farthest(splits[labelled.slide], copy.split if copy else "")
        by_image[image] = replace(labelled, split=split)
    return by_image


def imported_splits(
    fields: Sequence[LabelledField], made: Mapping[str, Any], before: Mapping[str, str]
) -> dict[str, str]:
    """The split of each slide: the farthest from train of all that it ever came with."""
    of_slides = splits_told(made.get("slides"))
    splits = dict(before)
    for field in fields:
        # The slide's own split comes first: an image may keep another one.
        split = of_slides.get(field.slide, field.split)
        splits[field.slide] = farthest(split, splits.get(field.slide, ""))
    return splits
