"""Room ``session``: what is true now.

Invariant: the table changes through :meth:`~napari_wbc.session.session.Session.commit`, undo
and redo alone, and everyone who shows it hears ``changed(old, new)``.
"""
