"""Taxonomies as YAML: the built-in ones by name, the user's own as files.

A file holds ``name`` and ``classes``; :func:`~napari_wbc.model.taxonomy_dict.taxonomy_from_dict`
says what a class may have.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import write_text
from napari_wbc.files.guard import read_yaml
from napari_wbc.model.taxonomy import TAXONOMIES, Taxonomy
from napari_wbc.model.taxonomy_dict import taxonomy_from_dict
from napari_wbc.storage.formats.reading import naming


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
    if not path.exists() or path.is_dir():
        raise WbcError(
            f"{path}: neither a built-in taxonomy ({', '.join(TAXONOMIES)}) nor a file; check the "
            "name."
        )
    data = read_yaml(path)
    with naming(path):
        return taxonomy_from_dict(data)


def write_taxonomy(path: str | Path, taxonomy: Taxonomy) -> None:
    """Write a taxonomy as YAML, whole or not at all."""
    write_text(Path(path), yaml.safe_dump(taxonomy.to_dict(), sort_keys=False, allow_unicode=True))
