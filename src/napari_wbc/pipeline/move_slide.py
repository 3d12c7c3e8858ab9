"""A slide of a training set moves to another split, with all its images, and stays there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledField
from napari_wbc.pipeline.round_before import round_before_steps
from napari_wbc.pipeline.set_summary import set_summary
from napari_wbc.pipeline.training_sets import ExportedSet, made_now, write_fields_steps
from napari_wbc.storage.formats.manifest import MANIFEST, listed_fields
from napari_wbc.storage.sets import rounds_of
from napari_wbc.weights.card import training_images
from napari_wbc.weights.library import Library


def move_slide_steps(
    folder: str | Path, slide: str, split: str, *, models: Library | None = None
) -> Steps[ExportedSet]:
    """Write a round in which a slide is in another split, with all its images, and stays there.

    Parameters
    ----------
    split : {"train", "val", "test"}
    models : Library, optional
        Whose models must not have been trained or chosen on the slide, as far as their cards tell;
        the user's library where None.

    Raises
    ------
    WbcError
        If the set has no such slide, it is in that split already, a model was trained on it, or the
        round cannot be written. The set is then as it was.
    """
    folder = Path(folder)
    newest = _checked(folder, slide, split)
    images = yield from _images_of_steps(folder, slide)
    for model in (models or Library()).models():
        yield Progress("looking for models that know the slide", 0, 0)
        if model.card and images & training_images(model.card):
            raise WbcError(
                f"{slide} stays where it is, since {model.name} was trained on it; "
                "move a slide that no model has used."
            )
    _fields, made = listed_fields(newest)
    written_as = str(made.get("written_as", "wbc"))
    before = yield from round_before_steps(folder, written_as)
    splits: set[str] = set()
    fields: list[LabelledField] = []
    for labelled in before.fields:
        if labelled.slide == slide:
            splits.add(labelled.split)
            fields.append(replace(labelled, split=split))
        else:
            fields.append(labelled)
    if splits == {split} == {before.slides.get(slide)}:
        raise WbcError(f"{slide} is in {split} already; choose another split for it.")
    # Images that the slide had in earlier rounds go along, or they would come back where they were.
    gone = before.gone(fields)
    gone |= dict.fromkeys(gone.keys() & images, split)
    made = {
        **before.made,
        **made_now(),
        "slides": {**before.slides, slide: split},
        "moved": {**before.moved, slide: split},
        "gone": gone,
    }
    return (yield from write_fields_steps(folder, fields, before.classes, written_as, made))


def _checked(folder: Path, slide: str, split: str) -> Path:
    """The newest round of a set, after refusing a split or a slide that there is not."""
    if split not in SPLITS:
        raise WbcError(f"No split {split!r}; choose {', '.join(SPLITS)}.")
    summary = set_summary(folder)
    if summary.folder is None:
        raise WbcError(
            f"{folder}: no training set that napari-wbc wrote; add reviewed cells first."
        )
    names = [existing.name for existing in summary.slides if existing.name]
    if slide not in names:
        raise WbcError(
            f"{folder}: no slide {slide!r} in this set; it has: {', '.join(names) or 'none'}."
        )
    return summary.folder


def _images_of_steps(folder: Path, slide: str) -> Steps[frozenset[str]]:
    """sha256 of the images that a slide has or had in any round of a set."""
    images: set[str] = set()
    rounds = rounds_of(folder)
    for done, round_folder in enumerate(rounds, start=1):
        yield Progress("reading labels", done, len(rounds))
        # An old round may have been deleted in part.
        if (round_folder / MANIFEST).is_file():
            fields, _made = listed_fields(round_folder)
            images |= {listed.sha256 for listed in fields if listed.slide == slide}
    return frozenset(images - {""})
