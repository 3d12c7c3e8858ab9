"""Taxonomies as YAML: the built-in ones by name, the user's own as files.

A file holds ``name`` and ``classes``; :func:`~napari_wbc.model.taxonomy_dict.taxonomy_from_dict`
says what a class may have. It is read without aliases, which can grow a small file without end.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.guard import check_yaml
from napari_wbc.model.taxonomy import TAXONOMIES, Taxonomy
from napari_wbc.model.taxonomy_dict import taxonomy_from_dict

__all__ = ["read_taxonomy", "write_taxonomy"]

MAX_BYTES = 1_000_000


def read_taxonomy(name_or_path: str | Path) -> Taxonomy:
    """A built-in taxonomy, or one from a YAML file.

    Parameters
    ----------
    name_or_path : str or Path
        ``two``, ``four``, ``five``, ``eight`` or a file.

    Raises
    ------
    WbcError
        If it is neither, or the file says no taxonomy; the message names file and entry.

    Examples
    --------
    >>> read_taxonomy("two").names
    ('mononuclear', 'polynuclear')
    """
    if str(name_or_path) in TAXONOMIES:
        return TAXONOMIES[str(name_or_path)]
    path = Path(name_or_path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise WbcError(
            f"{path}: neither a built-in taxonomy ({', '.join(TAXONOMIES)}) nor a file that can be "
            "read; check the name."
        ) from error
    if len(data) > MAX_BYTES:
        raise WbcError(
            f"{path}: larger than {MAX_BYTES // 1_000_000} MB and so no taxonomy; check the path."
        )
    try:
        return taxonomy_from_dict(_parse(data))
    except WbcError as error:
        raise WbcError(f"{path}: {error}") from error


def write_taxonomy(path: str | Path, taxonomy: Taxonomy) -> None:
    """Write a taxonomy as YAML, whole or not at all.

    Raises
    ------
    WbcError
        If it cannot be written.
    """
    write_text(Path(path), yaml.safe_dump(taxonomy.to_dict(), sort_keys=False, allow_unicode=True))


def _parse(data: bytes) -> object:
    try:
        text = data.decode("utf-8-sig")
        # Before it is built: aliases could make a small file fill the memory.
        check_yaml(yaml.compose(text, Loader=yaml.SafeLoader))
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WbcError(
            f"This is not readable YAML ({reason}); see docs/taxonomies.md for how it looks."
        ) from error
