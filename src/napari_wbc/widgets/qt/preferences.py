"""What a person chose in napari's preferences, as ``napari.yaml`` declares it.

Invariant: each is read where it acts, so that a change needs no restart.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import napari_wbc

PLUGIN = "napari-wbc"


def preference(group: str, name: str) -> Any:
    """What was chosen, or else the default.

    Parameters
    ----------
    group, name : str
        Keys below ``configurations`` in ``napari.yaml``.

    Examples
    --------
    >>> preference("computing", "threads")
    0
    """
    from napari.settings import get_plugin_settings

    try:
        chosen = get_plugin_settings(PLUGIN)
    # Without napari's plugins, as where the workbench is made by hand, there are the defaults.
    except KeyError:
        return defaults()[group, name]
    return getattr(getattr(chosen, group), name)


@cache
def defaults() -> dict[tuple[str, str], Any]:
    """The defaults that ``napari.yaml`` declares, by group and name."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(Path(napari_wbc.__file__).parent / "napari.yaml")
    declared: dict[tuple[str, str], Any] = {}
    for group, configuration in (manifest.contributions.configurations or {}).items():
        for name, content in configuration.properties.items():
            declared[group, name] = content.default
    return declared
