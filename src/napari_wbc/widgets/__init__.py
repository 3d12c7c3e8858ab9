"""Room ``widgets``: the screen.

Invariant: widgets get the session and what else they need as arguments, show it, and change
it through the session alone. Long work goes through :mod:`~napari_wbc.widgets.qt.worker`.
"""
