"""Room ``pipeline``: the verbs, without a screen.

Invariant: every long verb is a generator ``*_steps`` that yields
:class:`~napari_wbc.model.progress.Progress`; the verb itself runs it to its end.
"""
