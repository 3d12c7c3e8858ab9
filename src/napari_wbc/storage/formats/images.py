"""The images of a training set, found by the names that its files say.

Invariant: what is found lies in the folder of the set.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath

from napari_wbc.errors import WbcError
from napari_wbc.files.guard import inside
from napari_wbc.files.visible import is_hidden
from napari_wbc.model.slide import IMAGE_SUFFIXES


class Images:
    r"""The images in the folder of a set.

    A name is looked up where it says; else by the end of its path, since the folders before it may
    be those of another computer: ``C:\data\a.jpg``, ``../../media/upload/4/a.jpg``. Case and the
    composition of letters do not count then, nor does a suffix that is missing or another one.

    Parameters
    ----------
    root : Path
        Folder of the set.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, folders: Iterable[str], name: str) -> Path:
        """The image that a file of the set names.

        Parameters
        ----------
        folders : iterable of str
            Folders of the set that the name may be relative to, the likeliest first.
        name : str
            As the file says it.

        Raises
        ------
        WbcError
            If there is none, or more than one.
        """
        folders = tuple(folders)
        # Another name than these is looked up by its end alone.
        if not re.match(r"/|[A-Za-z]:", name) and "\\" not in name and ".." not in name.split("/"):
            for folder in folders:
                path = inside(self.root, f"{folder}/{name}")
                if path.is_file():
                    return path
        wanted = folded_name(re.sub(r"^[A-Za-z]:", "", name.replace("\\", "/"))).split("/")
        suffix = PurePosixPath(wanted[-1]).suffix
        stem = wanted[-1].removesuffix(suffix) if suffix in IMAGE_SUFFIXES else wanted[-1]
        places = self._by_stem.get(stem, [])
        exact = [place for place in places if folded_name(place.name) == wanted[-1]]
        places = exact or places
        if not places:
            # Of a name that leads elsewhere this says so.
            inside(self.root, name)
            raise WbcError(f"no such image {name[:80]!r}; put it beside the file or into 'images'.")
        shared = [_shared(folded_name(place.as_posix()).split("/"), wanted) for place in places]
        best = [place for place, n in zip(places, shared, strict=True) if n == max(shared)]
        near = [place for place in best if place.parent.as_posix() in folders]
        found = near or best
        if len(found) > 1:
            raise WbcError(
                f"{len(found)} images of the set may be {name[:80]!r}, {found[0]} and {found[1]} "
                "among them; write the folder of the one that is meant, or rename them."
            )
        return inside(self.root, found[0].as_posix())

    def find_first(self, folders: Iterable[str], names: Sequence[str]) -> Path:
        """The first of some names that is found; the error is that of the last."""
        folders = tuple(folders)
        *others, last = names
        for name in others:
            with suppress(WbcError):
                return self.find(folders, name)
        return self.find(folders, last)

    def find_of(self, folders: Iterable[str], file: Path, name: str) -> Path:
        """The image of a file of labels, which is named after it, or else as the file says.

        A person who renamed or copied the two left the old name in the file.
        """
        said = PurePosixPath(name.replace("\\", "/"))
        after = [] if file.stem in (said.stem, said.name) else [file.stem]
        return self.find_first(folders, [*after, name] if name else after)

    @cached_property
    def _by_stem(self) -> dict[str, list[PurePosixPath]]:
        """Places of all images, relative to the folder of the set, by their names less suffixes."""
        places: dict[str, list[PurePosixPath]] = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            above = PurePosixPath(Path(folder).relative_to(self.root).as_posix())
            for name in sorted(names):
                place = above / name
                if place.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(name):
                    places.setdefault(folded_name(place.stem), []).append(place)
        return places


def folded_name(name: str) -> str:
    """A name as the systems see it that know neither case nor composed letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shared(place: Sequence[str], wanted: Sequence[str]) -> int:
    """How many folders before a name are the same in two paths."""
    n = 0
    for one, other in zip(place[-2::-1], wanted[-2::-1], strict=False):
        if one != other:
            break
        n += 1
    return n
