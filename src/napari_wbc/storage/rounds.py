"""Writing rounds of a training set: folders ``round-1``, ``round-2`` ... with a manifest each.

Invariant: a round appears whole, by one rename, or not at all, and is never written to again; so
weights can name what they were trained on, and an interrupted export leaves the rounds before it as
they were.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import Timeout
from PIL import Image

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import (
    all_or_nothing,
    make_folder,
    missing_folders,
    sha256_of,
    sync,
)
from napari_wbc.files.guard import inside, one_line
from napari_wbc.files.locks import held
from napari_wbc.files.metadata import is_strippable, without_metadata
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import SPLITS
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats import image_folder
from napari_wbc.storage.formats.manifest import read_manifest, write_manifest_steps
from napari_wbc.storage.formats.reading import check_names
from napari_wbc.storage.formats.registry import CROPS, FORMATS
from napari_wbc.storage.sets import newest_round

Pixels = Callable[[LabelledField], npt.NDArray[np.uint8]]
_PART = ".part"


def write_round_steps(
    folder: Path,
    fields: Sequence[LabelledField],
    classes: Sequence[str],
    *,
    written_as: str,
    made: Mapping[str, Any],
    pixels: Pixels,
    keep_metadata: bool = False,
) -> Steps[Path]:
    """Write the next round into the folder of a set, and return its own folder.

    Parameters
    ----------
    fields : sequence of LabelledField
        Their paths are where the images are now.
    written_as : str
        One of :data:`~napari_wbc.storage.formats.registry.FORMATS`.
    made : mapping
        Provenance, as JSON values.
    pixels : callable
        Pixels of a field, for a format that holds crops, and for images of kinds whose metadata
        cannot be left out otherwise.
    keep_metadata : bool
        Whether images are copied as they are. Else Exif, comments and texts are left out, in which
        names of patients may be, and kinds other than JPEG and PNG become PNG, 8-bit RGB as they
        are read; their fields have names that end in ``.png``. Images of the round before stay.

    Raises
    ------
    WbcError
        If there is no such format, a name is no line of text, the set is being written to by
        another program, or it cannot be written; there is no new round then.
    """
    if written_as not in FORMATS:
        raise WbcError(f"No format {written_as!r}; choose one of: {', '.join(FORMATS)}.")
    # What no reader takes would shut the set, with all rounds in it.
    for field in fields:
        check_names(field)
    try:
        with all_or_nothing() as fresh:
            fresh.extend(missing_folders(folder))
            make_folder(folder)
            with held(folder / ".lock"):
                return (
                    yield from _round_steps(
                        folder,
                        fields,
                        classes,
                        written_as=written_as,
                        made=made,
                        pixels=pixels,
                        keep_metadata=keep_metadata,
                    )
                )
    except Timeout as error:
        raise WbcError(
            f"{folder}: another export into this set is running; wait for it."
        ) from error
    except OSError as error:
        raise WbcError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another place."
        ) from error


def _round_steps(
    folder: Path,
    fields: Sequence[LabelledField],
    classes: Sequence[str],
    *,
    written_as: str,
    made: Mapping[str, Any],
    pixels: Pixels,
    keep_metadata: bool,
) -> Steps[Path]:
    part = folder / _PART
    # Of an export that was interrupted.
    shutil.rmtree(part, ignore_errors=True)
    before = newest_round(folder)
    number = int(before.name.removeprefix("round-")) + 1 if before else 1
    place = FORMATS[written_as].place
    try:
        part.mkdir()
        if written_as == CROPS:
            yield from _crops_steps(part, before, fields, pixels)
        else:
            taken = partial(_take_image, pixels=None if keep_metadata else pixels)
            yield from _images_steps(part, before, fields, place, taken)
        yield from FORMATS[written_as].write(part, fields, classes)
        made = {**made, "written_as": written_as}
        yield from write_manifest_steps(part, fields, classes, place=place, made=made)
        yield from _sync_steps(part)
        done = folder / f"round-{number}"
        part.rename(done)
        try:
            sync(folder)
        except OSError:
            done.rename(part)
            raise
        return done
    finally:
        # Also where the person cancels: the generator is closed then, and ends here.
        shutil.rmtree(part, ignore_errors=True)


def _crops_steps(
    part: Path, before: Path | None, fields: Sequence[LabelledField], pixels: Pixels
) -> Steps[None]:
    # Of what comes from the round before, the crops alone are in the set; the path of such a field
    # is the folder of the side that they had.
    for done, field in enumerate(fields, start=1):
        yield Progress("cutting crops", done, len(fields))
        if before is not None and field.path.parent == before and field.path.name in SPLITS:
            _take_crops(before, replace(field, split=field.path.name), field, part)
        else:
            image_folder.write_crops(part, field, pixels(field))
    image_folder.write_table(part, fields)


def _take_crops(before: Path, former: LabelledField, field: LabelledField, part: Path) -> None:
    """The crops of a field from where the round before had them."""
    places = zip(image_folder.crop_places(former), image_folder.crop_places(field), strict=True)
    for old, new in places:
        source = inside(before, old)
        target = part / new
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _link(source, target)
        except OSError as error:
            if os.access(source, os.R_OK):
                raise  # the disk is full, for instance
            raise ReadError(
                f"{source}: this crop cannot be copied ({error.strerror or error}); put it back."
            ) from error


def _images_steps(
    part: Path,
    before: Path | None,
    fields: Sequence[LabelledField],
    place: Callable[[LabelledField], str],
    take: Callable[[LabelledField, Path], None],
) -> Steps[None]:
    # Images of the round before: an unchanged one takes no room twice.
    earlier: dict[str, Path] = {}
    # A person may have deleted what is not needed of it; the images are copied then.
    with suppress(WbcError):
        if before is not None:
            manifest = read_manifest(before)
            for field in manifest.fields:
                written = manifest.files.get(field.path.relative_to(before).as_posix())
                if field.path.is_file() and sha256_of(field.path) == written:
                    earlier[field.sha256] = field.path
    for done, field in enumerate(fields, start=1):
        yield Progress("copying images", done, len(fields))
        target = part / place(field)
        target.parent.mkdir(parents=True, exist_ok=True)
        former = earlier.get(field.sha256)
        # One that was taken with its metadata, or without, stays as it is.
        if former is not None and former.suffix == target.suffix:
            _link(former, target)
        else:
            take(field, target)


def _take_image(field: LabelledField, target: Path, *, pixels: Pixels | None) -> None:
    """Write the image of a field; with ``pixels``, without its metadata."""
    try:
        data = field.path.read_bytes()
        if field.sha256 and sha256(data).hexdigest() != field.sha256:
            raise ReadError(
                f"{field.path}: not the image that was labelled any more; put that back."
            )
        target.write_bytes(data if pixels is None else _plain_image(field, data, pixels))
    except OSError as error:
        if os.access(field.path, os.R_OK):
            raise  # the disk is full, for instance
        raise ReadError(
            f"{field.path}: the image cannot be copied ({error.strerror or error})."
        ) from error


def _plain_image(field: LabelledField, data: bytes, pixels: Pixels) -> bytes:
    """The file of an image without its metadata."""
    if not is_strippable(data):
        file = io.BytesIO()
        Image.fromarray(pixels(field)).save(file, "PNG")
        return file.getvalue()
    try:
        return without_metadata(data)
    except (ValueError, OSError, SyntaxError) as error:
        raise ReadError(
            f"{field.path}: its metadata cannot be left out ({one_line(error)}); save it again."
        ) from error


def _link(source: Path, target: Path) -> None:
    """A link to a file that does not change any more; a copy where there are no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sync_steps(root: Path) -> Steps[None]:
    """Have the disk hold every file, before the rename tells of them."""
    for folder, _, names in os.walk(root):
        for name in names:
            sync(Path(folder, name))
            yield Progress("writing labels", 0, 0)
        sync(Path(folder))
