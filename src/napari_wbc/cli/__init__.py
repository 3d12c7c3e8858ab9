"""Room ``cli``: argument parsing only. Every command drives one verb of ``pipeline``."""

from napari_wbc.cli.app import main

__all__ = ["main"]
