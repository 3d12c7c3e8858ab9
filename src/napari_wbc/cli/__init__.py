"""Room ``cli``: argument parsing only. Every command drives one verb of ``pipeline``.

A command imports its verb when it runs, so that ``--help`` does not wait for PyTorch and pandas.
"""

from napari_wbc.cli.app import main

__all__ = ["main"]
